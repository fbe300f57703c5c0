"""Diverse Inversion as an attack: a set of inputs that are kept apart while they are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from excise.attacks.inverting import InvertingAttack
from excise.primitives.inversion import Interval, Inverter
from excise.primitives.prompts import template_of
from excise.types import Concept


@dataclass(frozen=True, kw_only=True)
class DiverseInversion(InvertingAttack):
    """Inverts the concept's pictures on the model under attack, the members repelling one another.

    Textual Inversion with the squared distances by which cosines leave two intervals added to the
    loss (arXiv:2404.03631): ``apart``, between members, and ``from_word``, between a member and the
    concept's own word. The paper makes the set on the original model to choose a strength by; here
    it is found anew on each model, so that the set meets what the edit has left. Its members depend
    on one another: there is no best-of-R, and what bounds is an independent set, as that of
    Concept Inversion.

    tokens: soft tokens a member. restarts: members. init: words at which all members begin, with
        some noise; empty, and each begins at random words. apart, from_word, repulsion: as
        `Inverter`. All others: see `InvertingAttack`.
    """

    name: ClassVar[str] = "diverse_inversion"
    paper: ClassVar[str] = "Pham et al. 2024, arXiv:2404.03631"
    independent: ClassVar[bool] = False

    tokens: int = 1
    apart: Interval = (-1.0, 0.5)
    from_word: Interval = (-1.0, 0.5)
    repulsion: float = 1.0

    def searched(self, concept: Concept) -> Inverter:
        """A repulsed set of soft tokens."""
        return Inverter(
            mode="repulsed",
            template=template_of(concept),
            tokens=self.tokens,
            apart=self.apart,
            from_word=self.from_word,
            repulsion=self.repulsion,
        )
