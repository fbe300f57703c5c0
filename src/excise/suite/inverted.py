"""The inputs by which an edit's strength was chosen: what each draws and explains, and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from excise.primitives.denoising import concept_loss
from excise.primitives.inverted import Inversion
from excise.primitives.panel import read, title
from excise.primitives.probe import thumbnails
from excise.reporting.figures import Estimate, Rate
from excise.reporting.findings import Inversions, Inverted
from excise.rng import seed_of
from excise.stats import survival_bound
from excise.suite.arms import Arm
from excise.suite.bench import Bench, Made
from excise.suite.book import Book
from excise.suite.held_out import LOSS, HeldOut
from excise.suite.history import History
from excise.types import Score, merged

EMBEDDINGS = "inverted inputs"
MOST, SHOWN = 32, 4  # inputs, and pictures of each that are kept
ENTRIES = 64  # of the bank of pictures, noises and levels
LEVEL = 0.95


@dataclass(frozen=True, eq=False, kw_only=True)
class _Set:
    """One set of inputs on one arm.

    values: (K * each,), the judge's scores. thumbs: their pictures. losses: (K, B), if measured.
    """

    values: Tensor
    thumbs: Tensor
    losses: Tensor | None


def inversions(
    bench: Bench, book: Book, history: History, held: HeldOut | None
) -> Inversions | None:
    """Every inverted input on the base and on the edit, at equal seeds; None without any."""
    arms = [arm for arm in bench.arms.values() if arm.role in ("base", "edit")]
    sets = history.choose
    if not sets or not arms:
        return None
    part = None if held is None else held.thinned(ENTRIES)
    diversity: Mapping[str, Any] = history.record["choose"].get("diversity", {})
    rows: list[Inverted] = []
    losses: dict[str, list[Tensor]] = {}
    for found, kinds in zip(sets, _kinds(sets, diversity.get("clusters", ())), strict=True):
        made = {arm.key: _made(bench, arm, found, part) for arm in arms}
        for i in range(min(len(found), MOST - len(rows))):
            own = {n: one.losses[i] for n, one in made.items() if one.losses is not None}
            for name, row in own.items():
                losses.setdefault(name, []).append(row)
            label = f"{len(rows) + 1}"
            rows.append(_row(bench, book, label, found, i, made, own, part, kinds[i]))
    together = {name: torch.stack(many).mean(dim=0) for name, many in losses.items()}
    return Inversions(
        rows=tuple(rows),
        gap=_gap(bench, book, "the loss at inverted inputs", together, part),
        size=diversity.get("size"),
        participation=diversity.get("participation"),
        clusters=diversity.get("kinds"),
        singletons=diversity.get("singletons"),
        **_checked(history),
    )


def _kinds(sets: Sequence[Inversion], clusters: Sequence[int]) -> list[list[int | None]]:
    """The kind of each input, a list a set; None where nobody compared it with others.

    Of several concepts only the first's inputs were compared, and the record does not say whose a
    set is: then those that explain the very pictures that the first set does are known to be its.
    """
    whole = sum(len(one) for one in sets) == len(clusters)
    rest = iter(clusters)
    compared = [whole or one.pictures == sets[0].pictures for one in sets]
    return [
        [next(rest, None) if told else None for _ in range(len(one))]
        for one, told in zip(sets, compared, strict=True)
    ]


def _checked(history: History) -> dict[str, Any]:
    """What independent searches on the edit at its strength exclude, where none brought it back.

    The inputs by which the strength was chosen exclude nothing: they repelled one another, or are
    in the set because they brought it back, and the strength was chosen to stop them.
    """
    rounds = history.record.get("rounds") or [{}]
    last: Mapping[str, Any] = rounds[-1]
    tried = last.get("tried", 0)
    if not tried or last["back"] or last["alpha"] != history.record.get("strength"):
        return {}
    level = last.get("level", LEVEL)
    return {"checked": tried, "survival": survival_bound(tried, level), "level": level}


def _row(
    bench: Bench,
    book: Book,
    label: str,
    found: Inversion,
    number: int,
    made: Mapping[str, _Set],
    losses: Mapping[str, Tensor],
    held: HeldOut | None,
    kind: int | None,
) -> Inverted:
    each = bench.sizes.embedding
    part = slice(number * each, (number + 1) * each)
    words = found.settings["space"] in ("token", "simplex")
    texts = [str(found.settings["template"]) if words else "no words"] * each
    seeds = _seeds(bench)
    rates: dict[str, Rate] = {}
    shown: dict[str, Sequence[bool]] = {}
    for key, one in made.items():
        score = Score(
            concept=bench.label,
            judge=title(bench.judge),
            values=one.values[part],
            threshold=_cut(bench),
        )
        shown[key] = score.shown.tolist()[:SHOWN]
        rates[key] = book.enter(f"inverted/{label}", key, score, prompts=texts, seeds=seeds)
    pictures = book.pictures(
        f"inverted/{label}",
        "embedding",
        f"inverted input {label}",
        prompts=texts[:SHOWN],
        seeds=seeds[:SHOWN],
        by_arm={key: one.thumbs[part][:SHOWN] for key, one in made.items()},
        shown=shown,
    )
    return Inverted(
        label=label,
        losses={key: float(row.mean()) for key, row in losses.items() if row.isfinite().all()},
        gap=_gap(bench, book, f"the loss at inverted input {label}", losses, held),
        rates=rates,
        cluster=kind,
        pictures=pictures,
    )


def _gap(
    bench: Bench, book: Book, what: str, losses: Mapping[str, Tensor], held: HeldOut | None
) -> Estimate | None:
    """The edit's loss (B,) less the base's, paired by picture, noise and level."""
    base, edit = bench.role("base"), bench.role("edit")
    if held is None or base is None or edit is None or not losses:
        return None
    one, other = (losses[arm.key].double().numpy() for arm in (edit, base))
    return book.estimates(what, {edit.key: held.difference(one, other)}).get(edit.key)


def _made(bench: Bench, arm: Arm, found: Inversion, held: HeldOut | None) -> _Set:
    def draw() -> Made:
        seeds = tuple(_seeds(bench))
        values, small = [], []
        with arm.live() as model:
            # Requests that differ in texts alone are one kind, so pictures come in their order.
            asked = [found.request(model, i, seeds=seeds) for i in range(len(found))]
            for _, request in merged(asked):
                pictures = model.generate(request).uint8()
                sheet = read(bench.judge, pictures, [bench.label])
                values.append(sheet.score(bench.label).values)
                small.append(thumbnails(pictures))
        return {"values": torch.cat(values), "thumbs": torch.cat(small)}, None

    key = {"inverted": found.digest, "seeds": _seeds(bench)}
    drawn = bench.kept(EMBEDDINGS, arm, key, draw).tensors
    losses = None if held is None else _losses(bench, arm, found, held)
    return _Set(values=drawn["values"], thumbs=drawn["thumbs"], losses=losses)


def _losses(bench: Bench, arm: Arm, found: Inversion, held: HeldOut) -> Tensor:
    """(K, B)."""

    def measure() -> Made:
        with arm.live() as model:
            rows = concept_loss(model, held.latents, found.conditions(model), held.bank)
        return {"losses": rows}, None

    key = {
        "inverted": found.digest,
        "bank": held.bank.digest,
        "pictures": list(held.hashes),
    }
    return bench.kept(LOSS, arm, key, measure).tensors["losses"]


def _seeds(bench: Bench) -> list[int]:
    return [seed_of("inverted", bench.seed, i) for i in range(bench.sizes.embedding)]


def _cut(bench: Bench) -> float:
    cuts = getattr(bench.judge, "thresholds", None)
    if cuts is not None:
        return float(cuts[bench.label])
    height, width = bench.plain.picture_size
    blank = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    return bench.judge.score(blank, bench.label).threshold
