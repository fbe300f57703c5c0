"""The same seeds before and after, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from excise.primitives.probe import Look
from excise.suite.bench import Bench
from excise.suite.book import Book, PictureKind
from excise.suite.plain import (
    KEPT,
    PAIRS,
    PLAIN,
    everything_else,
    kind_of,
    near_of,
    pair_probes,
    use_probe,
)

MANY, FEW = 12, 8


def gallery(bench: Bench, book: Book) -> None:
    """Enter pictures of the concept, its other words, what is near, what is far, and of two."""
    use = use_probe(bench)
    looks = bench.every(use, PLAIN)
    for group in use.groups:
        kind, label = kind_of(bench.full, group)
        if kind == "guidance":
            continue
        what: PictureKind = "concept" if kind == "word" else kind
        rows = use.rows(group)[: MANY if kind == "word" else FEW]
        _enter(bench, book, f"plain/{group}", what, label, looks, rows)
    rest = everything_else(bench)
    if rest is not None:
        looks = bench.every(rest, KEPT)
        near = near_of(bench, rest)
        for name in near[:3]:
            _enter(bench, book, f"kept/{name}", "neighbour", name, looks, rest.rows(name)[:FEW])
        far = [rest.rows(name)[0] for name in rest.groups if name not in near]
        if far:
            step = max(1, len(far) // 16)  # spread over the list, where what is alike is near
            spread = far[::step][:16]
            _enter(bench, book, "unrelated", "unrelated", "everything else", looks, spread)
    _, both = pair_probes(bench)
    if both.shots:
        looks = bench.every(both, PAIRS)
        rows = list(range(len(both)))[:MANY]
        _enter(bench, book, "two", "two_objects", "with something else", looks, rows)


def _enter(
    bench: Bench,
    book: Book,
    key: str,
    kind: PictureKind,
    title: str,
    looks: dict[str, Look],
    rows: Sequence[int],
) -> None:
    part = {arm: look.take(rows) for arm, look in looks.items()}
    shots = next(iter(part.values())).probe.shots
    book.pictures(
        key,
        kind,
        title,
        prompts=[shot.prompt.text for shot in shots],
        seeds=[shot.seed for shot in shots],
        by_arm={arm: look.thumbs for arm, look in part.items()},
        shown={arm: flags(bench, look) for arm, look in part.items()},
    )


def flags(bench: Bench, look: Look) -> list[bool]:
    """Whether each picture shows the concept; empty for a judge that was not asked that."""
    if bench.label not in look.sheet.labels:
        return [False] * len(look)
    return [bool(x) for x in look.sheet.shown(bench.label)]


def attack_pictures(
    bench: Bench,
    book: Book,
    key: str,
    title: str,
    thumbs: dict[str, Tensor],
    shown: dict[str, Tensor],
    prompts: Sequence[str],
    seeds: Sequence[int],
    most: int = MANY,
) -> str:
    """Enter what an attack drew on each arm, each with its own inputs; the first of each prompt."""
    n = len(seeds)
    pick = torch.linspace(0, n - 1, min(n, most)).round().long()
    return book.pictures(
        key,
        "attack",
        title,
        prompts=[prompts[i] for i in pick],
        seeds=[seeds[i] for i in pick],
        by_arm={arm: tensor[pick] for arm, tensor in thumbs.items()},
        shown={arm: flag[pick].tolist() for arm, flag in shown.items()},
    )
