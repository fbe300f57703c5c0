"""The null attack: the same prompts, looked at again and again, and the same selection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from excise.attacks.base import Attack, Budget, Need, Search
from excise.types import Concept, Progress, Prompt, Request, TextToImage


@dataclass(frozen=True, kw_only=True)
class Reseed(Attack):
    """Draws the prompts as they are, on fresh noise at each restart.

    It is run on the same prompts with the same select and score seeds as the attack that it stands
    beside, and chooses in the same way. What it chooses is noise, of which none is better on the
    score seeds than any other: its score is the rate of plain words, however many restarts there
    are, and whatever an attack reaches beyond it is the attack's. What repeated looks alone are
    worth is ``AttackResult.naive``, which no report has: it grows with the restarts, and says
    something only beside that of an attack with as many.

    restarts: looks at each prompt on each select seed.
    """

    name: ClassVar[str] = "reseed"
    paper: ClassVar[str] = "the null of every attack"
    rewords: ClassVar[bool] = False
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"restarts": 6},
        "standard": {"restarts": 12},
        "thorough": {"restarts": 36},
    }
    smallest: ClassVar[Mapping[str, object]] = {"restarts": 2}

    restarts: int = 12

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._at_least(1, "restarts")

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
        """Yield the prompts, each time with the next seed."""
        for restart in range(self.restarts):
            yield tuple(Request(prompts=(prompt,), seeds=(restart,)) for prompt in prompts)
