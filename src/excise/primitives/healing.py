"""Erase hard, then heal: after an edit that takes too much, train back what had to stay.

The edited model is distilled towards the unedited one on prompts of everything else, a share of
them empty. Meanwhile the concept is pinned: at inputs that bring it out, the model is held to what
the base says without any prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from excise.primitives import prompts
from excise.primitives.data import empty
from excise.primitives.finetune import Optimiser, Term, Tuned, finetune
from excise.primitives.points import Points, answers, noised, on_the_way, towards
from excise.progress import SILENT, Progress, stage
from excise.rng import generator, seed_of
from excise.store import Stage
from excise.types import Concept, Condition, Prompt, Request, Selector, TextToImage

Deltas = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False, kw_only=True)
class Lesson:
    """Points, the caption that each is under, and the prediction that is wanted there.

    conditions: a row for each value of ``points.row``. target: (n, c, h, w).
    """

    points: Points
    conditions: Condition
    target: Tensor

    def term(self, model: TextToImage, batch: int, weight: float = 1.0) -> Term:
        """The mean square distance to the target, points in turn."""
        loss = towards(model, self.points, self.conditions, self.target, batch=batch)
        return Term(loss=loss, weight=weight)

    def tensors(self) -> dict[str, Tensor]:
        """To be kept; `of` makes it again."""
        named = {f"condition/{name}": value for name, value in self.conditions.tensors.items()}
        return {**self.points.tensors(), **named, "target": self.target}

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> Lesson:
        """From what was kept."""
        start = "condition/"
        own = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
        return Lesson(
            points=Points(**{name: tensors[name] for name in ("x", "u", "row")}),
            conditions=Condition(tensors=own),
            target=tensors["target"],
        )


@torch.no_grad()
def kept_lesson(
    model: TextToImage,
    concepts: Sequence[Concept],
    *,
    walks: int = 192,
    keep: int = 8,
    empty_share: float = 0.25,
    seed: int = 0,
    progress: Progress | None = None,
) -> Lesson:
    """What the model as it is now says on the way to pictures of everything but the concepts.

    walks: pictures whose way is walked, of kept classes in turn, a share of them without a prompt.
    keep: points of each.
    """
    rows = prompts.kept_concepts(model, concepts)
    texts = [text for row in rows for text in prompts.naming(model, row, gone=concepts)]
    order = torch.randperm(len(texts), generator=generator("healing", seed)).tolist()
    blank = round(walks * empty_share)
    chosen = [texts[order[i % len(texts)]] for i in range(walks - blank)] + [Prompt("")] * blank
    request = Request(
        prompts=tuple(chosen), seeds=tuple(seed_of("healing", seed, i) for i in range(walks))
    )
    with stage(progress or SILENT, "what has to stay"):
        points = on_the_way(model, request, keep, seed=seed, progress=progress)
        conditions = model.encode(tuple(chosen)).detach()
        target = answers(model, points, conditions, progress=progress)
    return Lesson(points=points, conditions=conditions, target=target)


@torch.no_grad()
def pinned_lesson(
    model: TextToImage,
    latents: Tensor,
    inputs: Condition,
    n: int = 768,
    *,
    to: Deltas | None = None,
    seed: int = 0,
) -> Lesson:
    """At noisy pictures of the concept under inputs that bring it out: what is to be said instead.

    latents: (m, c, h, w). inputs: rows, taken in turn. to: an edit whose own predictions there are
    the target, so that healing leaves it where it erases; None takes the prediction of the model as
    it is now for no prompt.
    """
    found = noised(model, latents, n, seed=seed)
    points = Points(x=found.x, u=found.u, row=torch.arange(n) % len(inputs))
    if to is None:
        target = answers(model, points, empty(model))
    else:
        with model.swapped(to):
            target = answers(model, points, inputs)
    return Lesson(points=points, conditions=inputs.detach(), target=target)


def heal(
    model: TextToImage,
    deltas: Deltas,
    lessons: Mapping[str, tuple[Lesson, float]],
    *,
    selector: Selector = "denoiser",
    steps: int = 200,
    batch: int = 32,
    optimiser: Optimiser,
    seed: int = 0,
    progress: Progress | None = None,
    stage: Stage | None = None,
) -> tuple[dict[str, Tensor], Tuned]:
    """The edit after healing, as deltas from the model as it is now, and how training went.

    lessons: by name, with their weights; found before the edit is applied.
    """
    with model.swapped(deltas):
        terms = {name: one.term(model, batch, weight) for name, (one, weight) in lessons.items()}
        tuned = finetune(
            model,
            selector,
            terms,
            steps=steps,
            optimiser=optimiser,
            seed=seed,
            progress=progress,
            stage=stage,
        )
    names = {*deltas, *tuned.deltas}
    live = model.parameters("*")
    zero = {name: torch.zeros(live[name].shape) for name in names}
    total = {
        name: deltas.get(name, zero[name]).float().cpu() + tuned.deltas.get(name, zero[name])
        for name in sorted(names)
    }
    return total, tuned
