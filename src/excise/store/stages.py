"""A long run as a row of stages in a folder, each of which is computed once and found again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from excise import __version__
from excise.errors import BadFile
from excise.store.files import Json, canonical, hash_json
from excise.store.temporary import sweep
from excise.store.tensors import Artefact, load_tensors, save_tensors


class Stage:
    """One stage: a finished artefact, or a checkpoint to go on from, or nothing yet.

    ::

        stage = stages.stage("finetune", key={"steps": 200, "seed": 0})
        if (done := stage.load()) is None:
            begun = stage.resume()
            first = begun.record["step"] if begun else 0
            for step in range(first, 200):
                ...
                stage.checkpoint(lambda: (tensors, {"step": step + 1}))
            done = stage.finish(tensors, {"loss": loss})
    """

    def __init__(
        self, path: Path, key: Json, every_seconds: float, clock: Callable[[], float]
    ) -> None:
        self.path = path
        self._part = path.with_suffix(".part.safetensors")
        self._key = canonical(key)
        self._every = every_seconds
        self._clock = clock
        self._saved = clock()

    def load(self) -> Artefact | None:
        """The finished artefact, or None if the stage is still to be done."""
        done = _read(self.path, self._key)
        if done is not None:
            self._part.unlink(missing_ok=True)  # a kill may have come between the two
        return done

    def resume(self) -> Artefact | None:
        """The last checkpoint of an unfinished stage, or None."""
        return _read(self._part, self._key)

    def checkpoint(
        self, state: Callable[[], tuple[Mapping[str, Tensor], Json]], *, force: bool = False
    ) -> bool:
        """Save what `state` returns if the last checkpoint is old enough; says whether it did.

        `state` is called only then: it may copy tensors at leisure. What it returns must be all
        that the loop needs to end with the same bytes as if it had not been stopped, the states of
        its generators and optimiser among it.
        """
        if not force and self._clock() - self._saved < self._every:
            return False
        tensors, record = state()
        _write(self._part, self._key, tensors, record)
        self._saved = self._clock()
        return True

    def finish(self, tensors: Mapping[str, Tensor] | None = None, record: Json = None) -> Artefact:
        """Save the stage's result and drop its checkpoint; the result as it will be read back."""
        _write(self.path, self._key, tensors or {}, record)
        done = self.load()
        if done is None:
            raise BadFile(f"{self.path} was changed while it was written; run again")
        return done

    def get(self, compute: Callable[[], tuple[Mapping[str, Tensor], Json]]) -> Artefact:
        """The finished artefact; computed and saved first, if it is not there."""
        done = self.load()
        return done if done is not None else self.finish(*compute())


class Stages:
    """The stages of a run, kept in `folder`.

    A stage belongs to its name and its key, the JSON value of everything that its result depends
    on; another key, or another version of Excise, is another stage.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        every_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = Path(folder)
        self._every = every_seconds
        self._clock = clock
        sweep(self.folder)

    def stage(self, name: str, key: Json) -> Stage:
        """The stage of this name for these inputs.

        Raises:
            ValueError: `name` holds something other than letters, digits, dashes and underscores.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise ValueError(f"expected a name of letters, digits, - and _, got {name!r}")
        full = {"stage": name, "key": key, "version": __version__}
        path = self.folder / f"{name}-{hash_json(full)[:16]}.safetensors"
        return Stage(path, full, self._every, self._clock)


def _write(path: Path, key: str, tensors: Mapping[str, Tensor], record: Json) -> None:
    save_tensors(path, tensors, {"key": key, "record": record})


def _read(path: Path, key: str) -> Artefact | None:
    # Writes are atomic, so a file that cannot be read was damaged by something else: do it again.
    try:
        tensors, meta = load_tensors(path)
    except BadFile:
        return None
    if not isinstance(meta, dict) or meta.get("key") != key:
        return None
    return Artefact(tensors=tensors, record=meta.get("record"))
