"""One edit's evaluation picture by picture: what figures over several edits are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from excise.errors import UserError
from excise.reporting.reached import best_of
from excise.store import load_tensors, save_tensors
from excise.suite.battery import fight
from excise.suite.bench import Bench
from excise.suite.evaluate import ENTRIES, Settings
from excise.suite.held_out import found_losses, held_out
from excise.suite.plain import (
    KEPT,
    PAIRS,
    PLAIN,
    everything_else,
    near_of,
    pair_probes,
    use_probe,
)
from excise.suite.sizes import FIRST

Array = NDArray[np.float64]
ATTACK = "concept_inversion"


@dataclass(frozen=True, eq=False, kw_only=True)
class Arrays:
    """Hits are 0 or 1. Of the reference, the oracle, only what the edit is paired with.

    plain: (n,), the concept in plain use; words: (n,), its prompts.
    before, after: (m,), the right class on base and edit; classes, sentences: (m,).
    blank, blank_after: (m,), nothing recognisable on base and edit, in the same pictures.
    near: the classes that are the nearest neighbours.
    two, beside, beside_after: (k,), in two-object prompts the concept on the edit, and what stands
    beside it on base and edit; pairs: (k,), the prompts. Without any where no prompt names two.
    searched, floor: (P, T), expected hits of the attack that counts, at best of R, on edit and
    oracle. own, shared: standard errors of their rates over the draw of restarts, told from
    ``tries`` independent tries.
    losses, reference: (B,), on held-out pictures at what the attack found on edit and oracle;
    pictures: (B,), which picture.
    """

    plain: Array
    words: tuple[str, ...]
    before: Array
    after: Array
    classes: tuple[str, ...]
    sentences: tuple[str, ...]
    blank: Array
    blank_after: Array
    near: tuple[str, ...]
    two: Array
    beside: Array
    beside_after: Array
    pairs: tuple[str, ...]
    searched: Array
    floor: Array
    own: float
    shared: float
    tries: float
    losses: Array
    reference: Array
    pictures: Array

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        tensors, record = {}, {}
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                tensors[name] = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float64))
            else:
                record[name] = list(value) if isinstance(value, tuple) else value
        save_tensors(path, tensors, record)

    @staticmethod
    def load(path: Path) -> Arrays:
        """Read what `save` wrote."""
        tensors, record = load_tensors(path)
        fields: dict[str, Any] = {name: value.numpy() for name, value in tensors.items()}
        for name, value in dict(record).items():
            fields[name] = tuple(value) if isinstance(value, list) else value
        return Arrays(**fields)


def arrays_of(bench: Bench, settings: Settings) -> Arrays:
    """From an evaluation of base, edit and oracle; what it kept is not drawn again."""
    base, edit, oracle = (bench.role(role) for role in ("base", "edit", "oracle"))
    rest = everything_else(bench)
    if base is None or edit is None or oracle is None or rest is None:
        raise UserError("expected base, edit and oracle, and something to keep, got less")
    probe, (other, own) = use_probe(bench), pair_probes(bench)
    two = beside = beside_after = torch.zeros(0)
    if own.shots:  # in the order in which the evaluation looks, which finds what it drew
        _, two = (bench.look(arm, own, PAIRS).hits for arm in (base, edit))
        beside, beside_after = (bench.look(arm, other, PAIRS).hits for arm in (base, edit))
    looks = [bench.look(arm, rest, KEPT, described=True) for arm in (base, edit)]
    results = fight(bench, FIRST, settings).results[ATTACK]
    mine, floor = results[edit.key], results[oracle.key]
    r = best_of(mine) or 1
    held = held_out(bench).thinned(ENTRIES)
    losses = found_losses(bench, held, results)
    return Arrays(
        plain=_numbers(bench.look(edit, probe, PLAIN).sheet.shown(bench.label)),
        words=tuple(shot.prompt.key for shot in probe.shots),
        before=_numbers(looks[0].hits),
        after=_numbers(looks[1].hits),
        classes=tuple(shot.group for shot in rest.shots),
        sentences=tuple(f"{shot.group}: {shot.prompt.key}" for shot in rest.shots),
        blank=_numbers(looks[0].sheet.nothing),
        blank_after=_numbers(looks[1].sheet.nothing),
        near=near_of(bench, rest),
        two=_numbers(two),
        beside=_numbers(beside),
        beside_after=_numbers(beside_after),
        pairs=tuple(shot.prompt.key for shot in own.shots),
        searched=mine.expected(r),
        floor=floor.expected(r),
        own=mine.curve(r).se[-1],
        shared=floor.curve(r).se[-1],
        tries=len(floor) / r,
        losses=losses[edit.key],
        reference=losses[oracle.key],
        pictures=_numbers(held.bank.picture),
    )


SHARED = (
    "words", "classes", "sentences", "before", "blank", "near", "beside", "pairs", "floor",
    "reference", "pictures",
)  # fmt: skip
"""What several edits that are averaged have in common."""


def alike(many: Sequence[Arrays]) -> Arrays:
    """The first of several edits' arrays, if all were measured on the same things.

    Raises:
        ValueError: other prompts, pictures or another oracle; their errors are not shared then.
    """
    first = many[0]
    for name in SHARED:
        if any(not np.array_equal(getattr(first, name), getattr(one, name)) for one in many):
            raise ValueError(f"expected edits that were measured on the same {name}, got others")
    return first


def _numbers(values: torch.Tensor) -> Array:
    found: Array = values.double().cpu().numpy()
    return found
