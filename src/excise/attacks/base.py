"""What every attack shares, and the part that is not the attack's: drawing again, and judging.

An attack is one file here, or an entry point ``excise.attacks`` of your own package: a frozen,
keyword-only dataclass that inherits `Attack`, names its paper and what it needs, and writes
``search``. It proposes; it never sees the judge, nor the pictures that count.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from excise.attacks.result import AttackResult
from excise.errors import UserError
from excise.method import Budget, Method
from excise.primitives.denoising import Bank, concept_loss
from excise.primitives.gradients import flow
from excise.progress import SILENT, stage
from excise.rng import seed_of
from excise.settings import recipe
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

Need = Literal[
    "prompts", "feedback", "sampler", "start", "embeddings", "losses", "gradients", "pictures",
    "base", "weights",
]  # fmt: skip
"""What an attacker must be able to do or have, from the least to the most: write prompts (and pick
seeds); learn whether a picture shows the concept; set guidance, steps, negative prompts; start from
a picture; hand over vectors in the place of words; read the model's denoising losses; differentiate
through it; own pictures of the concept; own the unedited model; change weights."""
LOSSES: frozenset[Need] = frozenset({"losses", "gradients"})
"""What tells a search that goes by the model's loss."""

Kind = Literal["confirming", "injecting", "changing"]
"""What success means: the model still knows the concept (where an oracle stays out of reach); or
the input may have brought it along, as a picture does; or the model was changed by the attacker,
which is a curve of cost against recovery and never a single figure."""

Search = Generator[tuple[Request, ...], tuple[bool, ...], None]

