"""Does a test that stops early decide as 400 pictures do? ``python benchmarks/sequential.py``.

Cells are prompts on a half-erased model, of which a third lie near the limit: found by a first look
on other seeds. Of each, 400 pictures are drawn and kept; the test reads them in order, once for a
claim that stands alone and once as the suite asks it, with many claims and fewer pictures. Writes
``docs/sequential.json`` and ``docs/sequential.md``, and fails where there are too few cells, too
few near the limit, or too few decisions that all pictures bear out; goes on after a stop.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mdtable import table
from study import Study, Trial, opened
from torch import Tensor

from excise import registry
from excise.primitives.probe import thumbnails
from excise.primitives.prompts import naming
from excise.rng import seed_of
from excise.stats import decide, wilson
from excise.store import load_tensors, save_tensors, write_json, write_text
from excise.suite import SIZES
from excise.suite.battery import RETURNS
from excise.types import Prompt, Request, merged

DOCS = Path(__file__).resolve().parent.parent / "docs"
LIMIT, MOST, FIRST = RETURNS, 400, 32
EACH, NEAR = 15, 0.06  # cells below, near and above the limit, by a first look
LEAST, WITHIN, SHARE = 40, 0.05, 1 / 3
"""How many cells there have to be, and what share of them this near the limit, by all pictures."""
AGREE = 0.95
"""Of the decisions of each test, how many have to be on the side of all pictures."""
CLAIMS = sum(registry.get("attack", n).kind == "confirming" for n in registry.names("attack"))
"""Of a suite: one for each attack that confirms, and all of them share the error."""
TESTS: Mapping[str, tuple[int, int]] = {
    "one claim": (1, MOST),
    "as the standard suite asks": (CLAIMS, SIZES["standard"].decide),
}
"""The claims among which the error is shared, and the pictures, at most."""
STRENGTHS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
CONCEPTS = ("cat", "sketch")


@dataclass(frozen=True)
class Cell:
    """A prompt on an edit at a strength."""

    concept: str
    strength: float
    prompt: Prompt


class Cells:
    """Pictures of cells, kept under what they depend on."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def every(self) -> list[Cell]:
        """All there are."""
        found = []
        for name in CONCEPTS:
            concept = self.study.concept(name, shown=False)
            texts = naming(self.study.model, concept)[:8]
            found += [Cell(name, alpha, text) for alpha in STRENGTHS for text in texts]
        return found

    def hits(self, cells: Sequence[Cell], what: str, n: int) -> Tensor:
        """Whether each of n pictures shows the concept, (cells, n)."""
        rows: dict[Cell, Tensor] = {}
        for name in CONCEPTS:
            for alpha in STRENGTHS:
                own = [c for c in cells if (c.concept, c.strength) == (name, alpha)]
                rows |= zip(own, self._drawn(own, what, n), strict=True)
        return torch.stack([rows[cell] for cell in cells])

    def _drawn(self, cells: Sequence[Cell], what: str, n: int) -> list[Tensor]:
        """Those of one edit at one strength."""
        if not cells:
            return []
        study, first = self.study, cells[0]
        edit = first.strength * study.edit(Trial(concept=first.concept, method="esd"))[0]
        found = []
        for cell in cells:
            key = study.key(cells=what, edit=edit.digest, prompt=cell.prompt.text, n=n)
            file = study.work / "sequential" / f"{what}-{key}.safetensors"
            if not file.exists():
                with edit.applied(study.model):
                    save_tensors(file, self._made(cell, what, n), {})
            found.append(load_tensors(file)[0]["shown"].bool())
        return found

    def _made(self, cell: Cell, what: str, n: int) -> dict[str, Tensor]:
        """The pictures, small, and what the judge says of them."""
        study, concept = self.study, self.study.concept(cell.concept, shown=False)
        judge = study.judges(cell.concept).first
        seeds = [seed_of("sequential", what, cell.prompt.text, i) for i in range(n)]
        shown, small = torch.zeros(n), [torch.empty(0)] * n
        wanted = [Request(prompts=(cell.prompt,), seeds=(seed,)) for seed in seeds]
        for rows, request in merged(wanted):
            made = study.model.generate(request)
            shown[rows] = judge.score(made.pictures, concept).shown.float().cpu()
            for row, thumb in zip(rows, thumbnails(made.uint8()), strict=True):
                small[row] = thumb
        return {"shown": shown, "pictures": torch.stack(small)}


def chosen(cells: Sequence[Cell], looks: Tensor) -> list[int]:
    """As many cells near the limit as below and above it, by a first look (cells, n)."""
    rates = looks.float().mean(dim=1)
    near = ((rates - LIMIT).abs() <= NEAR).nonzero().flatten().tolist()
    below = (rates < LIMIT - NEAR).nonzero().flatten().tolist()
    above = (rates > LIMIT + NEAR).nonzero().flatten().tolist()
    return sorted([*_spread(near), *_spread(below), *_spread(above)])


