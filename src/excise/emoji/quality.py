"""How well a model of the emoji world draws: ``python -m excise.emoji.quality [model]``.

Writes ``quality.json`` beside the model, and its card anew. Every rate is given by the judge, and
next to it by the auditor and the witness, with Wilson intervals: pictures inside one artefact.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from excise.emoji.cards import write_card
from excise.emoji.contact import Keep, Samples, contact_sheets
from excise.emoji.glyphs import Atlas
from excise.emoji.memorised import reproduced
from excise.emoji.questions import HELD_BACK, Question, Questions
from excise.emoji.subject import Draw, Subject, notes_of
from excise.emoji.tally import Figures, Tally
from excise.emoji.timing import timed
from excise.emoji.world import World
from excise.errors import ExciseError
from excise.judges.base import Labelled
from excise.judges.classifier import Classifier
from excise.judges.witness import Witness
from excise.models.load import ASSETS, load
from excise.primitives.panel import Panel, read
from excise.progress import SILENT, Progress, for_stream, stage
from excise.store import sha256_file, write_json

FORMAT = "excise.quality/1"
PICTURES = 528
"""A section; 24 of each object where there are 22."""

BATCH = 64
DEMANDS: dict[str, float] = {
    "plain": 0.95,
    "synonym": 0.90,
    "styled": 0.85,
    "style": 0.95,
    "pair": 0.70,
    "diffusers": 0.90,
}
"""The least rate, by the judge, with which a model ships."""

SECONDS = 0.08
"""The most that one picture may take, on two idle cores."""


def figures(
    subject: Subject,
    judges: Mapping[str, Panel],
    *,
    pictures: int = PICTURES,
    seed: int = 0,
    keep: Keep | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """All figures but those of time, as JSON values.

    judges: by name; the first decides whether demands are met. keep: is shown each section.
    """
    questions = Questions(pictures=pictures, seed=seed, without=subject.without)
    asked = questions.all()
    plainly = [_at_defaults(question) for question in questions.plain()]
    drawn = _draw(subject.draw, asked, "draw", progress)
    drawn = torch.cat([drawn, _draw(subject.draw_plainly, plainly, "at defaults", progress)])
    asked += plainly
    with stage(progress, "judge", len(judges), "judge") as told:
        sheets = {}
        for name, judge in judges.items():
            sheets[name] = read(judge, drawn)
            told.advance()
    tally = Tally(asked, sheets)
    if keep is not None:
        for section in dict.fromkeys(question.section for question in asked):
            rows = tally.rows(section)
            keep([asked[i] for i in rows], drawn[rows])
    world = World(atlas=Atlas(), without=subject.without)
    found = _counted(tally)
    first = next(iter(judges))
    return {
        "figures": found,
        "demands": _demands(found, first),
        "disagreement": _disagreement(found, first),
        "classes": {
            section: tally.by_class(section)
            for section in ("plain", "synonym", "styled", "pair", "diffusers")
        },
        "styles": {s: tally.style(tally.rows("styled", showing=s)) for s in questions.styles},
        "words": tally.by_word("synonym"),
        "instead": tally.instead("plain", first),
        "decoys": tally.by_class("decoy"),
        "dropped": _dropped(tally, subject.without),
        "memorised": reproduced(subject.draw, world, each=max(1, pictures // 33), seed=seed),
    }


def measure(
    folder: Path,
    judge: Path | None = None,
    auditor: Path | None = None,
    *,
    pictures: int = PICTURES,
    seed: int = 0,
    witness: bool = True,
    keep: Keep | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """All figures of a model in a folder, as JSON values.

    judge, auditor: folders of classifiers; left out, those that the model names.

    Raises BadFile for a folder without a model, or a judge's folder without a classifier.
    """
    notes, home = notes_of(folder)
    judges: dict[str, Labelled] = {}
    for name, given in (("judge", judge), ("auditor", auditor)):
        place = given if given is not None else home / str(notes.get(name, f"../{name}"))
        if given is not None or name == "judge" or place.is_dir():
            judges[name] = Classifier(folder=str(place))
    if witness:
        judges["witness"] = Witness()
    model = load(folder)
    subject = Subject.of(model, frozenset(notes.get("without", ())))
    seconds = timed(subject.draw)
    found = figures(subject, judges, pictures=pictures, seed=seed, keep=keep, progress=progress)
    if model.device.type == "cpu" and seconds["idle"]:
        fast = seconds["a_picture"] <= SECONDS
        row = {"at_most": SECONDS, "value": seconds["a_picture"], "met": fast}
        found["demands"]["seconds"] = row
    defaults = model.defaults
    return {
        "format": FORMAT,
        "without": sorted(subject.without),
        "pictures": pictures,
        "seed": seed,
        "device": str(model.device),
        "sampler": {
            "steps": defaults.steps,
            "guidance": defaults.guidance,
            "scheduler": defaults.scheduler,
        },
        "weights": {
            file.parent.name: sha256_file(file) for file in sorted(folder.glob("*/*.safetensors"))
        },
        "judges": {name: panel.digest for name, panel in judges.items()},
        "seconds": seconds,
        **found,
    }


def _at_defaults(question: Question) -> Question:
    return replace(question, section="diffusers")


def _draw(draw: Draw, asked: Sequence[Question], name: str, progress: Progress) -> Tensor:
    """All pictures, uint8 (n, 3, h, w), 64 at a time."""
    parts = []
    with stage(progress, name, len(asked), "picture") as told:
        for i in range(0, len(asked), BATCH):
            part = asked[i : i + BATCH]
            parts.append(draw([q.text for q in part], [q.seed for q in part]))
            told.advance(len(part))
    return torch.cat(parts)


def _counted(tally: Tally) -> dict[str, Figures]:
    plain, styled = tally.rows("plain"), tally.rows("styled")
    unnamed = [i for i in tally.rows("synonym") if tally.questions[i].word in HELD_BACK]
    return {
        "plain": tally.figure(plain),
        "synonym": tally.figure(tally.rows("synonym")),
        "held back": tally.figure(unnamed),
        "styled": tally.figure(styled),
        "style": tally.style(styled),
        "pair": tally.figure(tally.rows("pair")),
        "diffusers": tally.figure(tally.rows("diffusers")),
        "decoy": tally.figure(tally.rows("decoy")),
        "watermark": tally.showing(plain, "watermark"),
        "nothing": tally.nothing(plain),
    }


def _demands(found: Mapping[str, Figures], judge: str) -> dict[str, Any]:
    """Which figures reach what is demanded of a model that ships."""
    rates = {name: found[name][judge]["rate"] for name in DEMANDS if judge in found[name]}
    return {
        name: {"at_least": DEMANDS[name], "value": value, "met": value >= DEMANDS[name]}
        for name, value in rates.items()
    }


def _disagreement(found: Mapping[str, Figures], judge: str) -> dict[str, dict[str, float]]:
    """The other judges' rates less the first one's; they agree within 0.03."""
    return {
        name: {
            other: round(figure["rate"] - by[judge]["rate"], 4)
            for other, figure in by.items()
            if other != judge
        }
        for name, by in found.items()
        if judge in by
    }


def _dropped(tally: Tally, without: frozenset[str]) -> dict[str, Figures]:
    """By concept that the model was trained without, how often its words draw it."""
    found = tally.by_class("dropped")
    if "watermark" in without:  # no word asks for it
        found["watermark"] = tally.showing(tally.rows("plain"), "watermark")
    return found


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="emoji", help="an embedded name, or a folder")
    parser.add_argument("--out", type=Path, help="left out: quality.json beside the model")
    parser.add_argument("--judge", type=Path, help="left out: the one that the model names")
    parser.add_argument("--auditor", type=Path)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="a section")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--sheets", type=Path, help="a folder for all pictures, to be looked at")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = Path(options.model) if Path(options.model).is_dir() else ASSETS / options.model
    samples = Samples()
    looks: list[Keep] = [samples.keep]
    if options.sheets is not None:
        looks.append(contact_sheets(options.sheets))

    def keep(asked: Sequence[Question], pictures: Tensor) -> None:
        for look in looks:
            look(asked, pictures)

    try:
        with for_stream(sys.stderr) as progress:
            found = measure(
                folder,
                options.judge,
                options.auditor,
                pictures=options.pictures,
                seed=options.seed,
                keep=keep,
                progress=progress,
            )
        write_json(options.out or folder / "quality.json", found)
        if options.out is None:
            samples.save(folder / "samples.jpg")
            write_card(folder)
    except ExciseError as error:
        parser.error(str(error))
    for name, row in found["demands"].items():
        least = row.get("at_least", row.get("at_most"))
        verdict = "met" if row["met"] else "NOT MET"
        sys.stdout.write(f"{name:10} {row['value']:.3f}  demanded {least:.2f}  {verdict}\n")


if __name__ == "__main__":
    main()
