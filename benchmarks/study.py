"""What experiments and figures share: an edit is made once, measured once, and both are kept.

Everything is found again under a hash of what it depends on, in ``--work`` (by default the cache
folder), so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import excise
from excise.api.evaluating import arms_of
from excise.api.judging import judges_for
from excise.edit import Edit
from excise.emoji.pictures import WATERMARK, concept_pictures
from excise.errors import Infeasible
from excise.method import Budget
from excise.progress import SILENT, Progress
from excise.reporting import Report
from excise.store import Cache, Stages, hash_json, write_json
from excise.store.cache import default_root
from excise.suite import SIZES, Sizes
from excise.suite import evaluate as run_suite
from excise.types import Concept

RENDERS = 640
"""Pictures that the attacker's fifth is taken from; renders, so that no model has drawn them."""

TRIAL = Sizes(
    plain=1, pairs=1, others=12, kept=10, rungs=(4, "condition"), prompts=4, restarts=6, best_of=2,
    select=2, score=4, steps=150, attacker=128, held_out=32, entries=4, embedding=2,
)  # fmt: skip
"""For the choice between settings: a minute or two, and intervals too wide for a claim."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One edit to be made and measured.

    settings: of the method, as `excise.erase` takes them. budget: of the erasing.
    """

    concept: str
    method: str = "task_vector"
    settings: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = "standard"
    seed: int = 0

    @property
    def key(self) -> str:
        """What its files are called."""
        rows: Any = [self.method, dict(self.settings), self.budget, self.seed, excise.__version__]
        return f"{self.concept}-{self.method}-{self.seed}-{hash_json(rows)[:10]}"


class Study:
    """The embedded model, its oracles, and a folder."""

    def __init__(self, work: Path | None = None, progress: Progress = SILENT) -> None:
        self.work = work or default_root() / "study"
        self.model = excise.load("emoji")
        self.progress = progress

    def concept(self, name: str, *, shown: bool) -> Concept:
        """A concept with renders for the attacker, or without any for the eraser.

        The watermark has pictures for both; each takes a part that the other never sees.
        """
        known = next((one for one in self.model.known if one.name == name), None)
        found = known or Concept(name, kind="implicit")
        if not shown and name != WATERMARK:
            return found
        pictures = concept_pictures(name, RENDERS)
        return Concept(**{**vars(found), "pictures": pictures})

    def edit(self, trial: Trial) -> tuple[Edit, dict[str, Any]]:
        """The edit with its record; of a search without an answer the one nearest to both ends."""
        file = self.work / "edits" / f"{trial.key}.safetensors"
        notes = file.with_suffix(".json")
        if not notes.exists():
            try:
                excise.erase(
                    self.model,
                    self.concept(trial.concept, shown=False),
                    method=trial.method,
                    settings=dict(trial.settings),
                    budget=trial.budget,
                    seed=trial.seed,
                    out=file,
                    progress=self.progress,
                )
                write_json(notes, {"feasible": True})
            except Infeasible as error:
                ends: Any = error.details["ends"]
                ends["nearest"].save(file)
                write_json(notes, {"feasible": False, "why": str(error)})
        return Edit.load(file), json.loads(notes.read_text(encoding="utf-8"))

    def report(
        self, edit: Edit, concept: str, *, sizes: Sizes = TRIAL, seed: int = 0, label: str = ""
    ) -> Report:
        """The evaluation of one edit on one concept."""
        name = hash_json([edit.digest, concept, vars(sizes), seed, self.model.fingerprint()])[:16]
        folder = self.work / "reports" / f"{concept}-{name}"
        if (folder / "report.json").exists():
            return Report.load(folder)
        target = self.concept(concept, shown=True)
        judges = judges_for(self.model, (target,), None)
        found = run_suite(
            arms_of(self.model, edit, target),
            target,
            judges.first,
            others=judges.others,
            budget=sizes,
            seed=seed,
            cache=Cache(),
            stages=Stages(folder / "stages"),
            progress=self.progress,
        )
        found.save(folder)
        return found


def figures(report: Report) -> dict[str, Any]:
    """The figures of one edit that experiments compare, as JSON values."""
    record = report.record
    plain = {row.key: row.rates for row in record.rates}
    one = plain["plain"]["edit"]
    found: dict[str, Any] = {
        "plain_counts": [one.count, one.n],
        "plain": one.value,
        "plain_high": one.high,
    }
    for key in ("two", "two-other"):
        if key in plain:
            found[key] = {arm: rate.value for arm, rate in plain[key].items()}
    if record.kept is not None:
        kept = record.kept
        found |= {
            "kept": kept.mean["edit"].value,
            "kept_low": kept.mean["edit"].low,
            "worst": kept.worst["edit"].value,
            "worst_label": kept.worst_label,
            "near": kept.neighbours["edit"].value if "edit" in kept.neighbours else None,
            "nothing": {arm: rate.value for arm, rate in kept.nothing.items()},
        }
    for attack in record.attacks:
        found["rungs"] = {
            rung.key: {arm: rate.value for arm, rate in rung.rates.items()} for rung in attack.rungs
        }
        found["headline"] = attack.headline
        found["excess"] = {arm: row.model_dump() for arm, row in attack.excess.items()}
        found["delta_loss"] = {arm: row.model_dump() for arm, row in attack.delta_loss.items()}
    return found


__all__ = ["RENDERS", "SIZES", "TRIAL", "Study", "Trial", "figures"]
