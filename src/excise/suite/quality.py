"""What the right label does not show: variety, drift, distances of sets, fit to the prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from excise.metrics.base import mean_interval
from excise.metrics.clip_score import mean_score
from excise.metrics.diversity import within
from excise.metrics.drift import between_seeds, distances
from excise.metrics.fid import fid
from excise.metrics.kid import kid
from excise.primitives.clip import CLIP, FEATURES, Clip
from excise.primitives.halves import described, groups_of, halves
from excise.primitives.probe import Look
from excise.primitives.vision import Extractor, Given
from excise.reporting.figures import Estimate
from excise.reporting.findings import Measure
from excise.reporting.wording import number
from excise.suite.book import Book


def measures(
    book: Book,
    looks: Mapping[str, Look],
    near: Sequence[str],
    base: str | None,
    *,
    networks: Mapping[str, Extractor] | None = None,
    seed: int = 0,
) -> tuple[Measure, ...]:
    """Figures on the pictures of what had to stay; those that could not be found are left out.

    looks: by arm, on one probe. near: the nearest neighbours. base: the arm to drift away from.
    networks: what described the pictures, as `excise.primitives.clip.extractors`.
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
        if all(FEATURES in look.features for look in looks.values()):
            network = (networks or {}).get(FEATURES)
            given = "a given function" if isinstance(network, Given) else "the judge"
            eyes = getattr(network, "title", given)
            found += _apart(book, looks, base, eyes, seed)
    clip = (networks or {}).get(CLIP)
    if isinstance(clip, Clip) and all(CLIP in look.features for look in looks.values()):
        found.append(_fit(book, looks, clip))
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


def _apart(
    book: Book, looks: Mapping[str, Look], base: str, eyes: str, seed: int
) -> tuple[Measure, Measure]:
    """KID and FID to the base's pictures on other seeds; the base's own are the floor."""
    features, groups = described(looks, "kid"), groups_of(looks[base])
    each, other = len(halves(groups, 0)[0]), features[base]
    label = "how far all pictures together moved (KID)"
    seen = {arm: kid(rows, other, groups, seed=seed) for arm, rows in features.items()}
    first = Measure(
        name="kid",
        label=label,
        values=book.estimates(label, {arm: one for arm, one in seen.items() if one is not None}),
        want="low",
        note="KID and FID hold a model's pictures as a whole, not one by one, against the unedited "
        f"model's on other seeds, as {eyes} sees them. KID is 0 where there is no difference; what "
        "the unedited model itself reaches is chance.",
    )
    values = {}
    for arm, rows in features.items():
        value = fid(rows, other, groups, seed=seed)
        if value is not None and isfinite(value):
            values[arm] = Estimate(value=value)
        elif value is not None:
            book.odd.append(f"FID, {arm}")
    return first, Measure(
        name="fid",
        label=f"the same as FID, {each} pictures a side",
        values=values,
        want="low",
        note=f"FID from {each} pictures a side is too large for every model alike: compare it with "
        "the unedited model's own, never with a paper's.",
    )


def _fit(book: Book, looks: Mapping[str, Look], clip: Clip) -> Measure:
    """CLIP score."""
    label = "how well pictures fit their prompts (CLIP score)"
    figures = {arm: mean_score(clip, look) for arm, look in looks.items()}
    return Measure(
        name="clip_score",
        label=label,
        values=book.estimates(label, figures),
        want="high",
        note="CLIP score, from 0 to 100, says how well a picture fits the words that it was drawn "
        f"from, in the eyes of {clip.title}; only a difference between models means something.",
    )
