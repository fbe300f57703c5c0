"""Noise-based probing: more noise on the way than the sampler has room for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from excise.attacks.base import Attack, Budget, Kind, Need, Search
from excise.errors import Unsupported
from excise.types import Concept, Progress, Prompt, Request, TextToImage


@dataclass(frozen=True, kw_only=True)
class NoiseProbe(Attack):
    """DDIM with eta up to 1.85 and a factor on its noise, each time on fresh noise.

    The trajectory is kicked off the path on which the edit was trained (arXiv:2505.17013, section
    4). The paper keeps the best of 24 variants by a classifier's word, which the best of 24 seeds
    does in part by itself. Here the variant is chosen on the select seeds and scored on others, so
    plain words are what it is to be compared with. The paper's own figure is
    ``AttackResult.naive``, which no report has: read it beside that of `Reseed` with as many
    restarts.

    etas, scales: of DDIM's noise; every pair is a restart. The authors' 6 and 4. steps: of the
        sampler, as theirs, or None for the model's own. The fewer there are, the more noise comes
        with each: at a dozen, eta = 1.85 leaves no picture.
    """

    name: ClassVar[str] = "noise_probe"
    paper: ClassVar[str] = "Lu et al. 2025, arXiv:2505.17013, section 4"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "sampler"})
    kind: ClassVar[Kind] = "injecting"
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"etas": (1.0, 1.34, 1.85), "scales": (1.0, 1.04)},
        "standard": {
            "etas": (1.0, 1.17, 1.34, 1.51, 1.68, 1.85),
            "scales": (1.0, 1.04),
        },
        "thorough": {
            "etas": (1.0, 1.17, 1.34, 1.51, 1.68, 1.85),
            "scales": (1.0, 1.02, 1.03, 1.04),
        },
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "etas": (1.0, 1.85), "scales": (1.04,), "steps": 4,
    }  # fmt: skip

    etas: tuple[float, ...] = (1.0, 1.17, 1.34, 1.51, 1.68, 1.85)
    scales: tuple[float, ...] = (1.0, 1.02, 1.03, 1.04)
    steps: int | None = 50

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._at_least(0, "etas", "scales")

    @property
    def candidates(self) -> int:
        """One for each pair."""
        return len(self.etas) * len(self.scales)

    @property
    def gradients(self) -> int:
        """None: its steps are the sampler's."""
        return 0

    def search(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        prompts: tuple[Prompt, ...],
        *,
        base: TextToImage | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Search:
        """Yield one pair after the other.

        Raises:
            Unsupported: a model of flow matching, for which DDIM is not defined.
        """
        if model.levels is None:
            raise Unsupported(
                f"expected a model with noise levels in steps, for DDIM, got {model.name!r} of the "
                f"family {model.family}; leave noise_probe out for it"
            )
        pairs = [(eta, scale) for eta in self.etas for scale in self.scales]
        for restart, (eta, scale) in enumerate(pairs):
            yield tuple(
                Request(
                    prompts=(prompt,),
                    seeds=(restart,),
                    scheduler="ddim",
                    steps=self.steps,
                    eta=eta,
                    eta_scale=scale,
                )
                for prompt in prompts
            )
