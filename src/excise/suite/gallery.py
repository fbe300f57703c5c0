"""The same seeds before and after, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from excise.attacks.result import AttackResult
from excise.primitives.panel import labels_of
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
from excise.types import Request

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
    name: str,
    title: str,
    results: Mapping[str, AttackResult],
    seen: Mapping[str, tuple[Tensor, Tensor, list[int]]],
    most: int = MANY,
) -> str:
    """Enter what an attack drew on each arm, each with its own inputs, a picture a prompt.

    Prompts for which the concept came back on the edit stand first. What was asked is the edit's
    input, in words where it has any.
    """
    arm = bench.question
    labels = list(read_labels(bench))
    place = labels.index(bench.label) if bench.label in labels else 0
    cut = results[arm.key].threshold
    shown = {key: values[:, place] >= cut for key, (_, values, _) in seen.items()}
    order = sorted(range(len(shown[arm.key])), key=lambda p: not shown[arm.key][p])[:most]
    asked = results[arm.key].chosen_requests
    seeds = seen[arm.key][2]
    return book.pictures(
        name,
        "attack",
        f"{title}: what it brought back, each model with its own inputs",
        prompts=[said(asked[p]) for p in order],
        seeds=[seeds[p] for p in order],
        by_arm={key: thumbs[order] for key, (thumbs, _, _) in seen.items()},
        shown={key: flags[order].tolist() for key, flags in shown.items()},
    )


def said(request: Request) -> str:
    """What an input says, in words; soft words stand as ``<1>``."""
    return request.prompts[0].text if request.prompts else "no words"


def read_labels(bench: Bench) -> tuple[str, ...]:
    """The columns of what the judges said."""
    return labels_of(bench.judge) or (bench.label,)
