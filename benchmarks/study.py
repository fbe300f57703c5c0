"""What experiments and figures share: an edit is made once, measured once, and both are kept.

Everything is found again under a hash of what it depends on, in ``--work`` (by default the cache
folder), so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from arrays import Arrays, arrays_of

import excise
from excise import registry
from excise.api.cases import arms_of
from excise.api.erasing import eraser_of
from excise.api.judging import Judges, judges_for
from excise.edit import Edit
from excise.edit.file import record_folder
from excise.emoji.pictures import WATERMARK
from excise.errors import Infeasible
from excise.method import Budget
from excise.progress import SILENT, Progress, for_stream
from excise.reporting import Report
from excise.settings import recipe
from excise.store import Cache, Stages, hash_json, read_json, write_json
from excise.store.cache import default_root
from excise.suite import Sizes
from excise.suite import evaluate as run_suite
from excise.suite.evaluate import Settings, bench_of
from excise.types import Concept, Judge, TextToImage
from excise.worlds.emoji import Emoji

Row = dict[str, Any]
VERSION = 1
"""Of all that is kept here. Raise it when changed code lets the same key mean something else."""

RENDERS = 720
"""Pictures of a concept, rendered, so that no model has drawn them; cut into `SHARES`, which leaves
what `Sizes` ask for to the attacker and to be held out."""

TRIAL = Sizes(
    plain=1, pairs=1, others=12, kept=10, rungs=(4, "condition"), prompts=4, restarts=6, best_of=2,
    select=2, score=4, steps=300, attacker=128, held_out=32, entries=4, embedding=2,
    attacks=(),
)  # fmt: skip
"""For the choice between settings: a few minutes, and intervals too wide for a claim. Searched for
as long as claims are, since a shorter search is another attack."""


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


class Study:
    """A model, its oracles and judges, and a folder.

    model, judge: by default the embedded model and its own judges. renders: attackers have pictures
    that no model has drawn; otherwise the unedited model draws theirs, as for a user of the command
    line, so that what is measured on it and on the oracles can ship.
    """

    def __init__(
        self,
        work: Path | None = None,
        progress: Progress = SILENT,
        *,
        model: TextToImage | None = None,
        judge: Judge | None = None,
        renders: bool = True,
    ) -> None:
        self.work = work or default_root() / "study"
        self.model = excise.load("emoji") if model is None else model
        self.judge = judge
        self.renders = renders
        self.progress = progress
        self.cache = Cache()
        self.stages = Stages(self.work / "stages")  # one for all, so that nothing is done twice
        self._judges: dict[str, Judges] = {}
        self._oracles: dict[str, TextToImage | None] = {}
        self._loaded: dict[str, TextToImage] = {}  # one model is the oracle of several concepts
        self._concepts: dict[tuple[str, bool], Concept] = {}

    def concept(self, name: str, *, shown: bool) -> Concept:
        """A concept for the attacker, with renders if there are to be, or without for the eraser.

        The watermark has pictures for both; each takes a part that the other never sees. An
        object's are in no style: an input that has to serve in every style is a weaker attack.
        """
        shown = shown and self.renders
        if (name, shown) not in self._concepts:
            known = next((one for one in self.model.known if one.name == name), None)
            found = known or Concept(name, kind="implicit")
            if shown or name == WATERMARK:
                pictures = Emoji().pictures(found, RENDERS, seed=0)
                found = Concept(**{**vars(found), "pictures": pictures})
            self._concepts[name, shown] = found
        return self._concepts[name, shown]

    def judges(self, name: str) -> Judges:
        """Who looks at a concept."""
        if name not in self._judges:
            target = self.concept(name, shown=False)
            self._judges[name] = judges_for(self.model, (target,), self.judge)
        return self._judges[name]

    def oracle(self, name: str) -> TextToImage | None:
        """The model that never saw a concept; None if there is none."""
        if name not in self._oracles:
            arms = arms_of(self.model, None, self.concept(name, shown=False))
            arm = next((arm for arm in arms if arm.role == "oracle"), None)
            found = None if arm is None else self._loaded.setdefault(arm.note, arm.model)
            self._oracles[name] = found
        return self._oracles[name]

    @cached_property
    def common(self) -> dict[str, Any]:
        """What everything depends on."""
        return {
            "version": VERSION,
            "excise": excise.__version__,
            "model": self.model.fingerprint(),
            "precision": self.model.precision,
            "known": [concept.to_json() for concept in self.model.known],
        }

    def key(self, **parts: Any) -> str:
        """A name for what depends on some JSON values, and on what everything depends on."""
        return hash_json({**self.common, **parts})[:16]

    def made(self, name: str, seed: int) -> dict[str, Any]:
        """What an edit depends on besides its method."""
        return {
            "concept": self.concept(name, shown=False).to_json(),
            "seed": seed,
            "judge": _digest(self.judges(name).first),
        }

    def measured(
        self, name: str, sizes: Sizes, seed: int, settings: Settings | None = None
    ) -> dict[str, Any]:
        """What a measurement depends on besides the edit. settings: of attacks, by name."""
        judges, oracle = self.judges(name), self.oracle(name)
        return {
            "concept": self.concept(name, shown=True).to_json(),
            "sizes": vars(sizes),
            "settings": settings or {},
            "seed": seed,
            "judges": [_digest(judge) for judge in (judges.first, *judges.others)],
            "oracle": None if oracle is None else oracle.fingerprint(),
        }

    def row(self, folder: str, name: str, make: Callable[[], Row]) -> Row:
        """JSON values under a name: read where they were kept, or made and kept."""
        file = self.row_file(folder, name)
        if not file.exists():
            write_json(file, make())
        found: Any = read_json(file)
        return dict(found)

    def row_file(self, folder: str, name: str) -> Path:
        """Where `row` keeps what has a name."""
        return self.work / folder / f"{name}.json"

    def name(self, trial: Trial) -> str:
        """What a trial's files are called."""
        target = self.concept(trial.concept, shown=False)
        eraser = eraser_of(
            self.model, trial.method, trial.settings, trial.budget, concepts=(target,)
        )
        made = self.made(trial.concept, trial.seed)
        key = self.key(edit=made, method=trial.method, settings=recipe(eraser))
        return f"{trial.concept}-{trial.method}-{trial.seed}-{key}"

    def file(self, trial: Trial) -> Path:
        """Where a trial's edit is kept."""
        return self.work / "edits" / f"{self.name(trial)}.safetensors"

    def begun(self, trial: Trial) -> bool:
        """Has anything of the edit been made?"""
        file = self.file(trial)
        return file.with_suffix(".json").exists() or record_folder(file).exists()

    def edit(self, trial: Trial) -> tuple[Edit, Row]:
        """The edit, and what is known of it; see `erased`."""
        return self.erased(
            self.file(trial),
            (self.concept(trial.concept, shown=False),),
            method=trial.method,
            settings=dict(trial.settings),
            budget=trial.budget,
            seed=trial.seed,
        )

    def erased(
        self,
        file: Path,
        concepts: Sequence[Concept],
        *,
        method: str,
        settings: Mapping[str, Any] | None = None,
        budget: Budget = "standard",
        seed: int = 0,
    ) -> tuple[Edit, Row]:
        """An edit of the model as it is now: read from its file, or made and kept there.

        Of a search without an answer it is the edit nearest to both ends. Beside it, of a method
        that searches for its strength: ``feasible``, ``verified``, and in ``infeasible`` what the
        search said that found none.
        """
        notes = file.with_suffix(".json")
        if not notes.exists():
            try:
                excise.erase(self.model, list(concepts), method=method, settings=settings,
                             budget=budget, seed=seed, judge=self.judge, out=file,
                             progress=self.progress)  # fmt: skip
                write_json(notes, {"feasible": True})
            except Infeasible as error:
                ends: Any = error.details["ends"]
                ends["nearest"].save(file)
                write_json(notes, {"feasible": False, "why": str(error)})
        edit, known = Edit.load(file), read_json(notes)
        if not searches(method) or not isinstance(known, dict):
            return edit, {}
        facts: Row = {"feasible": known["feasible"], "verified": edit.recipe.verified}
        return edit, facts | ({"infeasible": known["why"]} if "why" in known else {})

    def report(
        self,
        edit: Edit,
        name: str,
        *,
        sizes: Sizes = TRIAL,
        seed: int = 0,
        settings: Settings | None = None,
    ) -> Report:
        """The evaluation of one edit on one concept."""
        folder = self._folder(edit, name, sizes, seed, settings)
        if (folder / "report.json").exists():
            return Report.load(folder)
        judges = self.judges(name)
        found = run_suite(
            arms_of(self.model, edit, self.concept(name, shown=True), oracle=self.oracle(name)),
            self.concept(name, shown=True),
            judges.first,
            others=judges.others,
            budget=sizes,
            seed=seed,
            settings=settings,
            cache=self.cache,
            stages=self.stages,
            progress=self.progress,
        )
        found.save(folder)
        return found

    def arrays(
        self,
        edit: Edit,
        name: str,
        *,
        sizes: Sizes,
        seed: int = 0,
        settings: Settings | None = None,
    ) -> Arrays:
        """The same evaluation picture by picture, from what it kept."""
        file = self._folder(edit, name, sizes, seed, settings) / "arrays.safetensors"
        if file.exists():
            return Arrays.load(file)
        target, judges = self.concept(name, shown=True), self.judges(name)
        arms = arms_of(self.model, edit, target, oracle=self.oracle(name))
        bench = bench_of(arms, target, judges.first, judges.others, sizes, seed, self.progress,
                         None, self.cache, self.stages)  # fmt: skip
        found = arrays_of(bench, settings or {})
        found.save(file)
        return found

    def _folder(
        self, edit: Edit, name: str, sizes: Sizes, seed: int, settings: Settings | None = None
    ) -> Path:
        key = self.key(edit=edit.digest, measured=self.measured(name, sizes, seed, settings))
        return self.work / "reports" / f"{name}-{key}"


def opened(
    parser: argparse.ArgumentParser, *, renders: bool = True
) -> tuple[argparse.Namespace, Study]:
    """The options of a benchmark, and the study that they name. renders: as `Study`."""
    parser.add_argument("--work", type=Path, default=None, help="where everything is kept")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    return options, Study(options.work, for_stream(sys.stderr), renders=renders)


def searches(method: str) -> bool:
    """Does a method search for a strength, so that its edits are feasible and verified, or not?"""
    return "strength" in registry.get("eraser", method).__dataclass_fields__


def _digest(judge: Any) -> str:
    """Of what its answers depend on; a judge without one cannot be told from another."""
    return str(judge.digest)
