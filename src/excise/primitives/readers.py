"""Which weights read text, and which of a prompt's states a closed form is to be solved for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from excise.errors import Unsupported
from excise.types import Condition, Part, TextToImage, Tokens

States = Literal["last", "tail", "padded_tail", "words", "all"]
CHOSEN: Mapping[States, str] = {
    "last": "that of the last token of its subject",
    "tail": "those from there to the end token",
    "padded_tail": "those from there through the padding",
    "words": "those of all tokens but the first",
    "all": "those of all tokens",
}
"""Which of a prompt's states. Where a feature has no tokens, as the pooled state, there is one a
prompt."""

CHUNK = 64  # prompts that are encoded at once


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Weights that read one and the same vectors: a solve serves all of them.

    weights: canonical names. feature, parts: as in `TextProjection`. width: d, of the vectors.
    """

    weights: tuple[str, ...]
    feature: str
    parts: tuple[Part, ...]
    width: int


@dataclass(frozen=True)
class Mention:
    """A prompt, and the words in it that name what it is about; empty for its last word."""

    text: str
    phrase: str = ""


def readings(model: TextToImage, kinds: Collection[str], method: str) -> tuple[Reading, ...]:
    """The weights of the given kinds that read a tensor of the condition, by what they read.

    kinds: of `TextProjection`: ``key``, ``value``, ``context``, ``pooled``. What reads text only
    after other layers changed it has no closed form, and is left out.

    Raises:
        Unsupported: the model has none of them; `method` is whom the message is about.
    """
    there = model.encode("").tensors
    groups: dict[tuple[str, tuple[Part, ...]], list[str]] = {}
    for one in model.text_projections():
        if one.kind in kinds and one.feature in there:
            groups.setdefault((one.feature, one.parts), []).append(one.weight)
    if not groups:
        known = sorted({o.kind for o in model.text_projections() if o.feature in there})
        raise Unsupported(
            f"{method}: expected a model with weights that read text as {' or '.join(kinds)}, "
            f"{model.name!r} ({model.family}) has {', '.join(known) or 'none'}; set kinds"
        )
    return tuple(
        Reading(
            weights=tuple(weights), feature=feature, parts=parts, width=there[feature].shape[-1]
        )
        for (feature, parts), weights in groups.items()
    )


def states(
    model: TextToImage, reading: Reading, mentions: Sequence[Mention], choice: States
) -> Iterator[Tensor]:
    """The chosen states of prompts, in batches (n, d) in float64 on the CPU."""
    for i in range(0, len(mentions), CHUNK):
        some = mentions[i : i + CHUNK]
        cond = _encoded(model, some)
        rows = [_chosen(reading, cond, row, m.phrase, choice) for row, m in enumerate(some)]
        yield torch.cat([part for parts in rows for part in parts])


def pairs(
    model: TextToImage,
    reading: Reading,
    swaps: Iterable[tuple[Mention, Mention]],
    choice: States,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The chosen states of prompts, and of those to be read in their place, in batches (n, d) each.

    Position by position from the first chosen one in each, until one of the two ends. In float64
    on the CPU.
    """
    given = list(swaps)
    for i in range(0, len(given), CHUNK):
        some = given[i : i + CHUNK]
        sources = _encoded(model, [source for source, _ in some])
        targets = _encoded(model, [target for _, target in some])
        found = []
        for row, (source, target) in enumerate(some):
            here = _chosen(reading, sources, row, source.phrase, choice)
            there = _chosen(reading, targets, row, target.phrase, choice)
            found += [(a[: len(b)], b[: len(a)]) for a, b in zip(here, there, strict=True)]
        yield torch.cat([a for a, _ in found]), torch.cat([b for _, b in found])


def empty_states(model: TextToImage, reading: Reading) -> list[Tensor]:
    """All states of the empty prompt, (n, d) for each sequence of tokens, in float64."""
    return _chosen(reading, _encoded(model, [Mention("")]), 0, "", "all")


def _encoded(model: TextToImage, mentions: Sequence[Mention]) -> Condition:
    with torch.no_grad():
        return model.encode([m.text for m in mentions]).to("cpu", torch.float64)


def _chosen(
    reading: Reading, cond: Condition, row: int, phrase: str, choice: States
) -> list[Tensor]:
    """The chosen states (n, d) of a row, for each sequence of tokens that the feature holds."""
    feature = cond.tensors[reading.feature][row]
    if feature.dim() == 1:  # pooled: (d,)
        return [feature[None]]
    sequences: dict[tuple[int, int], str] = {}
    for part in reading.parts:  # encoders side by side cut a prompt alike: the first one's tokens
        sequences.setdefault(part.rows, part.encoder)
    found = []
    for (start, stop), encoder in sequences.items():
        wanted = _positions(cond.tokens[encoder], row, phrase, choice)
        found.append(feature[start:stop][wanted])  # (L, d) -> (n, d)
    return found


def _positions(tokens: Tokens, row: int, phrase: str, choice: States) -> slice:
    if choice in ("words", "all"):
        return slice(int(choice == "words"), None)
    place = tokens.find(row, phrase) if phrase else None
    last = tokens.last(row) if place is None else place[1] - 1
    ends = {"last": last + 1, "tail": int(tokens.mask[row].sum()), "padded_tail": None}
    return slice(last, ends[choice])
