"""Pictures of a concept, in sets that share none: to make a change, to attack it, to test it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from excise.errors import BadConcept, BadSetting
from excise.primitives.prompts import spanning
from excise.progress import SILENT, Progress, stage
from excise.rng import generator, seed_of
from excise.types import Concept, Condition, Prompt, Request, Samples, TextToImage, digest

Split = Literal["tau", "find", "choose", "check", "attack", "test"]
SHARES: Mapping[Split, float] = {
    "tau": 0.35, "find": 0.1, "choose": 0.1, "check": 0.1, "attack": 0.2, "test": 0.15,
}  # fmt: skip
"""What given pictures are for: to make the change, to find by, to choose by, and to check what was
chosen, all four an eraser's; to attack with; and to test on, which neither an eraser nor an
attacker sees."""

# Sentences around a prompt, so that no style, place or light comes with the concept alone.
CONTEXTS: tuple[str, ...] = (
    "{}",
    "{}, on a plain white background",
    "{}, outdoors",
    "{}, indoors",
    "{}, at night",
    "{}, close up",
    "{}, seen from far away",
    "{}, in black and white",
    "{}, pencil sketch",
    "{}, oil painting",
    "{}, watercolour",
    "{}, cartoon",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pictures:
    """A set of pictures, as the denoiser sees them, and where they come from.

    latents: (n, c, h, w), float32, on the CPU. prompts: what each was drawn from, or the concept's
    own prompts in turn where pictures were given. hashes: SHA-256 of each picture as uint8.
    seeds: what each was drawn on; empty where pictures were given.
    """

    concept: str
    split: Split
    latents: Tensor
    prompts: tuple[Prompt, ...]
    hashes: tuple[str, ...]
    seeds: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.hashes)

    def record(self) -> dict[str, Any]:
        """All but the latents, as JSON values: whoever has the hashes can check for overlap."""
        return {
            "concept": self.concept,
            "split": self.split,
            "prompts": [prompt.text for prompt in self.prompts],
            "hashes": list(self.hashes),
            "seeds": list(self.seeds),
        }

    @staticmethod
    def of(latents: Tensor, record: Mapping[str, Any]) -> Pictures:
        """From latents and a record that were kept."""
        return Pictures(
            concept=record["concept"],
            split=record["split"],
            latents=latents,
            prompts=Prompt.of(record["prompts"]),
            hashes=tuple(record["hashes"]),
            seeds=tuple(record["seeds"]),
        )


def concept_pictures(
    model: TextToImage,
    concept: Concept,
    n: int,
    *,
    split: Split = "tau",
    seed: int = 0,
    contexts: Sequence[str] = ("{}",),
    steps: int | None = None,
    guidance: float | None = None,
    progress: Progress | None = None,
) -> Pictures:
    """``n`` pictures of a concept: the given ones, or the model's own.

    The model draws from every template with every name within every context, equally often to
    one, on seeds that the seed, the concept and the split decide. Given pictures are cut into
    disjoint sets by their content alone (`SHARES`), whatever the seed; each counts once, and there
    may be fewer than ``n``.

    contexts: sentences with ``{}`` for the whole prompt; `CONTEXTS` has some to span styles and
        surroundings. steps, guidance: None is the model's own.

    Raises:
        BadConcept: given pictures too few to be cut into sets. BadSetting: ``n`` < 1, no context,
            one without ``{}``.
    """
    if n < 1 or not contexts:
        raise BadSetting(f"expected n >= 1 and at least one context, got {n} and {contexts}")
    if lacking := [context for context in contexts if "{}" not in context]:
        raise BadSetting(
            f"expected {{}} in every context, where the prompt is to stand, got {lacking[0]!r}; "
            'write, say, "{} on a blue background"'
        )
    if split not in get_args(Split):
        raise BadSetting(f"expected a split among {get_args(Split)}, got {split!r}")
    texts = spread(spanning(model, concept), n, contexts, seed=seed, split=split)
    if concept.pictures is not None:
        return _given(model, concept, concept.pictures, n, split, texts)
    seeds = tuple(seed_of("pictures", seed, concept.name, split, i) for i in range(n))
    request = Request(prompts=texts, seeds=seeds, steps=steps, guidance=guidance)
    with stage(progress or SILENT, f"draw pictures of {concept.name}"):
        latents, samples = drawn(model, request)
    return Pictures(
        concept=concept.name,
        split=split,
        latents=latents,
        prompts=texts,
        hashes=tuple(digest(picture) for picture in samples.uint8().cpu()),
        seeds=seeds,
    )


def drawn(model: TextToImage, request: Request) -> tuple[Tensor, Samples]:
    """The pictures of a request, and their latents (n, c, h, w), float32, on the CPU."""
    samples = model.generate(request)
    latents = samples.latents
    if latents is None:
        latents = model.encode_pictures(samples.pictures)
    return latents.float().cpu(), samples


def spread(
    concept: Concept, n: int, contexts: Sequence[str] = ("{}",), *, seed: int = 0, split: str = ""
) -> tuple[Prompt, ...]:
    """``n`` prompts of a concept that cover templates, names and contexts evenly, in any order."""
    templates = [context.replace("{}", t) for context in contexts for t in concept.templates]
    prompts = concept.prompts(templates=templates)
    order: list[int] = []
    while len(order) < n:
        numbers = generator("spread", seed, concept.name, split, len(order))
        order += torch.randperm(len(prompts), generator=numbers).tolist()
    return tuple(prompts[i] for i in order[:n])


def empty(model: TextToImage) -> Condition:
    """One row for no prompt: the family's own unconditional, or the empty text without one."""
    null = model.null()
    return model.encode("") if null is None else null


def _given(
    model: TextToImage,
    concept: Concept,
    pictures: Tensor,
    n: int,
    split: Split,
    texts: tuple[Prompt, ...],
) -> Pictures:
    chosen = _share(concept, pictures, split)[:n]
    with torch.no_grad():
        latents = torch.cat([model.encode_pictures(pictures[i : i + 1]) for _, i in chosen])
    return Pictures(
        concept=concept.name,
        split=split,
        latents=latents.float().cpu(),
        prompts=texts[: len(chosen)],
        hashes=tuple(name for name, _ in chosen),
    )


def parts(n: int) -> dict[Split, range]:
    """Which of ``n`` >= 6 different pictures, in the order of their hashes, are in each set."""
    spare = n - len(SHARES)  # one each, and the rest by share
    found: dict[Split, range] = {}
    first, total = 0, 0.0
    for i, (name, share) in enumerate(SHARES.items()):
        total += share
        last = i + 1 + round(total * spare)
        found[name] = range(first, last)
        first = last
    return found


def _share(concept: Concept, pictures: Tensor, split: Split) -> list[tuple[str, int]]:
    """(hash, row) of a split's part of the different pictures, in the order of their hashes."""
    whole = pictures if pictures.dtype == torch.uint8 else (pictures * 255).round().to(torch.uint8)
    rows = sorted({digest(picture): i for i, picture in reversed([*enumerate(whole)])}.items())
    if len(rows) < len(SHARES):
        raise BadConcept(
            f"expected at least {len(SHARES)} different pictures of {concept.name!r}, so that "
            f"those to make, find, choose, check, attack and test are not the same, got "
            f"{len(rows)}; give more, or none, and the model draws them"
        )
    own = parts(len(rows))[split]
    return rows[own.start : own.stop]
