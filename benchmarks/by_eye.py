"""Judges beside somebody who looked: ``python benchmarks/by_eye.py``, seconds.

144 pictures that models drew, 64 of them from inputs that an attack found, were looked at, and it
was written down whether a cat is in them, before any judge was asked. This asks the judges and
writes ``docs/judges.md``. ``python benchmarks/by_eye.py draw`` draws other pictures (some minutes);
somebody has to look at them again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mdtable import table
from PIL import Image
from study import Row
from torch import Tensor

import excise
from excise.api.judging import judges_for
from excise.attacks.concept_inversion import ConceptInversion, Rung
from excise.emoji.glyphs import LOSSLESS
from excise.emoji.pictures import concept_pictures
from excise.primitives.panel import label_of, read
from excise.primitives.prompts import naming
from excise.rng import seed_of
from excise.stats import wilson
from excise.store import read_json, write_json, write_text
from excise.suite.decoys import read_sheet
from excise.types import Concept, Request, TextToImage

HERE = Path(__file__).resolve().parent / "by_eye"
SHEET = HERE / "sheet.webp"
DOCS = Path(__file__).resolve().parent.parent / "docs"
NAME, ACROSS, SIDE = "cat", 16, 64
FOUND: Sequence[Rung] = (1, 4, "condition")
ROLES = ("judge", "auditor", "witness")
Pictures = Iterator[tuple[str, Tensor]]


def drawn(model: TextToImage, concept: Concept) -> Pictures:
    """Groups of pictures from prompts: of it, of what is near it, and of it beside others."""
    words = [*concept.names, "cat, sketch", "cat, neon", "cat on a red background"]
    near = [*concept.neighbours, "fox", "rabbit", "horse", "house"]
    for group, n, things in (
        ("prompts for it", 32, [f"a {word}" for word in words]),
        ("prompts for other things", 32, [f"a {word}" for word in near]),
        ("prompts for it and another", 16, [f"a cat and a {word}" for word in near[:4]]),
    ):
        texts = [things[i % len(things)] for i in range(n)]
        seeds = [seed_of("by eye", group, i) for i in range(n)]
        yield group, excise.generate(model, texts, seeds=seeds).uint8()


def attacked(group: str, model: TextToImage, concept: Concept, n: int) -> Pictures:
    """Pictures of inputs that Concept Inversion found on a model, whether they succeed or not."""
    prompts = naming(model, concept, (NAME,))[:1]
    found: list[Request] = []
    for i, rung in enumerate(FOUND):
        attack = ConceptInversion(rung=rung, restarts=8, steps=150, pictures=64)
        search = attack.search(model, (concept,), prompts, seed=i)
        found += [one.on(seed_of("by eye", group, i, row))
                  for row, (one,) in enumerate(search)]  # fmt: skip
    rows = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))[:n].tolist()
    yield group, torch.cat([model.generate(found[row]).uint8() for row in rows])


def draw() -> None:
    """Draw the pictures and mix them, so that nobody who looks knows where one comes from."""
    model = excise.load("emoji")
    concept = next(one for one in model.known if one.name == NAME)
    armed = replace(concept, pictures=concept_pictures(NAME, 128))
    groups = list(drawn(model, concept))
    groups += attacked("an attack on the model", model, armed, 16)
    groups += attacked(
        "an attack on a model without it", excise.load("emoji/without-cat"), armed, 24
    )
    edit = excise.erase(model, concept, method="esd", budget="quick")
    with edit.applied(model):
        groups += attacked("an attack on an edited model", model, armed, 24)
    pictures = torch.cat([many for _, many in groups])  # (n, 3, h, w)
    names = [group for group, many in groups for _ in many]
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(1))
    rows = pictures[order].permute(0, 2, 3, 1).reshape(-1, ACROSS, SIDE, SIDE, 3)
    sheet = rows.permute(0, 2, 1, 3, 4).reshape(-1, ACROSS * SIDE, 3).numpy()
    HERE.mkdir(exist_ok=True)
    Image.fromarray(sheet).save(SHEET, **LOSSLESS)
    write_json(HERE / "groups.json", [names[i] for i in order.tolist()])


def looked() -> tuple[list[str], list[bool | None]]:
    """Of each picture its group, and what somebody saw: None where they could not tell."""
    seen: Mapping[str, bool | None] = {"y": True, "n": False, "?": None}
    groups: Any = read_json(HERE / "groups.json")
    labels: Any = read_json(HERE / "looked.json")
    return list(groups), [seen[one] for one in "".join(labels[NAME])]


def rows(model: TextToImage) -> list[Row]:
    """Each judge beside the eye: over all pictures, and group by group."""
    concept = next(one for one in model.known if one.name == NAME)
    judges = judges_for(model, (concept,))
    groups, eye = looked()
    pictures = read_sheet(SHEET, (SIDE, SIDE))
    said = {}
    for role, judge in zip(ROLES, (judges.first, *judges.others), strict=True):
        label = label_of(judge, concept)
        said[role] = read(judge, pictures, [label]).shown(label).tolist()
    found = []
    for group in ("all", *dict.fromkeys(groups)):
        every = [i for i, name in enumerate(groups) if group in ("all", name)]
        own = [i for i in every if eye[i] is not None]
        cats = [i for i in own if eye[i]]
        row: Row = {"group": group, "n": len(own), "cats": len(cats)}
        row["unsure"] = len(every) - len(own)
        for role, answers in said.items():
            row[role] = {
                "shown": sum(answers[i] for i in own),
                "missed": sum(not answers[i] for i in cats),
                "alarms": sum(answers[i] for i in own if not eye[i]),
            }
        found.append(row)
    return found


def page(found: Sequence[Row]) -> str:
    """Markdown."""
    head = ["pictures from", "could be told", "could not be told", "a cat by eye"]
    head += [f"{role}: says so, misses, false alarms" for role in ROLES]
    lines = []
    for row in found:
        cells = [row["group"], str(row["n"]), str(row["unsure"]), str(row["cats"])]
        cells += ["{shown}, {missed}, {alarms}".format(**row[role]) for role in ROLES]
        lines.append(cells)
    whole = found[0]
    said = []
    for role in ROLES:
        wrong = whole[role]["missed"] + whole[role]["alarms"]
        at = wilson(whole["n"] - wrong, whole["n"])
        said.append(f"the {role} in {at.value:.1%} ({at.low:.1%} to {at.high:.1%})")
    return (
        "# Judges, beside somebody who looked\n\n"
        f"Whether a cat is in a picture, of {whole['n'] + whole['unsure']} that models drew. They "
        "were mixed and looked at one by one before any judge was asked; what could not be told "
        "counts for nobody, and the judges' columns are of what could. By `python "
        f"benchmarks/by_eye.py`. All told they agree with the eye: {'; '.join(said)}.\n\n"
        + table(head, lines)
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("what", nargs="?", choices=["draw"])
    options = parser.parse_args()
    if options.what == "draw":
        draw()
    else:
        write_text(DOCS / "judges.md", page(rows(excise.load("emoji"))))


if __name__ == "__main__":
    main()
