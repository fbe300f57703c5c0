"""Attacks that change the model: a curve of cost against recovery, judged at every point."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from excise.attacks.base import Attack, Kind, Need, Search
from excise.attacks.result import observed
from excise.errors import BadFile, UserError
from excise.progress import SILENT, stage
from excise.rng import seed_of
from excise.settings import recipe
from excise.stats import Observations
from excise.store import Artefact
from excise.types import (
    Concept,
    Costs,
    EditLike,
    Judge,
    Progress,
    Prompt,
    Request,
    TextToImage,
    merged,
)

FORMAT = "excise.recovery/1"


@dataclass(frozen=True, eq=False, kw_only=True)
class Point:
    """One place on the curve.

    label: what was done, in words. cost: what it took, by name (pictures, steps, ...). edit: what
    was changed, for the model as it was handed over, other edits included; None for nothing.
    scheduler: another one than the model's own. spent: what finding it has cost.
    """

    label: str
    cost: Mapping[str, float] = field(default_factory=dict)
    edit: EditLike | None = None
    scheduler: str | None = None
    spent: Costs = field(default_factory=Costs)

    def request(self, prompt: Prompt) -> Request:
        """What draws a prompt at this point."""
        return Request(prompts=(prompt,), edit=self.edit, scheduler=self.scheduler)


@dataclass(frozen=True, kw_only=True)
class ChangingAttack(Attack):
    """What an attacker, or anybody, may do to a model that was handed over.

    A subclass yields its `points`, the cheapest first and the unchanged model at the beginning,
    each an edit on top of the model as it stands: the model itself is left as it was. The same is
    done to base, edit and oracle. `run_change` judges every point and keeps the curve; as a search
    the points are its restarts, of which one is chosen for all prompts.
    """

    kind: ClassVar[Kind] = "changing"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "weights"})
    chooses: ClassVar[Literal["prompt", "restart"]] = "restart"

    @abstractmethod
    def points(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        *,
        base: TextToImage | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Iterator[Point]:
        """The points in order; each is found when it is asked for."""

    def search(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        prompts: tuple[Prompt, ...],
        *,
        base: TextToImage | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Search:
        """Yield the prompts at one point after the other."""
        for point in self.points(model, concepts, base=base, seed=seed, progress=progress):
            yield tuple(point.request(prompt) for prompt in prompts)


@dataclass(frozen=True, eq=False, kw_only=True)
class Recovery:
    """The curve: N points, P prompts, S seeds.

    values: float32 (N, P, S), the judge's. labels, costs, searched: of each point. drawn: what the
    pictures have cost.
    """

    attack: str
    settings: Mapping[str, Any]
    concept: str
    judge: str
    threshold: float
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    seed: int
    labels: tuple[str, ...]
    costs: tuple[Mapping[str, float], ...]
    values: Tensor
    searched: tuple[Costs, ...]
    drawn: Costs

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def rates(self) -> tuple[float, ...]:
        """Of each point the share of pictures that show the concept."""
        shown = (self.values >= self.threshold).double().mean(dim=(1, 2))  # (N, P, S) -> (N,)
        return tuple(shown.tolist())

    def observations(self, point: int) -> Observations:
        """One point's hits (P, S), clustered by prompt, paired with any other point's."""
        hits = (self.values[point] >= self.threshold).double().numpy()
        return observed(hits)

    def to_json(self) -> dict[str, Any]:
        """The figures and how they came about, without tensors."""
        return {
            "attack": self.attack,
            "settings": dict(self.settings),
            "concept": self.concept,
            "judge": self.judge,
            "threshold": self.threshold,
            "prompts": list(self.prompts),
            "seeds": list(self.seeds),
            "seed": self.seed,
            "labels": list(self.labels),
            "costs": [dict(cost) for cost in self.costs],
            "rates": list(self.rates),
            "searched": [spent.to_json() for spent in self.searched],
            "drawn": self.drawn.to_json(),
        }

    def artefact(self) -> Artefact:
        """To be kept; the edits are not in it."""
        return Artefact(
            tensors={"values": self.values}, record={"format": FORMAT, **self.to_json()}
        )

    @staticmethod
    def of(made: Artefact) -> Recovery:
        """From what `artefact` gave."""
        record = made.record
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise BadFile(f"expected {FORMAT}, got other contents; attack again")
        same = ("attack", "settings", "concept", "judge", "threshold", "seed")
        return Recovery(
            **{name: record[name] for name in same},
            prompts=tuple(record["prompts"]),
            seeds=tuple(record["seeds"]),
            labels=tuple(record["labels"]),
            costs=tuple(record["costs"]),
            values=made.tensors["values"],
            searched=tuple(Costs(**spent) for spent in record["searched"]),
            drawn=Costs(**record["drawn"]),
        )


def run_change(
    attack: ChangingAttack,
    model: TextToImage,
    concept: Concept,
    prompts: Sequence[str | Prompt],
    judge: Judge,
    *,
    seeds: Sequence[int],
    base: TextToImage | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Recovery:
    """Judge every point on the same noise, one edit in memory at a time.

    The noise is that of `run_attack` on the same prompts and score seeds, so the first point is
    paired with the score of plain words.

    Raises:
        UserError: no prompts, no seeds, or an attack without points.
    """
    texts = Prompt.of(tuple(prompts))
    if not texts or not seeds:
        raise UserError(f"expected prompts and seeds, got {len(texts)} and {list(seeds)}")
    points: list[Point] = []
    values: list[Tensor] = []
    drawn, threshold, name = Costs(), 0.0, judge.name
    with stage(progress or SILENT, f"attack {attack.name}", unit="point") as shown:
        for point in attack.points(model, (concept,), base=base, seed=seed, progress=progress):
            wanted = [
                point.request(text).on(*(seed_of("picture", s, p, 0) for s in seeds))
                for p, text in enumerate(texts)
            ]
            own = torch.empty(len(texts) * len(seeds))
            before = model.costs
            for numbers, request in merged(wanted):
                score = judge.score(model.generate(request).pictures, concept)
                own[numbers] = score.values.detach().float().cpu()
                threshold, name = score.threshold, score.judge
            drawn = drawn + (model.costs - before)
            values.append(own.view(len(texts), -1))
            points.append(replace(point, edit=None))
            shown.advance()
    if not points:
        raise UserError(f"expected points from the attack {attack.name}, got none")
    return Recovery(
        attack=attack.name,
        settings=recipe(attack),
        concept=concept.name,
        judge=name,
        threshold=threshold,
        prompts=tuple(text.text for text in texts),
        seeds=tuple(seeds),
        seed=seed,
        labels=tuple(point.label for point in points),
        costs=tuple(point.cost for point in points),
        values=torch.stack(values),
        searched=tuple(point.spent for point in points),
        drawn=drawn,
    )
