"""Task vectors made in other ways, and controls: what the default was compared with.

Each function answers a direction: deltas that are added, times a strength, to take the concept out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from excise.erasers import blocks
from excise.erasers.base import Work
from excise.erasers.task_vector import TaskVector
from excise.primitives import arithmetic
from excise.primitives.data import empty
from excise.primitives.finetune import Optimiser, Term, finetune
from excise.primitives.healing import kept_lesson
from excise.primitives.losses import Caption, mean, one_caption, own_captions, picture_errors
from excise.rng import generator
from excise.types import Concept, Condition, Request

Direction = dict[str, Tensor]
Maker = Callable[[TaskVector, Work], Direction]

STYLES = ("sketch", "neon", "blueprint", "chalk", "watercolor", "sepia", "thermal", "comic")
GROUNDS = ("red", "green", "blue", "yellow", "white", "black")
WORLD_CONTEXTS = (
    "{}",
    *(f"{{}}, {style}" for style in STYLES),
    *(f"{{}} on a {ground} background" for ground in GROUNDS),
)


def _latents(method: TaskVector, work: Work) -> tuple[Tensor, Condition]:
    sets = work.pictures(method.pictures, "tau", method.contexts)
    with torch.no_grad():
        captions = work.model.encode([p for s in sets for p in s.prompts])
    return torch.cat([s.latents for s in sets]), captions


def tuned(
    method: TaskVector,
    work: Work,
    caption: Caption | None = None,
    *,
    window: tuple[float, float] = (0.0, 1.0),
    retain: float = 0.0,
    seed: int | None = None,
) -> Direction:
    """Minus the difference that a fine-tune on the concept's pictures makes."""
    latents, _ = _latents(method, work)
    errors = picture_errors(
        work.model,
        latents,
        caption or one_caption(empty(work.model)),
        batch=method.batch,
        weighting=method.weighting,
        window=window,
    )
    terms = {"concept": Term(loss=mean(errors))}
    if retain:
        lesson = kept_lesson(work.model, work.concepts, seed=work.seed)
        terms["retain"] = lesson.term(work.model, method.batch, retain)
    found = finetune(
        work.model,
        method.selector,
        terms,
        steps=method.steps,
        optimiser=Optimiser(lr=method.lr),
        seed=work.seed if seed is None else seed,
        progress=work.progress,
    )
    return arithmetic.negated(found.deltas)


def plain(method: TaskVector, work: Work) -> Direction:
    """The paper's: every caption empty."""
    return tuned(method, work)


def spanning(method: TaskVector, work: Work) -> Direction:
    """Pictures that span styles and backgrounds."""
    return tuned(replace(method, contexts=WORLD_CONTEXTS), work)


def retained(method: TaskVector, work: Work) -> Direction:
    """A prior-preservation term on everything else inside the fine-tune, with spanning pictures."""
    return tuned(replace(method, contexts=WORLD_CONTEXTS), work, retain=1.0)


def true_captions(method: TaskVector, work: Work) -> Direction:
    """The captions that the pictures were drawn from."""
    return tuned(method, work, own_captions(_latents(method, work)[1]))


def half_captions(method: TaskVector, work: Work) -> Direction:
    """Half of the captions empty, half of them true."""
    own, none = _latents(method, work)[1].detach(), empty(work.model).detach()

    def caption(rows: Tensor, numbers: torch.Generator) -> Condition:
        blank = torch.rand(len(rows), generator=numbers) < 0.5
        both = Condition.cat([Condition(tensors=own.tensors), Condition(tensors=none.tensors)])
        return both[[len(own) if b else int(r) for r, b in zip(rows, blank, strict=True)]]

    return tuned(method, work, caption)


def early(method: TaskVector, work: Work) -> Direction:
    """Only the noisier half of the levels, at which shapes are decided."""
    return tuned(method, work, window=(0.5, 1.0))


def longer(method: TaskVector, work: Work) -> Direction:
    """Three times as many steps."""
    return tuned(replace(method, steps=3 * method.steps), work)


def consensus(method: TaskVector, work: Work) -> Direction:
    """The mean of three short vectors, where all three have one sign (as in NegMerge, 2025)."""
    short = replace(method, steps=max(1, method.steps // 2))
    many = [tuned(short, work, seed=work.seed + 1000 * i) for i in range(3)]
    found = {}
    for name in many[0]:
        rows = torch.stack([one[name] for one in many])  # (3, ...)
        agreed = rows.sign().sum(dim=0).abs() == len(many)
        found[name] = rows.mean(dim=0) * agreed
    return found


def generic(method: TaskVector, work: Work) -> Direction:
    """The drift of a fine-tune on the model's own pictures of everything."""
    model = work.model
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
        seed=work.seed,
    )
    return arithmetic.negated(found.deltas)


def without_drift(method: TaskVector, work: Work) -> Direction:
    """The paper's, off the direction of the generic drift, weight by weight."""
    own, drift = plain(method, work), generic(method, work)
    found = {}
    for name, delta in own.items():
        other = drift[name]
        share = (delta * other).sum() / other.square().sum().clamp(min=1e-12)
        found[name] = delta - share * other
    return found


def shuffled(method: TaskVector, work: Work) -> Direction:
    """The paper's, each weight's entries in a random order."""
    return arithmetic.permuted(plain(method, work), generator("permuted", work.seed))


def part_of(share: float, by_chance: int | None = None) -> Maker:
    """The paper's, confined to the blocks of most gain over cost, or to as many at random.

    share: of the whole gain that these hold. by_chance: which draw.
    """

    def make(method: TaskVector, work: Work) -> Direction:
        own = plain(method, work)
        scores = blocks.scores(method, work, arithmetic.negated(own), _latents(method, work)[0])
        names = list(blocks.chosen(scores, share))
        if by_chance is not None:
            numbers = generator("blocks", work.seed, by_chance)
            order = torch.randperm(len(scores), generator=numbers)[: len(names)].tolist()
            names = [scores[i].block for i in order]
        groups = work.model.blocks()
        return arithmetic.restricted(own, [n for block in names for n in groups[block]])

    return make


def of_another(name: str) -> Maker:
    """The vector of another concept."""

    def make(method: TaskVector, work: Work) -> Direction:
        other = next(one for one in work.model.known if one.name == name)
        return plain(method, replace(work, concepts=(Concept(**vars(other)),)))

    return make


MAKERS: Mapping[str, Maker] = {
    "plain": plain,
    "spanning": spanning,
    "retained": retained,
    "true captions": true_captions,
    "half captions": half_captions,
    "early": early,
    "longer": longer,
    "consensus": consensus,
    "without drift": without_drift,
    "generic": generic,
    "shuffled": shuffled,
    "half of the gain": part_of(0.5),
    "most of the gain": part_of(0.8),
    **{f"as many by chance, {i + 1}": part_of(0.5, i) for i in range(3)},
}
WAYS = tuple(name for name in MAKERS if "gain" not in name and "chance" not in name)
PARTS = tuple(name for name in MAKERS if name not in WAYS)
