"""What STEREO trains towards: in the rounds of its search, and once at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from excise.erasers.base import Work
from excise.primitives.anchors import counterparts
from excise.primitives.data import empty, spread
from excise.primitives.healing import Lesson, kept_texts
from excise.primitives.inversion import Inversion
from excise.primitives.points import Points, answers, on_the_way
from excise.primitives.prompts import spanning
from excise.progress import stage
from excise.rng import generator, seed_of
from excise.types import Concept, Prompt, Request

if TYPE_CHECKING:
    from excise.erasers.stereo import Stereo

Found = tuple[tuple[Inversion, ...], ...]
"""By round, and by concept, the soft tokens that were found."""


def in_search(method: Stereo, work: Work, number: int, last: Sequence[Inversion] | None) -> Lesson:
    """What a round erases, and towards what, in the predictions of the model as it is now.

    ``p(null) - eta [p(e) - p(null)]`` at each e: the prompts of the concepts, or the tokens of the
    last round.
    """

    def make() -> Lesson:
        each = [
            _own(method, work, concept) if last is None else last[i].prompts()
            for i, concept in enumerate(work.concepts)
        ]
        prompts = in_turn(each, method.trajectories)
        points = _walked(method, work, prompts, number)
        conditions = work.model.encode(prompts).detach()
        null = answers(work.model, points, empty(work.model), progress=work.progress)
        given = answers(work.model, points, conditions, progress=work.progress)
        target = null - method.eta * (given - null)
        return Lesson(points=points, conditions=conditions, target=target)

    with stage(work.progress, f"what to erase, round {number + 1}"):
        return _kept(work, f"stereo-targets-{number}", make)


def at_last(method: Stereo, work: Work, found: Found) -> Lesson:
    """The last stage's points, and the composition that is wanted there.

    At each e in E, of one concept: ``p(null) + anchor_scale [p(anchor) - p(null)] - erase_scale
    mean over e' in E [p(e') - p(null)]``. The concept's own share of the points is spread over all
    of its prompts; in the mean it has its first.
    """

    def make() -> Lesson:
        model, concepts = work.model, work.concepts
        tokens = [[p for row in found for p in row[i].prompts()] for i in range(len(concepts))]
        turns = [
            in_turn(
                [_own(method, work, concept), *((p,) for p in some)],
                math.ceil(method.trajectories / len(concepts)),
            )
            for concept, some in zip(concepts, tokens, strict=True)
        ]
        prompts = in_turn(turns, len(turns) * max(map(len, turns)))
        points = _walked(method, work, prompts, method.rounds)
        null = answers(model, points, empty(model), progress=work.progress)
        anchors = model.encode(_anchors(work, len(points))).detach()
        own_rows = Points(x=points.x, u=points.u, row=torch.arange(len(points)))
        anchor = answers(model, own_rows, anchors, progress=work.progress)
        target = null + method.anchor_scale * (anchor - null)
        for i, (concept, some) in enumerate(zip(concepts, tokens, strict=True)):
            mine = (points.row % len(concepts) == i).nonzero().flatten()
            pulls = [
                answers(model, points.take(mine), model.encode(e).detach()) - null[mine]
                for e in (concept.prompts()[0], *some)
            ]
            target[mine] -= method.erase_scale * torch.stack(pulls).mean(dim=0)
        return Lesson(points=points, conditions=model.encode(prompts).detach(), target=target)

    with stage(work.progress, "what to erase, and to keep"):
        return _kept(work, "stereo-targets", make)


def in_turn(groups: Sequence[Sequence[Prompt]], n: int) -> tuple[Prompt, ...]:
    """N prompts or a few more, as many of each group: the first of each, then the second, ..."""
    each = math.ceil(n / len(groups))
    return tuple(group[i % len(group)] for i in range(each) for group in groups)


def _kept(work: Work, name: str, make: Callable[[], Lesson]) -> Lesson:
    return Lesson.of(work.kept(name, lambda: (make().tensors(), None)).tensors)


def _own(method: Stereo, work: Work, concept: Concept) -> tuple[Prompt, ...]:
    spanned = spanning(work.model, concept)
    return spread(spanned, method.trajectories, seed=work.seed, split="stereo")


def _anchors(work: Work, n: int) -> tuple[Prompt, ...]:
    """Prompts that have to survive: about the concepts' anchors, or all that the model knows.

    The authors had a language model write theirs; those that they published, for nudity, are scenes
    that name it, of which the composition then leaves the scene.
    """
    named = [
        tuple(counterparts(spanning(work.model, c), c.anchor).values())
        for c in work.concepts
        if c.anchor is not None
    ]
    texts = in_turn(named, n) if named else kept_texts(work.model, work.concepts, n, work.seed)
    order = torch.randperm(n, generator=generator("stereo anchors", work.seed))
    return tuple(texts[int(i)] for i in order)


def _walked(method: Stereo, work: Work, prompts: tuple[Prompt, ...], number: int) -> Points:
    request = Request(
        prompts=prompts,
        seeds=tuple(seed_of("stereo", work.seed, number, i) for i in range(len(prompts))),
        steps=method.sampling_steps,
        guidance=method.guidance,
    )
    return on_the_way(
        work.model,
        request,
        math.ceil(method.steps * method.batch / len(prompts)),
        seed=seed_of("stereo", work.seed, number),
        progress=work.progress,
    )
