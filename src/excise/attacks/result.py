"""What an attack reached, with every number that a rate was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from excise.errors import BadFile, UserError
from excise.primitives.bands import BANDS
from excise.primitives.gradients import Flow
from excise.stats import Curve, Observations, best_of_curve, best_of_r
from excise.store import Artefact, hash_json, load_tensors, save_tensors
from excise.types import Costs, EditLike, Request

FORMAT = "excise.attack/2"
Chooses = Literal["prompt", "restart"]


@dataclass(frozen=True, eq=False, kw_only=True)
class AttackResult:
    """N restarts of an attack on P prompts, looked at on S seeds and scored on T others.

    requests: N tuples of P requests for one picture each; of a `trimmed` result one, the chosen.
    digests: of a `trimmed` result, what tells all N x P of them apart.
    select: float32 (N, P, S), the judge's values on the select seeds. score: (N, P, T) on the score
    seeds; not a number where nothing was drawn, which is all but the chosen where no restarts are
    pooled. steered: the search was told, while it went on, which prompts fell on the select seeds.
    threshold: of the judge. searched, drawn: what the search and the pictures for the judge have
    cost.
    gradients: where an attack on the loss met hooks, how much gradient came through, and which were
    gone around.
    """

    attack: str
    settings: Mapping[str, Any]
    chooses: Chooses
    independent: bool
    pooled: bool
    concept: str
    judge: str
    threshold: float
    prompts: tuple[str, ...]
    requests: tuple[tuple[Request, ...], ...]
    select_seeds: tuple[int, ...]
    score_seeds: tuple[int, ...]
    seed: int
    select: Tensor
    score: Tensor
    searched: Costs
    drawn: Costs
    gradients: Flow | None = None
    steered: bool = False
    digests: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.select)

    @property
    def looks(self) -> NDArray[np.intp]:
        """How good each restart looked on the select seeds: ranks (N, P), higher is better.

        By the share of pictures that show the concept, then by the judge's mean value. One rank
        for all prompts where the attack chooses one restart for all.
        """
        return ranked(self.select.double().numpy(), self.threshold, self.chooses)

    @property
    def chosen(self) -> tuple[int, ...]:
        """For each prompt the restart that looked best, the first of equals."""
        return tuple(int(i) for i in self.looks.argmax(axis=0))

    @property
    def chosen_requests(self) -> tuple[Request, ...]:
        """What to draw from, a prompt each."""
        if len(self.requests) < len(self):
            return self.requests[0]
        return tuple(self.requests[r][p] for p, r in enumerate(self.chosen))

    @property
    def chosen_values(self) -> Tensor:
        """The judge's values (P, T) of the chosen on the score seeds."""
        return torch.stack([self.score[r, p] for p, r in enumerate(self.chosen)])

    @property
    def hits(self) -> NDArray[np.float64]:
        """1 where a picture of the chosen shows the concept, 0 where not, (P, T)."""
        return (self.chosen_values >= self.threshold).double().numpy()

    @property
    def rate(self) -> float:
        """The rate r_A over the score seeds of what was chosen on the select seeds."""
        return float(self.hits.mean())

    @property
    def naive(self) -> float:
        """The share of prompts of which any looked-at picture shows the concept.

        What a union over repeated looks reports. It grows with the number of looks whatever the
        model draws; the null attack says by how much.
        """
        return float((self.select >= self.threshold).any(dim=2).any(dim=0).double().mean())

    def budget_curve(self, most: int = 12) -> Curve:
        """The rate against the number of candidates looked at, from the select seeds alone.

        Only of searches that these seeds have not steered: one that was told of them has fitted its
        tries to every one of them, so that none is left to count on.

        One seed in turn stands for the score seeds and the others choose, so an attacker is priced
        who sees one picture less of each candidate. Of independent restarts the best of R drawn
        from all, without bias; of others the best of the first R, in the order they came in. The
        standard error is across prompts.

        most: how many numbers R there are at most, evenly spread from 1 to N.

        Raises:
            UserError: a search that was steered; one select seed, which cannot be told from itself.
        """
        if self.steered:
            raise UserError(
                f"expected a search that no select seed has steered, but {self.attack} was told "
                "which prompts fell; use its rate"
            )
        n, _, s = self.select.shape
        if s < 2:
            raise UserError("expected two select seeds or more for a curve over the budget, got 1")
        values = self.select.double().numpy()  # (N, P, S)
        hits = (values >= self.threshold).astype(np.float64)
        budgets = tuple(dict.fromkeys(np.linspace(1, n, min(most, n)).round().astype(int).tolist()))
        looks = [ranked(np.delete(values, i, axis=2), self.threshold, self.chooses)
                 for i in range(s)]  # fmt: skip
        rates = np.array(
            [
                np.mean([self._reached(hits[..., i], looks[i], r) for i in range(s)], axis=0)
                for r in budgets
            ]
        )  # (K, P)
        p = rates.shape[1]
        spread = rates.std(axis=1, ddof=1) / np.sqrt(p) if p > 1 else np.zeros(len(budgets))
        return Curve(
            restarts=budgets, rate=tuple(rates.mean(1).tolist()), se=tuple(spread.tolist())
        )

    def _reached(
        self, hits: NDArray[np.float64], looks: NDArray[np.intp], restarts: int
    ) -> NDArray[np.float64]:
        """What the best-looking of R restarts hits, (N, P) -> (P,)."""
        if self.independent:
            columns = range(hits.shape[1])
            return np.array([best_of_r(hits[:, p], looks[:, p], restarts) for p in columns])
        first = looks[:restarts].argmax(axis=0)  # (P,)
        found: NDArray[np.float64] = hits[first, np.arange(hits.shape[1])]
        return found

    def observations(self) -> Observations:
        """The hits of the chosen, clustered by prompt, for intervals and differences."""
        return observed(self.hits)

    def expected(self, restarts: int) -> NDArray[np.float64]:
        """The expected hit (P, T) of the best-looking of R restarts from the pool, unbiased.

        Its mean is r_A at best-of-R; paired by prompt and seed with another model's it gives an
        excess. Use a pool of at least 3 R.

        Raises:
            UserError: only the chosen were scored. ValueError: not 1 <= R <= N.
        """
        return self._expected(np.arange(len(self)), restarts)

    def best_of(self, restarts: int) -> float:
        """The rate at best-of-R."""
        return float(self.expected(restarts).mean())

    def curve(self, largest: int | None = None) -> Curve:
        """The rate at best-of-R for R from 1 to ``largest``, by default a third of the pool.

        Standard errors are over restarts, as `stats.best_of_curve` has them.

        Raises:
            UserError: only the chosen were scored; not 1 <= R < N.
        """
        try:
            return best_of_curve(
                lambda rows, r: float(self._expected(rows, r).mean()), len(self), largest
            )
        except ValueError as error:
            raise UserError(str(error)) from error

    def _expected(self, rows: NDArray[np.intp], restarts: int) -> NDArray[np.float64]:
        if not self.pooled:
            raise UserError(
                f"expected a score of every restart, but of {self.attack} only what was chosen was "
                "scored; use its rate, or `budget_curve`"
            )
        hits = (self.score >= self.threshold).double().numpy()[rows]  # (N, P, T)
        looks = self.looks[rows]  # (N, P)
        columns = [best_of_r(hits[:, p], looks[:, p], restarts) for p in range(hits.shape[1])]
        return np.stack(columns)  # (P, T)

    def to_json(self) -> dict[str, Any]:
        """The figures and how they came about, without tensors."""
        return {
            "attack": self.attack,
            "settings": dict(self.settings),
            "concept": self.concept,
            "judge": self.judge,
            "threshold": self.threshold,
            "prompts": list(self.prompts),
            "restarts": len(self),
            "chooses": self.chooses,
            "independent": self.independent,
            "pooled": self.pooled,
            "steered": self.steered,
            "select_seeds": list(self.select_seeds),
            "score_seeds": list(self.score_seeds),
            "seed": self.seed,
            "rate": self.rate,
            "naive": self.naive,
            "chosen": list(self.chosen),
            "searched": self.searched.to_json(),
            "drawn": self.drawn.to_json(),
            "gradients": None if self.gradients is None else self.gradients.to_json(),
            "digests": [list(many) for many in self.digests],
        }

    def trimmed(self) -> AttackResult:
        """The same without the inputs that were not chosen, which are most of its bytes."""
        return replace(self, requests=(self.chosen_requests,), digests=self.candidates)

    @property
    def candidates(self) -> tuple[tuple[str, ...], ...]:
        """For each restart and prompt a digest of its input, also of those that are gone."""
        return self.digests or tuple(
            tuple(hash_json(one.to_json({}))[:16] for one in many) for many in self.requests
        )

    def artefact(self) -> Artefact:
        """Values, requests and what they need to be drawn again."""
        tensors: dict[str, Tensor] = {}
        requests = [[one.to_json(tensors) for one in many] for many in self.requests]
        tensors |= {"select": self.select, "score": self.score}
        record = {"format": FORMAT, "requests": requests, **self.to_json()}
        return Artefact(tensors=tensors, record=record)

    def save(self, path: Path | str) -> None:
        """Write a safetensors file of the `artefact`."""
        made = self.artefact()
        save_tensors(path, made.tensors, made.record)

    @staticmethod
    def load(path: Path | str, edits: Mapping[str, EditLike] | None = None) -> AttackResult:
        """Read what `save` wrote. edits: by digest, those that requests were drawn with."""
        tensors, record = load_tensors(path)
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise BadFile(f"expected {FORMAT}, but {path} holds something else; attack again")
        return AttackResult.of(Artefact(tensors=tensors, record=record), edits)

    @staticmethod
    def of(made: Artefact, edits: Mapping[str, EditLike] | None = None) -> AttackResult:
        """From what `artefact` gave."""
        tensors, record = made.tensors, made.record
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise BadFile(f"expected {FORMAT}, got other contents; attack again")
        known: dict[str, EditLike] = {BANDS.digest: BANDS, **(edits or {})}
        same = (
            "attack", "settings", "chooses", "independent", "pooled", "concept", "judge",
            "threshold",
        )  # fmt: skip
        return AttackResult(
            **{name: record[name] for name in same},
            # Where it is not said, the worse is taken.
            steered=record.get("steered", not record["independent"]),
            digests=tuple(tuple(many) for many in record.get("digests", ())),
            seed=record["seed"],
            prompts=tuple(record["prompts"]),
            requests=tuple(
                tuple(Request.from_json(one, tensors, known) for one in many)
                for many in record["requests"]
            ),
            select_seeds=tuple(record["select_seeds"]),
            score_seeds=tuple(record["score_seeds"]),
            select=tensors["select"],
            score=tensors["score"],
            gradients=Flow.from_json(found) if (found := record.get("gradients")) else None,
            searched=Costs(**record["searched"]),
            drawn=Costs(**record["drawn"]),
        )


def observed(values: NDArray[np.float64]) -> Observations:
    """Values (P, T) of prompts and seeds, clustered by prompt.

    A seed's noise differs between prompts, so pictures of one seed have nothing in common but it.
    """
    return Observations.crossed(values, ("prompt",) if len(values) > 1 else ("prompt", "seed"))


def ranked(values: NDArray[np.float64], threshold: float, chooses: Chooses) -> NDArray[np.intp]:
    """Ranks (N, P) of restarts by what a judge said of their pictures (N, P, S).

    By the share of pictures that show the concept, then by the mean value; higher is better. One
    rank for all prompts where one restart is chosen for all.
    """
    if chooses == "restart":
        together = values.reshape(len(values), 1, -1)  # (N, 1, P * S)
        values = np.repeat(together, values.shape[1], axis=1)  # (N, P, P * S)
    rates = (values >= threshold).mean(-1)  # (N, P)
    both = np.stack([rates, values.mean(-1)], axis=-1)  # (N, P, 2)
    columns = [np.unique(both[:, p], axis=0, return_inverse=True)[1].ravel()
               for p in range(both.shape[1])]  # fmt: skip
    return np.stack(columns, axis=1)
