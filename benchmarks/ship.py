"""Pack what attacks found on base and oracles, to ship: ``python benchmarks/ship.py``.

Those of first looks (the budget ``quick``, minutes), and, after ``suites.py``, of the standard
suite; ``--quick`` packs the first alone. Of the searches and retrainings of known concepts, those
that took most seconds for their bytes, as far as there is room; other pictures are drawn again.
Concepts that a user gives by pictures of their own are left out. Writes
``src/excise/assets/results.zip``.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from reproduce import CONCEPTS
from study import Study, opened
from suites import edits_for, suite

from excise.api.cases import SHIPPED, arms_of
from excise.emoji.pictures import WATERMARK
from excise.store import Artefact, Cache, Json
from excise.store.archive import pack
from excise.suite import SIZES
from excise.suite.arms import SHARED
from excise.suite.battery import fight
from excise.suite.evaluate import bench_of
from excise.suite.sizes import FIRST

ROOM = 600_000
"""Bytes of the archive, at most: the repository has a limit of its own."""


@dataclass(frozen=True)
class Entry:
    """A kept result. size: in bytes, packed. seconds: that it took."""

    path: Path
    size: int
    seconds: float


class Seen(Cache):
    """A cache that remembers which searches it was asked for and had."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[Path, Entry] = {}

    def get(self, key: Json) -> Artefact | None:
        """What was put under `key`, or None."""
        found = super().get(key)
        if found is not None and isinstance(key, dict) and "attack" in key:
            path = self.path(key)
            packed = len(zlib.compress(path.read_bytes(), 9))
            self.entries[path] = Entry(path, packed, float(found.record["costs"]["seconds"]))
        return found


def chosen(entries: Iterable[Entry], room: int) -> list[Entry]:
    """Those that save most time for their bytes, as many as there is room for."""
    found, left = [], room
    for one in sorted(entries, key=lambda one: (-one.seconds / one.size, one.path)):
        if one.size <= left:
            found.append(one)
            left -= one.size
    return found


def first_look(study: Study, concept: str, cache: Cache) -> None:
    """The attacks of the quick budget on base and oracle, which no edit has a part in."""
    target, judges = study.concept(concept, shown=False), study.judges(concept)
    every = arms_of(study.model, None, target, base=study.model)
    arms = [arm for arm in every if arm.role in SHARED]
    sizes = replace(SIZES["quick"], cascade=False)
    fight(bench_of(arms, target, judges.first, judges.others, sizes, 0, study.progress, None,
                   cache, study.stages), FIRST)  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--room", type=int, default=ROOM, help="bytes, at most")
    parser.add_argument("--quick", action="store_true", help="only what first looks need")
    options, study = opened(parser, renders=False)
    seen = Seen()
    for concept in CONCEPTS:
        if concept != WATERMARK:
            first_look(study, concept, seen)
            if not options.quick:
                suite(study, concept, edits_for(study, concept), seen)
    every = list(seen.entries.values())
    picked = chosen(every, options.room)
    pack(SHIPPED.file, [one.path for one in picked])
    saved, whole = (sum(one.seconds for one in some) for some in (picked, every))
    sys.stdout.write(
        f"{len(picked)} of {len(every)} results, {SHIPPED.file.stat().st_size / 1e6:.2f} MB; "
        f"{saved / 60:.0f} of {whole / 60:.0f} minutes\n"
    )


if __name__ == "__main__":
    main()
