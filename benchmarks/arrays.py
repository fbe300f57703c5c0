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
from excise.suite.plain import KEPT, PLAIN, everything_else, use_probe
from excise.suite.sizes import FIRST

Array = NDArray[np.float64]
ATTACK = "concept_inversion"


@dataclass(frozen=True, eq=False, kw_only=True)
class Arrays:
    """Hits are 0 or 1. Of the reference, the oracle, only what the edit is paired with.

    plain: (n,), the concept in plain use; words: (n,), its prompts.
    before, after: (m,), the right class on base and edit; classes, sentences: (m,).
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
    probe = use_probe(bench)
    results = fight(bench, FIRST, settings).results[ATTACK]
    mine, floor = results[edit.key], results[oracle.key]
    r = best_of(mine) or 1
    held = held_out(bench).thinned(ENTRIES)
    losses = found_losses(bench, held, results)
    return Arrays(
        plain=_numbers(bench.look(edit, probe, PLAIN).sheet.shown(bench.label)),
        words=tuple(shot.prompt.key for shot in probe.shots),
        before=_numbers(bench.look(base, rest, KEPT).hits),
        after=_numbers(bench.look(edit, rest, KEPT).hits),
        classes=tuple(shot.group for shot in rest.shots),
        sentences=tuple(f"{shot.group}: {shot.prompt.key}" for shot in rest.shots),
        searched=mine.expected(r),
        floor=floor.expected(r),
        own=mine.curve(r).se[-1],
        shared=floor.curve(r).se[-1],
        tries=len(floor) / r,
        losses=losses[edit.key],
        reference=losses[oracle.key],
        pictures=_numbers(held.bank.picture),
    )


def alike(many: Sequence[Arrays]) -> Arrays:
    """The first of several edits' arrays, if all were measured on the same things.

    Raises:
        ValueError: other prompts, pictures or another oracle; their errors are not shared then.
    """
    first = many[0]
    for name in ("words", "classes", "sentences", "before", "floor", "reference", "pictures"):
        if any(not np.array_equal(getattr(first, name), getattr(one, name)) for one in many):
            raise ValueError(f"expected edits that were measured on the same {name}, got others")
    return first


def _numbers(values: torch.Tensor) -> Array:
    found: Array = values.double().cpu().numpy()
    return found
