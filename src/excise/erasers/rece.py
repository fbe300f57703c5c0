"""RECE: derive the embedding that an edit leaves the concept in, edit it away too, and again.

Gong et al. 2024, "Reliable and Efficient Concept Erasure of Text-to-Image Diffusion Models"
(arXiv:2407.12383).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from excise.edit import Encoded
from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Need
from excise.primitives.closed_form import Update, fitted
from excise.primitives.moments import Moments, Swapped, eye_like, gathered, paired
from excise.primitives.readers import Reading, pairs, readings, states
from excise.primitives.swaps import GUIDED, Retain, Swap, retained, swaps
from excise.progress import stage

RIDGES: Mapping[bool, float] = {True: 1e-3, False: 0.1}  # with a style, and without


@dataclass(frozen=True, kw_only=True)
class RECE(Eraser):
    """Reliable and Efficient Concept Erasure, for all concepts in one solve an epoch.

    It starts from UCE as that method's first code has it: all states from the subject's last token
    on. Then, in each epoch, it derives for every name of a concept the states that the weights so
    far read as the original ones read the name, and has them read as the guide's. Targets and what
    is kept are the weights' of that moment, as in the authors' code.

    The derived states are a linear map of the names', so that where there are more of these than
    numbers in a state, their moments are derived in their place. Beside the edit, the states
    themselves are kept only where they are fewer.

    The authors try other regularisations too and choose the epoch with a detector; here the default
    one is followed for as many epochs as are asked for.

    guide: what is read in the concepts' place.
    epochs: one for objects and styles; the authors take 2 or 3 for nudity.
    derive_ridge: of the derived embedding; the authors take that of styles for hard objects, too.
    erase_scale, preserve_scale, ridge: weights of an epoch's edit. start_preserve_scale,
        start_ridge: of the UCE before it.
    retain: what is preserved. kinds: which weights change, as in UCE.
    """

    name: ClassVar[str] = "rece"
    paper: ClassVar[str] = "arXiv:2407.12383"
    needs: ClassVar[frozenset[Need]] = frozenset({"text_readers"})
    scaled: ClassVar[tuple[str, ...]] = ("epochs",)
    unset: ClassVar[Mapping[str, str]] = {
        "guide": GUIDED,
        "derive_ridge": f"{RIDGES[True]:g} if a concept is a style, else {RIDGES[False]:g}",
    }
    smallest: ClassVar[Mapping[str, object]] = {"epochs": 2}

    guide: str | None = None
    epochs: int = 1
    derive_ridge: float | None = None
    erase_scale: float = 1.0
    preserve_scale: float = 0.1
    ridge: float = 0.1
    start_preserve_scale: float = 1.0
    start_ridge: float = 0.5
    retain: Retain = "empty"
    kinds: tuple[str, ...] = ("key", "value", "context")

    def __post_init__(self) -> None:
        self._positive("epochs", "erase_scale", "ridge", "start_ridge", "derive_ridge")
        self._among("retain", ("kept", "empty", "none"))
        self._at_least(0, "preserve_scale", "start_preserve_scale")

    def change(self, work: Work) -> Change:
        """UCE, then the epochs; the derived states, where few, are in the record's tensors."""
        asked = swaps(work.concepts, self.name, guide=self.guide)
        groups = readings(work.model, self.kinds, self.name)
        live = work.model.parameters("*")
        deltas: dict[str, Encoded] = {}
        derived: dict[str, Tensor] = {}
        with stage(work.progress, "solve", len(groups) * (self.epochs + 1), "edit"):
            for i, group in enumerate(groups):
                weights = {name: live[name] for name in group.weights}
                update, found = self._epochs(work, group, tuple(weights.values()), asked)
                deltas |= update.on(weights)
                derived |= {f"derived-{i}-{epoch}": rows for epoch, rows in enumerate(found)}
        record = {
            "swaps": [[source.text, target.text] for source, target in asked],
            "derive_ridge": self._derive_ridge(work),
        }
        return Change(deltas=deltas, record=record, tensors=derived)

    def _epochs(
        self, work: Work, group: Reading, weights: Sequence[Tensor], asked: Sequence[Swap]
    ) -> tuple[Update, list[Tensor]]:
        model = work.model
        kept = retained(model, work.concepts, self.retain)
        fixed = gathered(states(model, group, kept, "all")) if kept else None
        total = fitted(
            paired(pairs(model, group, asked, "padded_tail")),
            fixed,
            erase=self.erase_scale,
            preserve=self.start_preserve_scale,
            ridge=self.start_ridge,
        )
        work.progress.advance()
        gram = gram_of(weights, group.width)
        named = paired(pairs(model, group, asked, "all"))
        found = []
        for _ in range(self.epochs):
            recall = recalling(gram, total, self._derive_ridge(work))
            if isinstance(named, Swapped):
                derived: tuple[Tensor, Tensor] | Swapped = named.through(recall)
            else:
                names, guides = named
                derived = names @ recall.T, guides
                found.append(derived[0].float())
            step = fitted(
                derived,
                fixed,
                erase=self.erase_scale,
                preserve=self.preserve_scale,
                ridge=self.ridge,
            )
            total = total.then(step)
            work.progress.advance()
        return total, found

    def _derive_ridge(self, work: Work) -> float:
        if self.derive_ridge is not None:
            return self.derive_ridge
        return RIDGES[any(concept.kind == "style" for concept in work.concepts)]


def gram_of(weights: Sequence[Tensor], width: int) -> Tensor:
    """The sum of ``W^T W`` (d, d) over weights (o, d) and wider, in float64 on the CPU."""
    return Moments.of(w[:, :width].cpu() for w in weights).total


def recalling(gram: Tensor, update: Update, ridge: float) -> Tensor:
    """The (d, d) matrix from e to what the edited weights read as the original ones read e.

    The paper's derived embedding, of least ``sum |W'e' - We|^2 + ridge |e'|^2`` over the weights:
    e' = (ridge I + sum W'^T W')^-1 (sum W'^T W) e. With W' = W B one Gram matrix of the original
    weights does for all of them: e' = (ridge I + B^T A B)^-1 B^T A e.
    """
    read = eye_like(gram) + update.dense()  # B
    cross = read.T @ gram  # (d, d)
    found: Tensor = torch.linalg.solve(ridge * eye_like(gram) + cross @ read, cross)
    return found
