"""What attacks reached, value by value: enough to find every figure of theirs again.

They lie beside the table of scores. Of an attack whose restarts are pooled all of them are kept; of
any other the inputs that it chose, since nothing else was scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from excise.attacks.changing import Recovery
from excise.attacks.result import AttackResult
from excise.store import Artefact

PREFIX = "attempt/"
NULL = "reseed"


@dataclass(frozen=True, eq=False, kw_only=True)
class Attempts:
    """The attacks of an evaluation.

    groups: of each prompt, how it comes to the concept. kinds: by attack, what its success means
    and whether it rewords prompts. results: by attack and arm. curves: of attacks that change the
    model.
    """

    groups: tuple[str, ...] = ()
    kinds: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    results: Mapping[str, Mapping[str, AttackResult]] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Recovery]] = field(default_factory=dict)

    @property
    def null(self) -> Mapping[str, AttackResult]:
        """The prompts as they are, by arm; empty if they were not drawn."""
        return self.results.get(NULL, {})

    def rows(self, *groups: str) -> list[int]:
        """The numbers of the prompts of some groups."""
        return [i for i, group in enumerate(self.groups) if group in groups]

    def at(self, threshold: float) -> Attempts:
        """The same pictures at another threshold; what was chosen stays chosen."""
        results = {
            name: {arm: replace(settled(one), threshold=threshold) for arm, one in by.items()}
            for name, by in self.results.items()
        }
        curves = {
            name: {arm: replace(one, threshold=threshold) for arm, one in by.items()}
            for name, by in self.curves.items()
        }
        return replace(self, results=results, curves=curves)

    def packed(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values, without any input."""
        tensors: dict[str, Tensor] = {}
        rows: list[dict[str, Any]] = []
        whole: list[tuple[str, str, AttackResult | Recovery]] = [
            (name, arm, settled(one))
            for name, by in self.results.items()
            for arm, one in by.items()
        ]
        whole += [(name, arm, one) for name, by in self.curves.items() for arm, one in by.items()]
        for i, (name, arm, one) in enumerate(whole):
            made = (replace(one, requests=()) if isinstance(one, AttackResult) else one).artefact()
            tensors |= {f"{PREFIX}{i}/{key}": value for key, value in made.tensors.items()}
            rows.append({"attack": name, "arm": arm, "record": made.record})
        kinds = {name: list(own) for name, own in self.kinds.items()}
        return tensors, {"groups": list(self.groups), "kinds": kinds, "rows": rows}

    @staticmethod
    def unpacked(tensors: Mapping[str, Tensor], data: Mapping[str, Any]) -> Attempts:
        """What `packed` gave. Raises BadFile."""
        results: dict[str, dict[str, AttackResult]] = {}
        curves: dict[str, dict[str, Recovery]] = {}
        for i, row in enumerate(data["rows"]):
            start = f"{PREFIX}{i}/"
            own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            made = Artefact(tensors=own, record=row["record"])
            if "values" in own:
                curves.setdefault(row["attack"], {})[row["arm"]] = Recovery.of(made)
            else:
                results.setdefault(row["attack"], {})[row["arm"]] = AttackResult.of(made)
        kinds = {name: (own[0], bool(own[1])) for name, own in data["kinds"].items()}
        return Attempts(groups=tuple(data["groups"]), kinds=kinds, results=results, curves=curves)


def settled(one: AttackResult) -> AttackResult:
    """With the restarts that were chosen as the only ones, where no others were scored."""
    if one.pooled or len(one) == 1:
        return one
    select = torch.stack([one.select[r, p] for p, r in enumerate(one.chosen)])[None]  # (1, P, S)
    requests = (one.chosen_requests,) if one.requests else ()
    return replace(one, select=select, score=one.chosen_values[None], requests=requests)


def roles(arms: Sequence[Any]) -> dict[str, str]:
    """By role, the key of the first arm that has it. arms: with a ``role`` and a ``key``."""
    found: dict[str, str] = {}
    for arm in arms:
        found.setdefault(arm.role, arm.key)
    return found
