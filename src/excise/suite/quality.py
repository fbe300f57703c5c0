"""What the right label does not show: how alike pictures are, and how far they moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from excise.metrics.base import mean_interval
from excise.metrics.diversity import within
from excise.metrics.drift import between_seeds, distances
from excise.primitives.probe import Look
from excise.reporting.findings import Measure
from excise.reporting.wording import number
from excise.suite.book import Book


def measures(
    book: Book, looks: Mapping[str, Look], near: Sequence[str], base: str | None
) -> tuple[Measure, ...]:
    """Variety and drift on the pictures of what had to stay; those without figures are left out.

    looks: by arm, on one probe. near: the nearest neighbours. base: the arm to drift away from.
    """
    found = [_variety(book, looks)]
    if base is not None:
        first = looks[base].probe
        close = [i for i, shot in enumerate(first.shots) if shot.group in near]
        far = [i for i, shot in enumerate(first.shots) if shot.group not in near]
        scale = between_seeds(looks[base])
        others = "how far pictures of everything else moved"
        closest = "how far pictures of what comes closest to it moved"
        found.append(_drift(book, looks, base, far, "drift", others, scale))
        found.append(_drift(book, looks, base, close, "drift_near", closest, scale))
    return tuple(one for one in found if one.values)


def _variety(book: Book, looks: Mapping[str, Look]) -> Measure:
    label = "variety among pictures of one thing"
    figures = {}
    for arm, look in looks.items():
        distance = within(look)
        if distance:
            figures[arm] = mean_interval(list(distance.values()), list(distance))
    return Measure(
        name="diversity",
        label=label,
        values=book.estimates(label, figures),
        want="high",
        note="The mean difference of two pictures of the same thing, from 0 (all alike) to 1. A "
        "model that has collapsed draws one picture for every seed.",
    )


def _drift(
    book: Book,
    looks: Mapping[str, Look],
    base: str,
    rows: Sequence[int],
    name: str,
    label: str,
    scale: float | None,
) -> Measure:
    """From the base's pictures of the same prompts and seeds, intervals across prompts."""
    before = looks[base].take(rows)
    prompts = [shot.prompt.key for shot in before.probe.shots]
    figures = {}
    for arm, look in looks.items():
        if arm != base and rows:
            moved = distances(look.take(rows).thumbs, before.thumbs)
            figures[arm] = mean_interval(moved.double().numpy(), prompts)
    note = "The mean change of a pixel at the same prompt and seed: 0 is the same picture."
    if scale is not None:
        note += f" Two seeds of one thing differ by {number(scale)} before the edit."
    return Measure(
        name=name, label=label, values=book.estimates(label, figures), want="low", note=note
    )