__all__ = [
    "LOSSES", "Attack", "AttackResult", "Budget", "Kind", "Need", "Search", "companion_loss",
    "run_attack",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Attack(Method):
    """A search for an input: a frozen dataclass whose fields are its hyperparameters.

    needs: the threat model. kind: what success means; see `Kind`. independent: what is yielded at
    one time does not depend on what came before, but for the restart's number, so that success at
    any number of restarts up to the pool's can be told from one run. chooses: whether the attacker
    picks one restart for each prompt, or one for all. rewords: whether it changes what a prompt
    says; one that does not can only tell something by prompts that name the concept. budgets: the
    fields that a budget sets.
    smallest: settings with which a run does everything once and proves nothing; what the tests of
    all attacks use.
    """

    needs: ClassVar[frozenset[Need]]
    kind: ClassVar[Kind] = "confirming"
    independent: ClassVar[bool] = True
    chooses: ClassVar[Literal["prompt", "restart"]] = "prompt"
    rewords: ClassVar[bool] = True
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {}
    smallest: ClassVar[Mapping[str, object]] = {}

    @abstractmethod
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
        """Yield one candidate a prompt, as often as there are restarts; is sent which fell.

        A candidate is a request for one picture. Its seed only says which noise it is compared on:
        two candidates for one prompt that have the same seed are drawn on the same noise. All that
        a candidate needs is in its request, since it may be drawn after the search has gone on.
        A search that does not need ``feedback`` is sent that none fell.
        """

    def carried(self, base: TextToImage | None) -> Mapping[str, EditLike]:
        """By digest, edits that its requests hold: what a kept result is read back with."""
        return {}

    @property
    def candidates(self) -> int:
        """How many it yields for each prompt, at most; for an estimate of what it will cost."""
        return int(getattr(self, "restarts", 1))

    @property
    def gradients(self) -> int:
        """Rows through the network that its search takes a gradient of; for the same estimate."""
        steps = getattr(self, "steps", 0)
        each = steps * int(getattr(self, "samples", 1)) if isinstance(steps, int) else 0
        return self.candidates * each

    def within(self, budget: Budget) -> Mapping[str, object]:
        """What `budgets` says."""
        return self.budgets.get(budget, {})


def run_attack(
    attack: Attack,
    model: TextToImage,
    concept: Concept,
    prompts: Sequence[str | Prompt],
    judge: Judge,
    *,
    select_seeds: Sequence[int],
    score_seeds: Sequence[int],
    base: TextToImage | None = None,
    seed: int = 0,
    pool: bool = True,
    progress: Progress | None = None,
) -> AttackResult:
    """Run a search, draw every candidate again, and let the judge decide.

    Each candidate is drawn on the select seeds, by which restarts are ranked and of which the
    search is told if it needs ``feedback`` (a prompt fell if more than half of them show the
    concept, so that no single lucky picture of two ends a search). What was chosen is drawn on the
    score seeds, which alone count and of which the search learns nothing; so are all other restarts
    where they are independent and a ``pool`` is asked for, which gives success at any number of
    restarts up to theirs. Noise is shared by all models and attacks that are run on
    the same prompts and seeds, and differs between prompts. What no answer waits for is drawn
    together, in large requests (`merged`). What a search asks of the unedited model is counted
    among its costs.

    Raises:
        UserError: no prompts; no seeds, or a seed in both sets; a candidate that is not one
            request for one picture a prompt; a search without candidates.
    """
    texts = Prompt.of(tuple(prompts))
    if not texts or not select_seeds or not score_seeds or {*select_seeds} & {*score_seeds}:
        raise UserError(
            "expected prompts, and select and score seeds that have none in common, got "
            f"{len(texts)} prompts, {list(select_seeds)} and {list(score_seeds)}"
        )
    jury = _Jury(model, concept, judge, progress or SILENT)
    pooled = attack.independent and pool
    seeds = (*select_seeds, *(score_seeds if pooled else ()))
    told = "feedback" in attack.needs  # where no answer is waited for, all is drawn at the end
    rounds: list[tuple[Request, ...]] = []
    parts: list[Tensor] = []  # (N', P, S), or (N', P, S + T) with the score seeds
    spent = Costs()
    fell: tuple[bool, ...] | None = None
    guarded = bool(model.hooks) and "gradients" in attack.needs
    gradients = flow(model, seed=seed) if guarded else None
    if gradients is not None and gradients.vanished:
        (progress or SILENT).note("next to no gradient comes through the hooks: it finds nothing")
    with stage(progress or SILENT, f"attack {attack.name}", unit="restart") as shown:
        hunt = attack.search(
            model, (concept,), texts, base=base, seed=seed, progress=progress or SILENT
        )
        while True:
            before = _spent(model, base)
            try:
                found = next(hunt) if fell is None else hunt.send(fell)
            except StopIteration:
                break
            finally:
                spent = spent + (_spent(model, base) - before)
            _check(attack, found, len(texts))
            rounds.append(found)
            fell = (False,) * len(texts)
            if told:
                parts.append(jury.values([found], seeds))
                looked = parts[-1][0, :, : len(select_seeds)]  # (P, S)
                rates = (looked >= jury.threshold).float().mean(dim=1)  # (P, S) -> (P,)
                fell = tuple(bool(rate > 0.5) for rate in rates)
            shown.advance()
        if not rounds:
            raise UserError(f"expected a candidate from the attack {attack.name}, got none")
        values = torch.cat(parts) if told else jury.values(rounds, seeds)
        select, score = values.tensor_split([len(select_seeds)], dim=2)  # (N, P, S), (N, P, T)
        if not pooled:
            score = torch.full((len(rounds), len(texts), len(score_seeds)), torch.nan)
        result = AttackResult(
            attack=attack.name,
            settings=recipe(attack),
            chooses=attack.chooses,
            independent=attack.independent,
            pooled=pooled,
            steered=told,
            concept=concept.name,
            judge=jury.name,
            threshold=jury.threshold,
            prompts=tuple(prompt.text for prompt in texts),
            requests=tuple(rounds),
            select_seeds=tuple(select_seeds),
            score_seeds=tuple(score_seeds),
            seed=seed,
            select=select.clone(),
            score=score.clone(),
            searched=spent,
            drawn=jury.spent,
            gradients=gradients,
        )
        if pooled:
            return result
        best = jury.values([result.chosen_requests], score_seeds)[0]  # (P, T)
        for p, r in enumerate(result.chosen):
            result.score[r, p] = best[p]
        return replace(result, drawn=jury.spent)


def companion_loss(
    model: TextToImage, requests: Sequence[Request], latents: Tensor, bank: Bank
) -> Tensor:
    """The denoising loss of pictures at the conditioning of each request, (len(requests), B).

    The companion that needs no judge: with held-out pictures of the concept and one bank,
    Delta = loss(oracle) - loss(edit), each at what the attack found on it.
    """
    rows = []
    for request in requests:
        cond = model.encode(request.prompts) if request.condition is None else request.condition
        row, spoken = cond[[0]].to(model.device), request.prompts[:1]  # hooks may read the words
        rows.append(concept_loss(model, latents, row, bank, prompts=spoken))
    return torch.cat(rows)


class _Jury:
    """Draws candidates on given seeds and asks the judge."""

    def __init__(
        self, model: TextToImage, concept: Concept, judge: Judge, progress: Progress
    ) -> None:
        self._model, self._concept, self._judge = model, concept, judge
        self._progress = progress
        self.threshold = 0.0
        self.name = judge.name
        self.spent = Costs()

    def values(self, rounds: Sequence[Sequence[Request]], seeds: Sequence[int]) -> Tensor:
        """float32 (N, P, S), of N rounds of P candidates, all drawn together."""
        wanted = [
            request.on(*(seed_of("picture", s, prompt, request.seeds[0]) for s in seeds))
            for found in rounds
            for prompt, request in enumerate(found)
        ]
        values = torch.empty(len(wanted) * len(seeds))
        with stage(self._progress, "draw and judge", len(values), "picture") as told:
            for numbers, request in merged(wanted):
                values[numbers] = self._judged(request)
                told.advance(len(numbers))
        return values.view(len(rounds), -1, len(seeds))

    def _judged(self, request: Request) -> Tensor:
        before = self._model.costs
        pictures = self._model.generate(request).pictures
        self.spent = self.spent + (self._model.costs - before)
        score = self._judge.score(pictures, self._concept)
        self.threshold, self.name = score.threshold, score.judge
        return score.values.detach().float().cpu()


def _spent(model: TextToImage, base: TextToImage | None) -> Costs:
    """What both models have spent so far, in the time of one: their clocks run side by side."""
    if base is None or base is model:
        return model.costs
    return model.costs + replace(base.costs, seconds=0.0)


def _check(attack: Attack, found: tuple[Request, ...], prompts: int) -> None:
    sizes = [len(request) for request in found]
    if sizes != [1] * prompts:
        raise UserError(
            f"expected one request for one picture for each of {prompts} prompts from the attack "
            f"{attack.name}, got requests for {sizes} pictures"
        )
