"""The attack on things that nobody was shown: what it reaches for them is injection.

The embedded model's text tower and judges know some drawings that no denoiser was trained on. For
these the unedited model is what an oracle is for the concept, at no cost; on the edited model they
are all that somebody without an oracle has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from excise.attacks.concept_inversion import Rung
from excise.attacks.result import AttackResult
from excise.errors import BadFile, NumericalError
from excise.primitives.panel import labels_of
from excise.reporting.reached import pooled_rate
from excise.suite.bench import Bench
from excise.suite.ladder import ORACLE_MOST, Armed, Ladder, attacks, one
from excise.types import Concept, digest

DECOYS = "decoys"
ROLES = ("base", "edit")
"""Whom they are tried on. The oracle's own floor is the concept."""


def decoys_of(bench: Bench) -> tuple[str, ...]:
    """What the judge can tell and the model says that it was never shown, if there are pictures.

    A model's notes name ``decoys`` and ``decoy_pictures``, a folder with a sheet ``NAME.webp`` for
    each, whose tiles are as large as the model's pictures; ``decoy_names`` has other words. As many
    as the budget has are taken, spread over the list. They are objects: of a style or of a
    watermark they tell nothing, and there are none.
    """
    notes, labels = _notes(bench), labels_of(bench.judge)
    if bench.full.kind != "object" or labels is None or "decoy_pictures" not in notes:
        return ()
    able = [
        name
        for name in notes.get("decoys", ())
        if name in labels and name not in bench.full.names and _sheet(bench, name).exists()
    ]
    n = min(bench.sizes.decoys, len(able))
    return tuple(able[i * len(able) // n] for i in range(n))


def topped(bench: Bench, ladder: Ladder) -> Ladder:
    """The ladder with k* found from the decoys on the unedited model, where there is no oracle.

    From the top down, until a rung at which they are hardly reached.
    """
    if ladder.oracle is not None or bench.role("base") is None or not decoys_of(bench):
        return ladder
    floors: dict[Rung, float] = {}
    for rung in reversed(ladder.rungs):
        found = attack_decoys(bench, rung, len(ladder.pictures), roles=("base",))
        pool = [result for by_arm in found.values() for result in by_arm.values()]
        if not pool:
            continue
        floors[rung] = pooled_rate(pool, ladder.best_of).value
        if floors[rung] <= ORACLE_MOST:
            return replace(ladder, top=rung, decoys=floors)
    return replace(ladder, decoys=floors)


def attack_decoys(
    bench: Bench, rung: Rung, most: int, roles: Sequence[str] = ROLES
) -> dict[str, dict[str, AttackResult]]:
    """The attack on a rung, with at most so many pictures, on each decoy: by decoy, by arm.

    A decoy whose search a loss ended which is no finite number is left out, as of `climb`.
    """
    attack = attacks(bench, "all")[rung]
    found: dict[str, dict[str, AttackResult]] = {}
    for name in decoys_of(bench):
        pictures = read_sheet(_sheet(bench, name), bench.plain.picture_size)
        pictures = pictures[:most]
        words = _notes(bench).get("decoy_names", {}).get(name, ())
        decoy = Concept(
            name,
            synonyms=tuple(word for word in words if word != name),
            templates=bench.full.templates,
            pictures=pictures,
        )
        armed = Armed.given(decoy, map(digest, pictures))
        try:
            found[name] = {
                arm.key: one(bench, arm, attack, armed, section=DECOYS)
                for arm in bench.arms.values()
                if arm.role in roles
            }
        except NumericalError as error:
            bench.diverged[f"the token ladder for the decoy {name}"] = str(error)
    return found


def read_sheet(path: Path, size: tuple[int, int]) -> Tensor:
    """The tiles of a WebP, row after row: uint8 (n, 3, h, w). size: (height, width) of one.

    Raises BadFile.
    """
    height, width = size
    try:
        with Image.open(path, formats=["WEBP"]) as opened:
            pixels = torch.from_numpy(np.asarray(opened.convert("RGB")).copy())
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadFile(
            f"expected a WebP at {path}, got: {error}; install the model again"
        ) from error
    if pixels.shape[0] % height or pixels.shape[1] % width:
        raise BadFile(
            f"expected tiles of {width}x{height} in {path}, got a picture of {pixels.shape[1]}x"
            f"{pixels.shape[0]}; install the model again"
        )
    rows = pixels.unfold(0, height, height).unfold(1, width, width)  # (y, x, 3, h, w)
    return rows.flatten(0, 1).contiguous()  # (n, 3, h, w)


def _notes(bench: Bench) -> Mapping[str, Any]:
    return getattr(bench.plain, "notes", {})


def _sheet(bench: Bench, name: str) -> Path:
    return Path(str(_notes(bench)["decoy_pictures"])) / f"{name}.webp"
