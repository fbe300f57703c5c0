"""Settings under which every method but the default is tried, each under as many of them.

They are tried on the development concepts; what wins on each is written into the method's file,
under ``measured``, for concepts of its kind, and is frozen from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plots import searched

from excise.types import Kind

Settings = Mapping[str, Any]
Row = Mapping[str, Any]

KINDS: Mapping[str, Kind] = {"cat": "object", "sketch": "style"}
"""The development concepts. What nobody tunes for, the implicit, takes what an object does."""
TRIED = 6
KEEP = 0.95
"""What has to be kept of the unedited model's rate for a setting to be chosen, if any keeps it."""

ESD = {"batch": 16, "trajectories": 100, "sampling_steps": 12}
ASCENT = {"batch": 32, "weighting": "min_snr", "pictures": 192, "retain_walks": 192}
HELD = {"lr": 1e-4, "ceiling": 3.0, "retain": 1.0}
ABLATING = {"pictures": 192, "batch": 32, "steps": 200}
SHOTS = {"pictures": 16, "batch": 8, "steps": 100}
STEREO = {
    "selector": ("cross_attention",), "inputs": 2, "tokens": 4, "pictures": 128, "batch": 16,
    "inversion_steps": 200, "inversion_samples": 4, "inversion_lr": 0.1, "trajectories": 60,
    "sampling_steps": 12, "search_lr": 1e-4, "lr": 3e-4,
}  # fmt: skip
SALUN = {"pictures": 192, "retained": 384, "batch": 32, "steps": 200, "mask_batch": 32}
PRUNE = {"sampling_steps": 12, "guidance": 3.0}

RIVALS: Mapping[str, Sequence[Settings]] = {
    "esd": [
        {**ESD, "variant": "x", "lr": 1e-4},
        {**ESD, "variant": "x", "lr": 3e-4},
        {**ESD, "variant": "x", "lr": 1e-3},
        {**ESD, "variant": "x", "lr": 3e-4, "steps": 400},
        {**ESD, "variant": "u", "lr": 1e-4},
        {**ESD, "variant": "u", "lr": 1e-4, "eta": 4.0},
    ],
    "gradient_ascent": [
        {**ASCENT, "lr": 1e-4, "steps": 100},
        {**ASCENT, **HELD},
        {**ASCENT, **HELD, "ceiling": 6.0},
        {**ASCENT, **HELD, "retain": 5.0},
        {**ASCENT, **HELD, "retain": 5.0, "lr": 3e-4},
        {**ASCENT, **HELD, "retain": 5.0, "retain_walks": 768, "steps": 400},
    ],
    "uce": [
        {},
        {"tokens": "tail"},
        {"tokens": "padded_tail"},
        {"tokens": "tail", "paraphrases": True},
        {"tokens": "tail", "erase_scale": 10.0},
        {"tokens": "tail", "paraphrases": True, "preserve_scale": 0.1},
    ],
    "rece": [
        {},
        {"epochs": 5},
        {"retain": "kept"},
        {"retain": "kept", "epochs": 3},
        {"retain": "kept", "epochs": 5},
        {"retain": "kept", "epochs": 3, "preserve_scale": 1.0},
    ],
    "speed": [
        {},
        {"filtered": False},
        {"tokens": "tail"},
        {"tokens": "tail", "filtered": False},
        {"threshold": 0.01},
        {"threshold": 1.0},
    ],
    "ablating": [
        {**ABLATING, "lr": 3e-4},
        {**ABLATING, "lr": 1e-3},
        {**ABLATING, "lr": 3e-4, "prior": 1.0},
        {**ABLATING, "lr": 1e-4, "selector": ("denoiser",)},
        {**ABLATING, "lr": 3e-4, "selector": ("denoiser",), "prior": 1.0},
        {**ABLATING, "lr": 3e-4, "variant": "noise"},
    ],
    "few_shot": [
        {"steps": 40, "lr": 1e-3},
        {**SHOTS, "lr": 3e-5},
        {**SHOTS, "lr": 1e-4},
        {**SHOTS, "lr": 3e-4},
        {**SHOTS, "lr": 1e-3},
        {**SHOTS, "lr": 1e-4, "pictures": 128, "batch": 32},
    ],
    "stereo": [
        {**STEREO, "rounds": 2},
        {**STEREO, "rounds": 4},
        {**STEREO, "rounds": 4, "lr": 1e-3},
        {**STEREO, "rounds": 4, "search_lr": 3e-4},
        {**STEREO, "rounds": 4, "inputs": 4},
        {**STEREO, "rounds": 4, "selector": ("denoiser",), "lr": 1e-4},
    ],
    "salun": [
        {**SALUN, "lr": 1e-4},
        {**SALUN, "lr": 3e-4},
        {**SALUN, "lr": 1e-4, "share": 0.1},
        {**SALUN, "lr": 3e-4, "share": 0.1},
        {**SALUN, "lr": 3e-4, "alpha": 2.0},
        {**SALUN, "lr": 1e-4, "steps": 400},
    ],
    "concept_prune": [
        {**PRUNE, "first": 3, "share": 0.02},
        {**PRUNE, "first": 3, "share": 0.05},
        {**PRUNE, "first": 3, "share": 0.1},
        {**PRUNE, "first": 6, "share": 0.05},
        {**PRUNE, "first": 9, "share": 0.05},
        {**PRUNE, "first": 9, "share": 0.1},
    ],
    "negative_prompt": [
        {},  # which is the term of weight 1
        {"place": "prediction", "weight": 0.5},
        {"place": "prediction", "weight": 1.5},
        {"place": "prediction", "weight": 2.0},
        {"place": "prediction", "weight": 3.0},
        {"place": "prediction", "weight": 5.0},
    ],
    "sld": [
        {"configuration": name, "warmup": warmup}
        for name in ("medium", "strong", "max")
        for warmup in (0, 2)
    ],
    "safree": [
        {"steps": 4},
        {},
        {"steps": 4, "filter": False},
        {"steps": 4, "negative": False},
        {"steps": 4, "reattention": True},
        {"negative": False},
    ],
    # A style has 7 others in the embedded model, an object 21.
    "leace": [{"others": n, "shrink": shrink} for n in (2, 4, 24) for shrink in (True, False)],
}
"""By method, settings that differ in what its paper says matters, fitted to a small model."""


def best(rows: Iterable[Row], concept: str, kept: float = KEEP) -> Row | None:
    """The settings of one method that are to be frozen for what is like a development concept.

    Each is of a kind of its own, and the kinds ask for different settings: of the default, and in
    ESD's own paper, which trains other weights for an object than for a style.

    rows: points with their ``settings``; those that only say why there are no figures do not
    count. What does is what a search brings back, plain words where that is more, among the
    settings that keep ``kept``; if none does, what is kept. None if there are no such points.
    """
    able = [row for row in rows if row["concept"] == concept and "why" not in row]

    def rank(row: Row) -> tuple[float, ...]:
        keeps = row["kept"] >= kept
        return (0.0 if keeps else 1.0, _left(row) if keeps else 0.0, -row["kept"])

    return min(able, key=rank, default=None)


def _left(row: Row) -> float:
    """What is left of the concept at the rung that counts, or under plain words."""
    return max(float(row["plain"]), searched(row))
