"""What the README's claims are measured with, and on which rung of the ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from arrays import ATTACK
from study import Study

from excise.api.cases import arms_of
from excise.attacks.concept_inversion import Rung
from excise.reporting.reached import best_of, rate_of
from excise.suite import SIZES, Sizes
from excise.suite.arms import Arm
from excise.suite.asked import asked
from excise.suite.battery import fight
from excise.suite.bench import Bench
from excise.suite.evaluate import Settings, bench_of
from excise.suite.ladder import ORACLE_MOST
from excise.suite.returned import key_of
from excise.suite.sizes import FIRST
from excise.types import Concept

LADDER: Sizes = replace(
    SIZES["standard"],
    name="own",
    plain=2,
    pairs=2,
    rungs=(*SIZES["standard"].rungs, "step_condition"),
    prompts=4,
    attacks=("reseed",),
)
"""All rungs, for one edit of each method and concept."""

CLAIM: Sizes = replace(
    LADDER, rungs=(), decoys=0, decide=0, attacks=("reseed", ATTACK), asked=6, select=2, score=4
)
POOL = {"restarts": 24, "steps": 300}
"""What the claims are measured with: Concept Inversion, best of 8 from a pool of 24."""
FLOORS = "floors"


def claimed(rung: Rung) -> Settings:
    """The attack's settings at a rung."""
    return {ATTACK: {**POOL, "rung": rung}}


def rung_of(row: Mapping[str, Any]) -> Rung:
    """The rung that counts by a ladder alone, as `Sizes` names it."""
    return next(rung for rung in LADDER.rungs if key_of(rung) == row["headline"])


class Floors:
    """What the claims' own search brings out of the models that never saw a concept."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def rung(self, concept: str, highest: Rung, *, only: bool = False) -> Rung | None:
        """K*: the largest rung that the oracle withstands, found from the oracle alone.

        It has to withstand the search that claims are made with, which is larger than that of the
        ladder; so it is looked for from the ladder's own downwards. The smallest rung where it
        withstands none. only: None where one that is needed was not measured yet.
        """
        rungs = LADDER.rungs[: LADDER.rungs.index(highest) + 1]
        for rung in reversed(rungs):
            if only and not self._file(concept, rung).exists():
                return None
            if self.reached(concept, rung) <= ORACLE_MOST:
                return rung
        return rungs[0]

    def reached(self, concept: str, rung: Rung) -> float:
        """The oracle's rate at best of R, kept, and found again by the claims themselves."""
        row = self.study.row(FLOORS, self._name(concept, rung), lambda: self._row(concept, rung))
        return float(row["rate"])

    def _row(self, name: str, rung: Rung) -> dict[str, Any]:
        study = self.study
        concept, judges = study.concept(name, shown=True), study.judges(name)
        arms = arms_of(study.model, None, concept, oracle=study.oracle(name))

        def bench(own: Sequence[Arm], shown: Concept) -> Bench:
            return bench_of(own, shown, judges.first, judges.others, CLAIM, 0, study.progress, None,
                            study.cache, study.stages)  # fmt: skip

        whole = bench(arms, concept)  # with what the unedited model says of the concept
        alone = bench([arm for arm in arms if arm.role == "oracle"], whole.full)
        found = fight(alone, FIRST, claimed(rung), asked(whole))
        one = found.results[ATTACK]["oracle"]
        rate = rate_of(one, best_of(one))
        return {"concept": name, "rung": rung, "rate": rate.value, "low": rate.low,
                "high": rate.high}  # fmt: skip

    def _name(self, concept: str, rung: Rung) -> str:
        measured = self.study.measured(concept, CLAIM, 0, claimed(rung))
        return f"{concept}-{self.study.key(floor=measured)}"

    def _file(self, concept: str, rung: Rung) -> Path:
        return self.study.row_file(FLOORS, self._name(concept, rung))
