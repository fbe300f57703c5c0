"""Concept Inversion: inputs that are found anew on the model under attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from excise.attacks.base import Attack, Budget, Need, Search
from excise.errors import BadSetting
from excise.primitives.attackers import Share, attackers_latents
from excise.primitives.denoising import Weighting
from excise.primitives.inversion import Inverter
from excise.primitives.prompts import placed, template_of
from excise.primitives.spaces import SOFT
from excise.types import Concept, Progress, Prompt, TextToImage

Rung = Literal[1, 2, 4, 8, "condition", "step_condition"]


@dataclass(frozen=True, kw_only=True)
class ConceptInversion(Attack):
    """Textual Inversion of the concept on the edited model itself, from many random starts.

    In prompts that name the concept its name gives way to the soft tokens; to others they are
    joined. A conditioning (the upper two rungs) replaces every prompt.

    rung: of the ladder of attackers: 1, 2, 4 or 8 soft tokens with norms within the vocabulary's;
        the whole conditioning; one conditioning for each of ``bands`` noise levels. On the upper
        rungs any picture can be reached on any model, so read them beside an oracle's.
    restarts: N, all in one batch; for best-of-R take N >= 3 R.
    steps, samples, lr, weighting, init, batch: as `Inverter`.
    template: a text with ``<1>`` that is searched in; empty, the concept's own first template.
    join: how ``<1>`` is added to a prompt ``{}`` that does not name the concept.
    pictures: how many the unedited model draws where the concept has none.
    share: ``attack`` takes the part of the concept's pictures that no eraser sees; ``all`` takes
        all of them, for pictures that are the attacker's own.
    guidance: of the step that is matched where the edit has hooks; left out, the model's own where
        they act on guided steps, as `guidance_for` says.
    """

    name: ClassVar[str] = "concept_inversion"
    paper: ClassVar[str] = "Pham et al. 2023, arXiv:2308.01508"
    needs: ClassVar[frozenset[Need]] = frozenset({"embeddings", "gradients", "pictures"})
    chooses: ClassVar[Literal["prompt", "restart"]] = "restart"
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"restarts": 6, "steps": 150},
        "standard": {"restarts": 12, "steps": 400},
        "thorough": {"restarts": 36, "steps": 800},
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "restarts": 2, "steps": 2, "samples": 1, "pictures": 2,
    }  # fmt: skip

    rung: Rung = 4
    restarts: int = 12
    steps: int = 400
    samples: int = 4
    lr: float | None = None
    weighting: Weighting = "uniform"
    template: str = ""
    join: str = "{} <1>"
    init: str = ""
    bands: int = 10
    pictures: int = 64
    share: Share = "attack"
    guidance: float | None = None
    batch: int = 64

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._among("rung", get_args(Rung))
        self._at_least(1, "restarts", "pictures")
        if "{}" not in self.join or SOFT not in self.join:
            raise BadSetting(f"{self.name}: expected join to hold {{}} and {SOFT}, got "
                             f"{self.join!r}")  # fmt: skip

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
        """Invert the first concept's pictures, and yield one restart after the other."""
        concept = concepts[0]
        latents = self.latents(model, concept, base, seed, progress)
        found = self.inverter(concept).run(
            model, latents, restarts=self.restarts, seed=seed, progress=progress
        )
        texts = [placed(prompt.text, concept, self.join) for prompt in prompts]
        for row in range(len(found)):
            if isinstance(self.rung, str):
                yield (found.request(model, row),) * len(prompts)
            else:
                yield tuple(found.request(model, row, text) for text in texts)

    def inverter(self, concept: Concept) -> Inverter:
        """The search on this rung."""
        space = self.rung if isinstance(self.rung, str) else "token"
        return Inverter(
            space=space,
            tokens=self.rung if isinstance(self.rung, int) else 1,
            bands=self.bands,
            template=self.template or template_of(concept),
            init=self.init,
            steps=self.steps,
            samples=self.samples,
            lr=self.lr,
            weighting=self.weighting,
            guidance=self.guidance,
            batch=self.batch,
        )

    def latents(
        self,
        model: TextToImage,
        concept: Concept,
        base: TextToImage | None,
        seed: int,
        progress: Progress | None,
    ) -> Tensor:
        """The attacker's pictures, encoded: (n, c, h, w).

        Raises:
            BadConcept: the concept has none, and there is no unedited model to draw them.
        """
        return attackers_latents(
            model, concept, base, self.pictures, share=self.share, seed=seed, progress=progress
        )
