"""What the record beside an edit says: how its strength was chosen, and what was inverted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from excise.primitives.inverted import Inversion
from excise.primitives.panel import read, title
from excise.primitives.probe import thumbnails
from excise.reporting.figures import Estimate, Rate
from excise.reporting.findings import (
    Block,
    Blocks,
    Inversions,
    Inverted,
    Strength,
    StrengthPoint,
)
from excise.rng import seed_of
from excise.stats import survival_bound
from excise.store import Artefact
from excise.suite.bench import Bench, Made
from excise.suite.book import Book
from excise.types import Request, Score

EMBEDDINGS = "inverted inputs"
MOST, SHOWN = 32, 4  # inputs, and pictures of each that are kept


@dataclass(frozen=True, eq=False, kw_only=True)
class History:
    """The record of an edit, as its method left it, and the tensors that belong to it."""

    record: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def hashes(self) -> frozenset[str]:
        """SHA-256 of the pictures that the edit was made from."""
        rows = self.record.get("pictures", ())
        return frozenset(name for row in rows for name in row.get("hashes", ()))

    @property
    def choose(self) -> tuple[Inversion, ...]:
        """The sets of inverted inputs by which the strength was chosen."""
        sets = self.record.get("choose", {}).get("sets", ())
        found = []
        for i, row in enumerate(sets):
            start = f"choose/{i}/"
            own = {n[len(start) :]: t for n, t in self.tensors.items() if n.startswith(start)}
            if own:
                found.append(Inversion.of(Artefact(tensors=own, record=row)))
        return tuple(found)


def strength(history: History) -> Strength | None:
    """The curve, both limits and the chosen point; None for a method without a search."""
    found = history.record.get("strength_search")
    if found is None:
        return None
    unit = history.record.get("relative_norm")
    floors = found["floors"]
    return Strength(
        points=tuple(_point(row, unit) for row in found["readings"]),
        floors={"plain": floors["natural"], "searched": floors["injected"]},
        limits={
            "kept": floors["kept"],
            "worst": floors["worst"],
            "neighbours": floors["neighbours"],
        },
        erased_from=found["erased_from"],
        kept_to=found["kept_to"],
        chosen=found["chosen"],
        feasible=found["chosen"] is not None,
    )


def _point(row: Mapping[str, Any], unit: float | None) -> StrengthPoint:
    kept = row["kept"]
    k, n = (sum(pair[i] for pair in row["embeddings"]) for i in (0, 1))
    near = [c["ratio"] for c in kept["classes"].values() if c["near"] and c["ratio"] is not None]
    return StrengthPoint(
        alpha=row["alpha"],
        plain=Rate.of(*row["plain"]),
        searched=Rate.of(k, n) if n else None,
        kept=Estimate(value=kept["mean"], low=kept["lower"], level=kept["level"]),
        worst=None if kept["worst"] is None else Estimate(value=kept["worst"]["ratio"]),
        neighbours=Estimate(value=sum(near) / len(near)) if near else None,
        norm=None if unit is None else row["alpha"] * unit,
    )


def blocks(history: History) -> Blocks | None:
    """Which blocks the vector was confined to; None if nobody looked."""
    rows = history.record.get("blocks")
    if not rows:
        return None
    return Blocks(
        rows=tuple(
            Block(
                name=row["block"],
                parameters=row["parameters"],
                gain=Estimate(value=row["gain"]),
                cost=Estimate(value=row["cost"]),
                chosen=row["chosen"],
            )
            for row in rows
        )
    )


def inversions(bench: Bench, book: Book, history: History) -> Inversions | None:
    """What each inverted input draws before and after; None without any."""
    arms = {arm.key: arm for arm in bench.arms.values() if arm.role in ("base", "edit")}
    sets = history.choose
    if not sets or not arms:
        return None
    diversity = history.record["choose"].get("diversity", {})
    clusters = list(diversity.get("clusters", ()))
    rows: list[Inverted] = []
    for found in sets:
        drawn = {key: _drawn(bench, key, found) for key in arms}
        each = bench.sizes.embedding
        for i in range(min(len(found), MOST - len(rows))):
            label = str(len(rows) + 1)
            part = slice(i * each, (i + 1) * each)
            texts, seeds = [f"“{found.settings['template']}”"] * each, _seeds(bench)
            rates, shown = {}, {}
            for key, (values, _) in drawn.items():
                score = Score(
                    concept=bench.label,
                    judge=title(bench.judge),
                    values=values[part],
                    threshold=_cut(bench),
                )
                shown[key] = score.shown.tolist()
                rates[key] = book.enter(f"inverted/{label}", key, score, prompts=texts, seeds=seeds)
            pictures = book.pictures(
                f"inverted/{label}",
                "embedding",
                f"inverted input {label}",
                prompts=texts[:SHOWN],
                seeds=seeds[:SHOWN],
                by_arm={key: thumbs[part][:SHOWN] for key, (_, thumbs) in drawn.items()},
                shown={key: flags[:SHOWN] for key, flags in shown.items()},
            )
            rows.append(
                Inverted(
                    label=label,
                    losses={"base": float(found.loss[i])} if "base" in arms else {},
                    rates=rates,
                    cluster=clusters[i] if found is sets[0] and i < len(clusters) else None,
                    pictures=pictures,
                )
            )
    return Inversions(
        rows=tuple(rows),
        participation=diversity.get("participation"),
        clusters=diversity.get("kinds"),
        singletons=diversity.get("singletons"),
        survival=survival_bound(len(rows)),
    )


def _drawn(bench: Bench, arm: str, found: Inversion) -> tuple[Tensor, Tensor]:
    """The judge's scores (K * each,) and thumbnails of every input on one arm."""

    def draw() -> Made:
        seeds = _seeds(bench)
        values, small = [], []
        with bench.arms[arm].live() as model:
            for prompt in found.prompts():
                request = Request(prompts=(prompt,), seeds=tuple(seeds))
                pictures = model.generate(request).uint8()
                sheet = read(bench.judge, pictures, [bench.label])
                values.append(sheet.score(bench.label).values)
                small.append(thumbnails(pictures))
        return {"values": torch.cat(values), "thumbs": torch.cat(small)}, None

    key = {"inverted": found.digest, "seeds": _seeds(bench)}
    kept = bench.kept(EMBEDDINGS, bench.arms[arm], key, draw).tensors
    return kept["values"], kept["thumbs"]


def _seeds(bench: Bench) -> list[int]:
    return [seed_of("inverted", bench.seed, i) for i in range(bench.sizes.embedding)]


def _cut(bench: Bench) -> float:
    cuts = getattr(bench.judge, "thresholds", None)
    if cuts is not None:
        return float(cuts[bench.label])
    height, width = bench.plain.picture_size
    blank = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    return bench.judge.score(blank, bench.label).threshold
