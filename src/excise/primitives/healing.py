"""Erase hard, then heal: after an edit that takes too much, train back what had to stay.

The edited model is distilled towards the unedited one on the way to pictures of everything else,
with their prompts and without. Meanwhile the concept is pinned: at inputs that bring it out, the
model is held to what the base says without any prompt, or to what the edit says there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from excise.primitives import prompts
from excise.primitives.data import empty
from excise.primitives.finetune import Optimiser, Term, Tuned, finetune
from excise.primitives.panel import label_of, read
from excise.primitives.points import Points, answers, noised, towards, walked
from excise.progress import SILENT, Progress, stage
from excise.rng import generator, seed_of
from excise.store import Stage
from excise.types import Concept, Condition, Judge, Prompt, Request, Selector, TextToImage

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

    def and_then(self, other: Lesson) -> Lesson:
        """Both, as one lesson."""
        row = torch.cat([self.points.row, other.points.row + len(self.conditions)])
        x, u = (torch.cat([getattr(one.points, n) for one in (self, other)]) for n in ("x", "u"))
        return Lesson(
            points=Points(x=x, u=u, row=row),
            conditions=Condition.cat([self.conditions, other.conditions]),
            target=torch.cat([self.target, other.target]),
        )

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
    stand_in: bool = False,
    near: int = 2,
    seed: int = 0,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> Lesson:
    """What the model as it is now says on the way to pictures of everything but the concepts.

    Every kept class is drawn equally often, the concepts' neighbours ``near`` times as often. Every
    sixth picture shows two objects, and every sixth one object under a prompt that asks for a
    concept beside it, or for the object in a style that has to go: of what is asked for, the rest
    stays.
    With ``stand_in`` every sixth shows any other thing under a prompt that asks for the concept
    alone: so the model learns to draw what it might have drawn, had it never known the word.

    walks: pictures whose way is walked. keep: points of each. empty_share: of the points, those at
    which the prediction without a prompt is held, since guidance asks for it there too. judge:
    leaves out the pictures in which it sees one of the concepts: a model also draws what it was
    not asked for, a watermark above all.
    """
    asked, drawn = _asked(model, concepts, walks, seed, stand_in, near)
    request = Request(prompts=drawn, seeds=tuple(seed_of("healing", seed, i) for i in range(walks)))
    with stage(progress or SILENT, "what has to stay"):
        points, samples = walked(model, request, keep, seed=seed, progress=progress)
        if judge is not None:
            clean = ~_seen(judge, concepts, samples.uint8())
            if bool(clean.any()):
                points = points.take(clean[points.row].nonzero()[:, 0])
        chance = torch.rand(len(points), generator=generator("unprompted", seed))
        row = torch.where(chance < empty_share, walks, points.row)
        points = replace(points, row=row)
        wanted = Condition.cat([model.encode(drawn), empty(model)])
        target = answers(model, points, wanted, progress=progress)
        conditions = Condition.cat([model.encode(asked), empty(model)]).detach()
    return Lesson(points=points, conditions=conditions, target=target)


def kept_texts(
    model: TextToImage, concepts: Sequence[Concept], n: int, seed: int, near: int = 2
) -> tuple[Prompt, ...]:
    """``n`` prompts of what has to stay: each class as often but the nearest, two in a sixth.

    The empty prompt, where the model knows nothing but the concepts.
    """
    rows = prompts.kept_concepts(model, concepts)
    if not rows:
        return (Prompt(""),) * n
    close = prompts.neighbours(model, concepts, rows)
    turns = [*rows, *(row for row in rows if row.name in close for _ in range(near - 1))]
    things = [row for row in rows if row.kind == "object"]
    numbers = generator("healing", seed)
    order: list[int] = []
    while len(order) < n:
        order += torch.randperm(len(turns), generator=numbers).tolist()
    found = []
    for i in range(n):
        if i % 6 == 5 and len(things) > 1:
            one = things[_any(len(things), numbers)]
            others = [row for row in things if row is not one]
            texts = tuple(pair.prompt for pair in prompts.pairs(model, one, others))
        else:
            texts = prompts.naming(model, turns[order[i]], gone=concepts)
        found.append(texts[_any(len(texts), numbers)])
    return tuple(found)


def _asked(
    model: TextToImage, concepts: Sequence[Concept], n: int, seed: int, stand_in: bool, near: int
) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
    """What is asked for, and what is to be drawn; the same but where a concept is asked for."""
    drawn = list(kept_texts(model, concepts, n, seed, near))
    asked = list(drawn)
    things = [row for row in prompts.kept_concepts(model, concepts) if row.kind == "object"]
    numbers = generator("beside", seed)
    turns: list[int] = []
    for i in range(2, n if things else 0, 6):
        turns = turns or torch.randperm(len(things), generator=numbers).tolist()
        gone = concepts[_any(len(concepts), numbers)]
        named = replace(gone, name=gone.names[_any(len(gone.names), numbers)])
        pair = prompts.pairs(model, named, things)[turns.pop()]
        texts = prompts.naming(model, pair.other, gone=concepts)
        asked[i], drawn[i] = pair.prompt, texts[_any(len(texts), numbers)]
    for i in range(4, n if stand_in and things else 0, 6):
        gone = concepts[_any(len(concepts), numbers)]
        other = things[_any(len(things), numbers)]
        names = prompts.naming(model, gone)
        texts = prompts.naming(model, other, gone=concepts)
        asked[i], drawn[i] = names[_any(len(names), numbers)], texts[_any(len(texts), numbers)]
    return tuple(asked), tuple(drawn)


def _any(n: int, numbers: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=numbers))


def _seen(judge: Judge, concepts: Sequence[Concept], pictures: Tensor) -> Tensor:
    """Bool (n,): does the judge see any of the concepts?"""
    labels = [label_of(judge, concept) for concept in concepts]
    sheet = read(judge, pictures, labels)
    return torch.stack([sheet.shown(label) for label in labels]).any(dim=0)


@torch.no_grad()
def pinned_lesson(
    model: TextToImage,
    latents: Tensor,
    inputs: Condition,
    n: int = 768,
    *,
    to: Deltas | None = None,
    away: float = 0.0,
    seed: int = 0,
) -> Lesson:
    """At noisy pictures of the concept under inputs that bring it out: what is to be said instead.

    latents: (m, c, h, w). inputs: rows, taken in turn. to: an edit whose own predictions there are
    the target, so that healing leaves it where it erases. With None it is
    ``p(null) - away [p(input) - p(null)]`` in the predictions p of the model as it is now: what it
    says without a prompt, and from there away from what the input asks for, which is the target of
    ESD (Gandikota et al. 2023, arXiv:2303.07345).
    """
    found = noised(model, latents, n, seed=seed)
    points = Points(x=found.x, u=found.u, row=torch.arange(n) % len(inputs))
    if to is None:
        target = answers(model, points, empty(model))
        if away:
            target = target - away * (answers(model, points, inputs) - target)
    else:
        with model.swapped(to):
            target = answers(model, points, inputs)
    return Lesson(points=points, conditions=inputs.detach(), target=target)


def heal(
    model: TextToImage,
    deltas: Deltas,
    lessons: Mapping[str, tuple[Lesson, int, float]],
    *,
    against: Mapping[str, Term] | None = None,
    selector: Selector = "denoiser",
    steps: int = 200,
    optimiser: Optimiser,
    seed: int = 0,
    progress: Progress | None = None,
    stage: Stage | None = None,
) -> tuple[dict[str, Tensor], Tuned]:
    """The edit after healing, as deltas from the model as it is now, and how training went.

    lessons: by name, each with its batch and its weight; found before the edit is applied, as are
    the terms of ``against``.
    """
    with model.swapped(deltas):
        terms = {
            name: one.term(model, batch, weight) for name, (one, batch, weight) in lessons.items()
        }
        terms |= against or {}
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
