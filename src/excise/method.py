"""What erasers and attacks share: settings that were measured for a model, and budgets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

from excise.errors import BadSetting, suggest
from excise.settings import build
from excise.types import Kind, TextToImage

Budget = Literal["quick", "standard", "thorough"]


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A frozen dataclass whose fields are the hyperparameters of a method from a paper.

    The plain constructor has the settings of the paper or of its authors' code, whatever the model;
    where a method goes beyond its paper, as its class then says, its own.

    name: its file's. measured: settings for models other than the paper's, by family, by the
    model's name, or by that and what a concept is (``emoji/style``), the last of these first; see
    `fitted`. Of a family they are the authors' own; of a model what was measured for it, or what
    the paper's come to in its number of steps.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    measured: ClassVar[Mapping[str, Mapping[str, object]]] = {}

    @classmethod
    def fitted(
        cls,
        model: TextToImage,
        settings: Mapping[str, object] | None = None,
        kind: Kind | None = None,
    ) -> Self:
        """The method with the settings measured for this model, under those that are given.

        kind: of all concepts that it is for; None if they are of several.

        Raises:
            BadSetting: a setting that it does not have or cannot take.
        """
        own: dict[str, object] = {}
        for key in (model.family, model.name, f"{model.name}/{kind}"):
            own |= cls.measured.get(key, {})
        given = {name.replace("-", "_"): value for name, value in (settings or {}).items()}
        return build(cls, {**own, **given})

    def at(self, budget: Budget) -> Self:
        """The same method with what a budget allows. Raises BadSetting for another budget."""
        known = get_args(Budget)
        if budget not in known:
            raise BadSetting(
                f"expected a budget among {known}, got {budget!r}: {suggest(str(budget), known)}"
            )
        changed: dict[str, Any] = dict(self.within(budget))
        return replace(self, **changed)

    def _positive(self, *names: str) -> None:
        """Raise BadSetting unless these settings are > 0; a tuple's entries, where it is one.

        None, which leaves a setting to the method, is always allowed.
        """
        for name in names:
            self._expect(name, lambda value: value > 0, "> 0")

    def _at_least(self, least: float, *names: str) -> None:
        """The same, of settings >= ``least``."""
        for name in names:
            self._expect(name, lambda value: value >= least, f">= {least:g}")

    def _shares(self, *names: str) -> None:
        """The same, of settings in [0, 1]."""
        for name in names:
            self._expect(name, lambda value: 0 <= value <= 1, "in [0, 1]")

    def _among(self, name: str, choices: Sequence[object]) -> None:
        """The same, of a setting with known choices."""
        self._expect(name, lambda value: value in choices, f"among {tuple(choices)}")

    def _expect(self, name: str, good: Callable[[Any], bool], wanted: str) -> None:
        value = getattr(self, name)
        each = value if isinstance(value, tuple) else (value,)
        if value is not None and not (each and all(good(one) for one in each)):
            raise BadSetting(f"{self.name}: expected {name} {wanted}, got {value!r}")

    @abstractmethod
    def within(self, budget: Budget) -> Mapping[str, object]:
        """The fields that a budget sets, and to what."""
