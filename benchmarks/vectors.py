"""Task vectors trained in other ways: what the default was compared with.

Each function answers a direction: deltas that are added, times a strength, to take the concept out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from excise.erasers.base import Work
from excise.erasers.task_vector import TaskVector
from excise.primitives import arithmetic
from excise.primitives.data import empty
from excise.primitives.finetune import Optimiser, Term, finetune
from excise.primitives.healing import kept_lesson
from excise.primitives.losses import Caption, mean, one_caption, own_captions, picture_errors
from excise.types import Condition, Request

Direction = dict[str, Tensor]


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """What a way to make a vector is given.

    kept: the direction of another way on the same run, which is made once.
    """

    method: TaskVector
    work: Work
    kept: Callable[[str], Direction]


Maker = Callable[[Run], Direction]

STYLES = ("sketch", "neon", "blueprint", "chalk", "watercolor", "sepia", "thermal", "comic")
GROUNDS = ("red", "green", "blue", "yellow", "white", "black")
WORLD_CONTEXTS = (
    "{}",
    *(f"{{}}, {style}" for style in STYLES),
    *(f"{{}} on a {ground} background" for ground in GROUNDS),
)


def _captions(run: Run) -> Condition:
    """What the pictures were drawn from, a row each."""
    sets = run.work.pictures(run.method.pictures, "tau", run.method.contexts)
    with torch.no_grad():
        return run.work.model.encode([prompt for made in sets for prompt in made.prompts])


def tuned(
    run: Run,
    method: TaskVector | None = None,
    *,
    caption: Caption | None = None,
    window: tuple[float, float] = (0.0, 1.0),
    retain: float = 0.0,
    seed: int | None = None,
) -> Direction:
    """Minus the difference that a fine-tune on the concept's pictures makes.

    method, seed: the run's by default.
    """
    work, own = run.work, method or run.method
    errors = picture_errors(
        work.model,
        work.latents(own.pictures, "tau", own.contexts),
        caption or one_caption(empty(work.model)),
        batch=own.batch,
        weighting=own.weighting,
        window=window,
    )
    terms = {"concept": Term(loss=mean(errors))}
    if retain:
        lesson = kept_lesson(work.model, work.concepts, seed=work.seed, judge=work.judge)
        terms["retain"] = lesson.term(work.model, own.batch, retain)
    found = finetune(
        work.model,
        own.selector,
        terms,
        steps=own.steps,
        optimiser=Optimiser(lr=own.lr),
        seed=work.seed if seed is None else seed,
        progress=work.progress,
    )
    return arithmetic.negated(found.deltas)


def plain(run: Run) -> Direction:
    """The paper's: every caption empty."""
    whole = replace(run.method, subset=(), gain=1.0)
    return arithmetic.negated(whole.vector(run.work)[0])


def spanning(run: Run) -> Direction:
    """Pictures that span styles and backgrounds."""
    return tuned(run, replace(run.method, contexts=WORLD_CONTEXTS))


def retained(run: Run) -> Direction:
    """A prior-preservation term on everything else inside the fine-tune, with spanning pictures."""
    return tuned(run, replace(run.method, contexts=WORLD_CONTEXTS), retain=1.0)


def true_captions(run: Run) -> Direction:
    """The captions that the pictures were drawn from."""
    return tuned(run, caption=own_captions(_captions(run)))


def half_captions(run: Run) -> Direction:
    """Half of the captions empty, half of them true."""
    own, none = _captions(run).detach(), empty(run.work.model).detach()

    def caption(rows: Tensor, numbers: torch.Generator) -> Condition:
        blank = torch.rand(len(rows), generator=numbers) < 0.5
        both = Condition.cat([Condition(tensors=own.tensors), Condition(tensors=none.tensors)])
        return both[[len(own) if b else int(r) for r, b in zip(rows, blank, strict=True)]]

    return tuned(run, caption=caption)


def early(run: Run) -> Direction:
    """Only the noisier half of the levels, at which shapes are decided."""
    return tuned(run, window=(0.5, 1.0))


def longer(run: Run) -> Direction:
    """Three times as many steps."""
    return tuned(run, replace(run.method, steps=3 * run.method.steps))


def consensus(run: Run) -> Direction:
    """The mean of three short vectors, where all three have one sign (as in NegMerge, 2025)."""
    short = replace(run.method, steps=max(1, run.method.steps // 2))
    many = [tuned(run, short, seed=run.work.seed + 1000 * i) for i in range(3)]
    found = {}
    for name in many[0]:
        rows = torch.stack([one[name] for one in many])  # (3, ...)
        agreed = rows.sign().sum(dim=0).abs() == len(many)
        found[name] = rows.mean(dim=0) * agreed
    return found


def generic(run: Run) -> Direction:
    """The drift of a fine-tune on the model's own pictures of everything, whatever the concept."""
    model, method = run.work.model, run.method
    texts = [p for one in model.known if one.kind == "object" for p in one.prompts()[:2]]
    n = method.pictures
    request = Request(prompts=tuple(texts[i % len(texts)] for i in range(n)), seeds=tuple(range(n)))
    latents = model.generate(request).latents
    if latents is None:
        raise RuntimeError("expected a model that hands over latents")
    errors = picture_errors(
        model,
        latents.float().cpu(),
        one_caption(empty(model)),
        batch=method.batch,
        weighting=method.weighting,
    )
    found = finetune(
        model,
        method.selector,
        {"pictures": Term(loss=mean(errors))},
        steps=method.steps,
        optimiser=Optimiser(lr=method.lr),
        seed=run.work.seed,
    )
    return arithmetic.negated(found.deltas)


TRAINED: Mapping[str, Maker] = {
    "plain": plain,
    "spanning": spanning,
    "retained": retained,
    "true captions": true_captions,
    "half captions": half_captions,
    "early": early,
    "longer": longer,
    "consensus": consensus,
    "generic": generic,
}
ALONE = ("generic",)
"""Ways whose vector is the same for every concept."""
