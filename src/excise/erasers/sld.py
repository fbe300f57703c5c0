"""Safe Latent Diffusion: guide away from the concept where the prompt leads towards it.

Schramowski et al. 2023, "Safe Latent Diffusion: Mitigating Inappropriate Degeneration in Diffusion
Models" (arXiv:2211.05105).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Need
from excise.hooks import sld as hooks
from excise.primitives.prompts import avoided

Configuration = Literal["weak", "medium", "strong", "max"]

# The paper's. diffusers' SafetyConfig has 20 for the scale of ``weak``.
CONFIGURATIONS: Mapping[Configuration, Mapping[str, Any]] = {
    "weak": {"warmup": 15, "scale": 200.0, "threshold": 0.0, "momentum": 0.0, "decay": 0.0},
    "medium": {"warmup": 10, "scale": 1000.0, "threshold": 0.01, "momentum": 0.3, "decay": 0.4},
    "strong": {"warmup": 7, "scale": 2000.0, "threshold": 0.025, "momentum": 0.5, "decay": 0.7},
    "max": {"warmup": 0, "scale": 5000.0, "threshold": 1.0, "momentum": 0.5, "decay": 0.7},
}


@dataclass(frozen=True, kw_only=True)
class SLD(Eraser):
    """Safety guidance. Nothing is trained, and nothing acts at guidance 1.

    The warm-up is a number of steps, whatever their total; the paper draws in 50, of which
    ``medium`` leaves 40 to act, and 10 where a model draws in 20. For ``emoji``, which draws in 12,
    it is not measured but the same fifth of them.

    configuration: the paper's, from ``weak`` to ``max``. text: the safety concept. warmup: steps
        without effect.
    """

    name: ClassVar[str] = "sld"
    paper: ClassVar[str] = "arXiv:2211.05105"
    needs: ClassVar[frozenset[Need]] = frozenset({"unconditional"})
    scaled: ClassVar[tuple[str, ...]] = ()
    measured: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "emoji": {"warmup": 2},  # a fifth of its 12 steps, as 10 are of the paper's 50
    }
    unset: ClassVar[Mapping[str, str]] = {
        "text": "the concepts' names, separated by commas",
        "warmup": "the configuration's: "
        + ", ".join(f"{name} {own['warmup']}" for name, own in CONFIGURATIONS.items()),
    }
    smallest: ClassVar[Mapping[str, object]] = {"configuration": "max"}

    configuration: Configuration = "medium"
    text: str | None = None
    warmup: int | None = None

    def __post_init__(self) -> None:
        self._among("configuration", get_args(Configuration))
        self._at_least(0, "warmup")

    def change(self, work: Work) -> Change:
        """Name the concepts."""
        text = avoided(work.model, work.concepts, self.text, work.progress)
        hook = hooks.SLD(text=text, **CONFIGURATIONS[self.configuration])
        if self.warmup is not None:
            hook = replace(hook, warmup=self.warmup)
        return Change(hooks=(hook,), record={"text": text})
