"""What attacks reached, value by value: enough to find every figure of theirs again.

They lie beside the table of scores. Of an attack whose restarts are pooled all of them are kept; of
any other the inputs that it chose, since nothing else was scored. So are the token ladder's rungs,
what was tried on decoys, and the pictures of sequential tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from excise.attacks.changing import Recovery
from excise.attacks.result import AttackResult
from excise.store import Artefact

PREFIX, DRAWN = "attempt/", "drawn/"
NULL = "reseed"
By = Mapping[str, Mapping[str, AttackResult]]
Kind = Literal["results", "rungs", "decoys"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Attempts:
    """The attacks of an evaluation.

    groups: of each prompt, how it comes to the concept. kinds: by attack, what its success means
    and whether it rewords prompts. results: by attack and arm. curves: of attacks that change the
    model. rungs: of the token ladder, by their keys and arm, which count with the best of so many
    restarts. decoys: by decoy and arm. drawn: by attack, float32 (n,), the judge's values of the
    pictures of a sequential test, in the order they came in.
    """

    groups: tuple[str, ...] = ()
    kinds: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    results: By = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Recovery]] = field(default_factory=dict)
    rungs: By = field(default_factory=dict)
    best_of: int = 1
    decoys: By = field(default_factory=dict)
    drawn: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def null(self) -> Mapping[str, AttackResult]:
        """The prompts as they are, by arm; empty if they were not drawn."""
        return self.results.get(NULL, {})

    def rows(self, *groups: str) -> list[int]:
        """The numbers of the prompts of some groups."""
        return [i for i, group in enumerate(self.groups) if group in groups]

    def at(self, threshold: float) -> Attempts:
        """The same pictures at another threshold; what was chosen stays chosen."""

        def moved(many: By) -> By:
            return {
                name: {arm: replace(settled(one), threshold=threshold) for arm, one in by.items()}
                for name, by in many.items()
            }

        curves = {
            name: {arm: replace(one, threshold=threshold) for arm, one in by.items()}
            for name, by in self.curves.items()
        }
        return replace(
            self,
            results=moved(self.results),
            rungs=moved(self.rungs),
            decoys=moved(self.decoys),
            curves=curves,
        )

    def packed(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values, without any input."""
        tensors = {f"{DRAWN}{name}": values for name, values in self.drawn.items()}
        rows: list[dict[str, Any]] = []
        whole: list[tuple[str, str, str, Artefact]] = [
            (kind, name, arm, replace(settled(one), requests=()).artefact())
            for kind in get_args(Kind)
            for name, by in getattr(self, kind).items()
            for arm, one in by.items()
        ]
        whole += [
            ("curves", name, arm, one.artefact())
            for name, by in self.curves.items()
            for arm, one in by.items()
        ]
        for i, (kind, name, arm, made) in enumerate(whole):
            tensors |= {f"{PREFIX}{i}/{key}": value for key, value in made.tensors.items()}
            rows.append({"kind": kind, "name": name, "arm": arm, "record": made.record})
        return tensors, {
            "groups": list(self.groups),
            "kinds": {name: list(own) for name, own in self.kinds.items()},
            "best_of": self.best_of,
            "rows": rows,
        }

    @staticmethod
    def unpacked(tensors: Mapping[str, Tensor], data: Mapping[str, Any]) -> Attempts:
        """What `packed` gave. Raises BadFile."""
        found: dict[Kind, dict[str, dict[str, AttackResult]]] = {
            kind: {} for kind in get_args(Kind)
        }
        curves: dict[str, dict[str, Recovery]] = {}
        for i, row in enumerate(data["rows"]):
            start = f"{PREFIX}{i}/"
            own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            made = Artefact(tensors=own, record=row["record"])
            if row["kind"] == "curves":
                curves.setdefault(row["name"], {})[row["arm"]] = Recovery.of(made)
            else:
                by = found[row["kind"]].setdefault(row["name"], {})
                by[row["arm"]] = AttackResult.of(made)
        return Attempts(
            groups=tuple(data["groups"]),
            kinds={name: (own[0], bool(own[1])) for name, own in data["kinds"].items()},
            curves=curves,
            best_of=int(data["best_of"]),
            drawn={k.removeprefix(DRAWN): v for k, v in tensors.items() if k.startswith(DRAWN)},
            **found,
        )


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
