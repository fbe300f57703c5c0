"""Diverse Inversion as an attack: a set of inputs that are kept apart while they are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from excise.attacks.base import Attack, Budget, Need, Search
from excise.errors import BadSetting
from excise.primitives.attackers import Share, attackers_latents
from excise.primitives.denoising import Weighting
from excise.primitives.inversion import Interval, Inverter
from excise.primitives.prompts import placed, template_of
from excise.primitives.spaces import SOFT
from excise.types import Concept, Progress, Prompt, TextToImage


@dataclass(frozen=True, kw_only=True)
class DiverseInversion(Attack):
    """Inverts the concept's pictures on the model under attack, the members repelling one another.

    Textual Inversion with the squared distances by which cosines leave two intervals added to the
    loss (arXiv:2404.03631): ``apart``, between members, and ``from_word``, between a member and the
    concept's own word. The paper makes the set on the original model to choose a strength by; here
    it is found anew on each model, so that the set meets what the edit has left. Its members depend
    on one another: there is no best-of-R, and what bounds is an independent set, as that of
    Concept Inversion.

    tokens: soft tokens a member. restarts: members. join: how ``<1>`` is added to a prompt ``{}``
        that does not name the concept. init: words at which all members begin, with some noise;
        empty, and each begins at random words. apart, from_word, repulsion, steps, samples, lr,
        weighting, guidance, batch: as `Inverter`. pictures: how many the unedited model draws
        where the concept has none. share: which of the concept's pictures are the attacker's.
    """

    name: ClassVar[str] = "diverse_inversion"
    paper: ClassVar[str] = "Pham et al. 2024, arXiv:2404.03631"
    needs: ClassVar[frozenset[Need]] = frozenset({"embeddings", "gradients", "pictures"})
    independent: ClassVar[bool] = False
    chooses: ClassVar[Literal["prompt", "restart"]] = "prompt"
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"restarts": 6, "steps": 150},
        "standard": {"restarts": 12, "steps": 400},
        "thorough": {"restarts": 36, "steps": 800},
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "restarts": 2, "steps": 2, "samples": 1, "pictures": 2,
    }  # fmt: skip

    tokens: int = 1
    init: str = ""
    restarts: int = 12
    steps: int = 400
    samples: int = 4
    lr: float | None = None
    weighting: Weighting = "uniform"
    apart: Interval = (-1.0, 0.5)
    from_word: Interval = (-1.0, 0.5)
    repulsion: float = 1.0
    join: str = "{} <1>"
    pictures: int = 64
    share: Share = "attack"
    guidance: float | None = None
    batch: int = 64

    def __post_init__(self) -> None:
        """Refuse values out of range."""
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
        """Find the set at once, and yield one member after the other."""
        concept = concepts[0]
        latents = attackers_latents(
            model, concept, base, self.pictures, share=self.share, seed=seed, progress=progress
        )
        found = self.inverter(concept).run(
            model,
            latents,
            restarts=self.restarts,
            seed=seed,
            word=concept.name,
            progress=progress,
        )
        texts = [placed(prompt.text, concept, self.join) for prompt in prompts]
        for row in range(len(found)):
            yield tuple(found.request(model, row, text) for text in texts)

    def inverter(self, concept: Concept) -> Inverter:
        """The search."""
        return Inverter(
            mode="repulsed",
            template=template_of(concept),
            tokens=self.tokens,
            init=self.init,
            steps=self.steps,
            samples=self.samples,
            lr=self.lr,
            weighting=self.weighting,
            apart=self.apart,
            from_word=self.from_word,
            repulsion=self.repulsion,
            guidance=self.guidance,
            batch=self.batch,
        )
