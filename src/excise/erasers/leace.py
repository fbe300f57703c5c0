"""LEACE: take out of the text embeddings what tells the concept's prompts from others, linearly.

Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form" (arXiv:2306.03819).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from excise.erasers.base import Change, Eraser, Work
from excise.errors import BadConcept
from excise.hooks import leace as hooks
from excise.hooks.places import Place, places
from excise.primitives.affine_erasure import CentredMoments, leace
from excise.primitives.prompts import kept_concepts, templates
from excise.progress import stage
from excise.types import Condition, Prompt, TextToImage

BATCH = 32  # prompts encoded at a time

PARTS = ("mean", "left", "right")
PROBE = ("a word", "a picture of something")  # alike to whoever has read the first token alone
ROUNDING = 1e-3  # of a state's norm; rows of one batch differ by less where they are the same


@dataclass(frozen=True, kw_only=True)
class LEACE(Eraser):
    """Fitted to the model's own prompts: of the concepts, and the same of other things.

    x is every token state that can know of the name, padding included, and every pooled state; z
    says which of the concepts the prompt names, if any. In CLIP, which reads from left to right,
    these are the states from the name on; in an encoder that reads both ways, as T5 does, all. The
    erasure of a place has rank k for k concepts. The moments are gathered in float64.

    others: how many other things stand in a concept's place. shrink: mix the covariance of the
        states with the identity as far as its own noise demands (Bodnar et al. 2014,
        arXiv:1308.2608); without it, directions that few states differ in count as free.
    """

    name: ClassVar[str] = "leace"
    paper: ClassVar[str] = "arXiv:2306.03819"
    scaled: ClassVar[tuple[str, ...]] = ("others",)
    smallest: ClassVar[Mapping[str, object]] = {"others": 4}

    others: int = 24
    shrink: bool = True

    def __post_init__(self) -> None:
        self._positive("others")

    def change(self, work: Work) -> Change:
        """Gather, solve."""
        rows = self._prompts(work)
        kept = work.kept("leace", lambda: (self._fitted(work, rows), None))
        part = {
            name: {
                key.removeprefix(f"{name}/"): value
                for key, value in sorted(kept.tensors.items())
                if key.startswith(f"{name}/")
            }
            for name in PARTS
        }
        ranks = {key: len(value) for key, value in part["right"].items()}
        hook = hooks.LEACE(mean=part["mean"], left=part["left"], right=part["right"])
        return Change(hooks=(hook,), record={"prompts": len(rows), "ranks": ranks})

    def _prompts(self, work: Work) -> list[tuple[Prompt, str, int]]:
        """Every prompt, the name in it, and which concept that is, -1 for none."""
        rows: list[tuple[Prompt, str, int]] = []
        for i, concept in enumerate(work.concepts):
            if concept.kind == "implicit":
                raise BadConcept(
                    f"expected concepts that prompts name, got {concept.name!r}, which is "
                    f"implicit; {self.name} changes the text alone: use another method for it"
                )
            kept = kept_concepts(work.model, work.concepts)
            other = [row.name for row in kept if row.kind == concept.kind][: self.others]
            if not other:
                raise BadConcept(
                    f"expected other things of the kind of {concept.name!r} that the model knows, "
                    "found none; give the concept neighbours"
                )
            sentences = templates(work.model, concept, work.concepts)
            for names, label in ((concept.names, i), (other, -1)):
                for name in names:
                    prompts = concept.prompts((name,), sentences)
                    rows += [(prompt, name, label) for prompt in prompts]
        return rows

    @torch.no_grad()
    def _fitted(self, work: Work, rows: list[tuple[Prompt, str, int]]) -> dict[str, Tensor]:
        """The erasure of every place, its parts as ``mean/hidden/0/77`` and so on, in float32."""
        model = work.model
        both_ways = reading_both_ways(model)
        moments: dict[Place, CentredMoments] = {}
        with stage(work.progress, "moments", len(rows), "prompt") as shown:
            for first in range(0, len(rows), BATCH):
                chunk = rows[first : first + BATCH]
                cond = model.encode([prompt for prompt, _, _ in chunk])
                z = torch.zeros(len(chunk), len(work.concepts))
                for row, (_, _, label) in enumerate(chunk):
                    if label >= 0:
                        z[row, label] = 1
                for place, encoder in places(model).items():
                    names = [name for _, name, _ in chunk]
                    new = _moments(cond, place, None if place in both_ways else encoder, names, z)
                    moments[place] = moments[place] + new if place in moments else new
                shown.advance(len(chunk))
        found = {place: leace(m, shrink=self.shrink) for place, m in moments.items()}
        return {
            f"{part}/{place.key}": getattr(erasure, part).float()
            for place, erasure in found.items()
            for part in PARTS
        }


@torch.no_grad()
def reading_both_ways(model: TextToImage) -> frozenset[Place]:
    """The places where a prompt's first state knows of what comes after it."""
    cond = model.encode(Prompt.of(PROBE))
    found = set()
    for place in places(model):
        if place.rows is not None:
            first = place.take(cond.tensors[place.feature])[:, 0].float()  # (2, d)
            if float((first[0] - first[1]).norm()) > ROUNDING * float(first[0].norm()):
                found.add(place)
    return frozenset(found)


def _moments(
    cond: Condition, place: Place, encoder: str | None, names: list[str], z: Tensor
) -> CentredMoments:
    """Of the states at a place: from each prompt's name on, or all where no encoder is given."""
    states = place.take(cond.tensors[place.feature])
    if place.rows is None:
        return CentredMoments.of(states, z)
    tokens = None if encoder is None else cond.tokens[encoder]
    parts, labels = [], []
    for row, name in enumerate(names):
        found = None if tokens is None else tokens.find(row, name)
        own = states[row, (found[0] if found else 0) :]  # (tokens, d)
        parts.append(own)
        labels.append(z[row].expand(len(own), -1))
    return CentredMoments.of(torch.cat(parts), torch.cat(labels))