def _spread(rows: list[int]) -> list[int]:
    n = min(EACH, len(rows))
    return [rows[i * len(rows) // n] for i in range(n)]


def row(cell: Cell, hits: Tensor) -> dict[str, Any]:
    """What 400 pictures say, and what each test said after how many."""
    k = int(hits.sum())
    fixed = wilson(k, MOST)
    tests: dict[str, Any] = {}
    for name, (claims, most) in TESTS.items():
        found = decide(lambda a, b: hits[a:b].tolist(), limit=LIMIT, most=most, claims=claims)
        tests[name] = {"side": found.side, "pictures": found.n}
    return {
        "concept": cell.concept,
        "strength": cell.strength,
        "prompt": cell.prompt.text,
        "hits": k,
        "fixed": "below" if k < LIMIT * MOST else "above",
        "sure": not fixed.low <= LIMIT <= fixed.high,
        "tests": tests,
    }


def decided(rows: Sequence[dict[str, Any]], test: str) -> tuple[int, int]:
    """In how many cells a test has decided, and how often as all pictures do."""
    sides = [(r["tests"][test]["side"], r["fixed"]) for r in rows]
    return sum(one is not None for one, _ in sides), sum(one == fixed for one, fixed in sides)


def amiss(rows: Sequence[dict[str, Any]]) -> str | None:
    """Tests whose decisions all pictures bear out too seldom; None if there are none.

    Of decisions alone. A cell whose rate lies at the limit has a side in any number of pictures,
    and no test with an error may decide it.
    """
    found = []
    for test in TESTS:
        sure, agree = decided(rows, test)
        if agree < AGREE * sure or not sure:
            found.append(f"{test}: {agree} of {sure}")
    return "; ".join(found) or None


def near(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cells whose share of all pictures lies near the limit, where deciding is hard."""
    # In pictures: shares do not subtract exactly.
    return [r for r in rows if abs(r["hits"] - LIMIT * MOST) <= WITHIN * MOST + 0.5]


def short(rows: Sequence[dict[str, Any]]) -> str | None:
    """What there are too few of; None if there are enough."""
    said = []
    if len(rows) < LEAST:
        said.append(f"{len(rows)} cells, where {LEAST} are needed")
    if len(near(rows)) < SHARE * len(rows):
        said.append(
            f"{len(near(rows))} of {len(rows)} cells within {100 * WITHIN:.0f} points of the "
            "limit, where a third is needed"
        )
    return "; ".join(said) or None


def page(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown. A cell without a decision agrees with nothing, and is counted by itself."""
    unsure = [r for r in rows if not r["sure"]]
    few, wrong, lines = short(rows), amiss(rows), []
    for test, (claims, most) in TESTS.items():
        sure, agree = decided(rows, test)
        mean = sum(r["tests"][test]["pictures"] for r in rows) / len(rows)
        lines.append([
            test, str(claims), str(most), f"{sure} of {len(rows)}", f"{agree} of {sure}",
            f"{agree} of {len(rows)}", str(len(rows) - sure), f"{mean:.0f}",
        ])  # fmt: skip
    head = ("test", "claims", "pictures, at most", "decided", f"of these, as all {MOST} pictures",
            "of all cells", "undecided", "pictures on average")  # fmt: skip
    return (
        "# Stopping early\n\nOn which side of "
        f"{LIMIT:.0%} does a rate lie? {len(rows)} cells, {len(near(rows))} of them within "
        f"{100 * WITHIN:.0f} points of the limit; by `python benchmarks/sequential.py`. Beside the "
        f"test that may stop at any picture: the share of all {MOST} pictures. A standard suite "
        "makes a claim for each attack that confirms, and all of them share the error. A cell "
        f"without a decision agrees with nothing; an interval of {MOST} pictures (Wilson, 95 %, "
        f"looked at once) holds the limit in {len(unsure)}.\n\n"
        + ("" if few is None else f"**Too few for a claim: {few}.**\n\n")
        + ("" if wrong is None else f"**Fewer than {AGREE:.0%} of the decisions are on the side of "
           f"all {MOST} pictures: {wrong}.**\n\n")
        + table(head, lines)
    )  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    _, study = opened(parser)
    found = Cells(study)
    every = found.every()
    picked = [every[i] for i in chosen(every, found.hits(every, "first", FIRST))]
    rows = [row(c, hits) for c, hits in zip(picked, found.hits(picked, "all", MOST), strict=True)]
    write_json(DOCS / "sequential.json", rows)
    write_text(DOCS / "sequential.md", page(rows))
    # Once what was found is written.
    if (few := short(rows)) is not None:
        raise SystemExit(f"too few for a claim: {few}")
    if (wrong := amiss(rows)) is not None:
        raise SystemExit(f"under {AGREE:.0%} of the decisions agree: {wrong}")


if __name__ == "__main__":
    main()
