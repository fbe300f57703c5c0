"""How to write a hook, and what hooks have in common.

A hook is one file here, or an entry point ``excise.hooks`` of your own package: a frozen,
keyword-only dataclass that inherits `Hook` and overrides one or more of

- ``condition`` to map what is drawn,
- ``prediction`` to stand around the guided prediction of a step,
- ``module`` to stand around the submodules that ``modules`` names.

Its fields of type ``Tensor`` and ``Mapping[str, Tensor]`` become tensors in an edit's file, all
others its settings. A hook that has a strength says what scaling it means with
``scaled(factor) -> Hook``; edits with other hooks cannot be scaled. It says in ``gradient`` how an
attacker's gradient goes through it (with ``none`` it is gone around), must leave tensors of the
caller's alone, and treat the rows of a batch independently; tests/contracts/test_hooks.py tries
that on an example of every hook. One that holds tensors was fitted to a model: its edit remembers
the weights that make what it is handed, and is refused where these are others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from excise.errors import Unsupported
from excise.types import Condition, Gradient, Hook, Step, TextToImage

__all__ = ["Gradient", "Hook", "alone", "in_place_of", "innermost", "needs_null"]


def alone(step: Step) -> Step:
    """The same step without guidance: ``denoise`` at it predicts its condition alone."""
    return replace(step, guidance=1.0, terms=())


def in_place_of(row: Condition, own: Mapping[str, Tensor]) -> Condition:
    """A condition of another text that can be stacked with `row`.

    row: (n, ...), whose size of the picture, and further names from other hooks, it keeps.
    own: by name, (1 or n, ...).
    """
    text = {name: value for name, value in own.items() if name in row.tensors}
    text.pop("time_ids", None)
    return row.replace(**{k: v.expand(len(row), *v.shape[1:]) for k, v in text.items()})


def innermost(model: TextToImage, hook: Hook) -> bool:
    """Does ``hook`` call the model's own guidance, with no hook at ``prediction`` in between?"""
    for other in model.hooks:
        if other is hook:
            return True
        if type(other).prediction is not Hook.prediction:
            return False
    return False


def needs_null(null: Condition | None, hook: Hook) -> Condition:
    """The unconditional. Raises Unsupported in a family that has none."""
    if null is None:
        raise Unsupported(
            f"expected a model that is guided away from an unconditional, which "
            f"{type(hook).__name__} acts on, but this family has none; use another method for it"
        )
    return null
