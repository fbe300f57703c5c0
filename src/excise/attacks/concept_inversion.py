"""Concept Inversion: inputs that are found anew on the model under attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from excise.attacks.inverting import InvertingAttack
from excise.primitives.inversion import Inverter
from excise.primitives.prompts import template_of
from excise.types import Concept

Rung = Literal[1, 2, 4, 8, "condition", "step_condition"]


@dataclass(frozen=True, kw_only=True)
class ConceptInversion(InvertingAttack):
    """Textual Inversion of the concept on the edited model itself, from many random starts.

    rung: of the ladder of attackers: 1, 2, 4 or 8 soft tokens with norms within the vocabulary's;
        the whole conditioning; one conditioning for each of ``bands`` noise levels. On the upper
        rungs any picture can be reached on any model, so read them beside an oracle's.
    template: a text with ``<1>`` that is searched in; empty, the concept's own first template.
    bands: of the highest rung. restarts: for best-of-R take N >= 3 R. All others: see
        `InvertingAttack`.
    """

    name: ClassVar[str] = "concept_inversion"
    paper: ClassVar[str] = "Pham et al. 2023, arXiv:2308.01508"
    chooses: ClassVar[Literal["prompt", "restart"]] = "restart"

    rung: Rung = 4
    template: str = ""
    bands: int = 10

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        self._among("rung", get_args(Rung))

    def searched(self, concept: Concept) -> Inverter:
        """The space of this rung."""
        space = self.rung if isinstance(self.rung, str) else "token"
        return Inverter(
            space=space,
            tokens=self.rung if isinstance(self.rung, int) else 1,
            bands=self.bands,
            template=self.template or template_of(concept),
        )
