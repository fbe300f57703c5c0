"""The small values that methods, attacks, judges and reports hand to one another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from excise.errors import BadConcept, UserError

Kind = Literal["object", "style", "implicit"]

TEMPLATES: Mapping[Kind, tuple[str, ...]] = {
    "object": ("{a}", "a picture of {a}", "a photo of {a}", "a drawing of {a}"),
    "style": ("a picture in {} style", "a house in {} style", "a dog in {} style"),
    "implicit": ("{}",),
}


def digest(*tensors: Tensor) -> str:
    """SHA-256, in hexadecimal, of the dtype, shape and bytes of tensors, wherever they live."""
    total = hashlib.sha256()
    for tensor in tensors:
        flat = tensor.detach().to("cpu").contiguous().reshape(-1)
        total.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        total.update(flat.view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


@dataclass(frozen=True, eq=False)
class Prompt:
    """A text, in which a word such as ``<1>`` may stand for vectors instead of tokens.

    soft: by word, by encoder (``text_encoder``, ``text_encoder_2``, ...), float vectors (k, d) at
        the output of that encoder's token embedding. An encoder that is not named reads the
        ordinary placeholder token k times, k being the word's length in the encoders that are.
    """

    text: str
    soft: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for word, by_encoder in self.soft.items():
            if self.text.count(word) != 1:
                raise UserError(
                    f"expected the soft token {word!r} once in the text {self.text!r}, found it "
                    f"{self.text.count(word)} times; write it where its vectors are to stand"
                )
            shapes = {name: tuple(value.shape) for name, value in by_encoder.items()}
            if not shapes or any(len(s) != 2 or s[0] < 1 for s in shapes.values()):
                raise UserError(
                    f"expected vectors (k, d) with k >= 1 for {word!r} in at least one encoder, "
                    f"got {shapes}"
                )

    @cached_property
    def key(self) -> str:
        """The text, followed by a digest of the soft vectors if there are any."""
        parts = [
            f"{word}/{name}={digest(self.soft[word][name])}"
            for word in sorted(self.soft)
            for name in sorted(self.soft[word])
        ]
        return "\0".join([self.text, *parts])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prompt) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @staticmethod
    def of(prompts: str | Prompt | Sequence[str | Prompt]) -> tuple[Prompt, ...]:
        """One prompt or many, texts or prompts, as a tuple of prompts."""
        many = [prompts] if isinstance(prompts, str | Prompt) else prompts
        return tuple(p if isinstance(p, Prompt) else Prompt(p) for p in many)


@dataclass(frozen=True, eq=False)
class Concept:
    """What is to go.

    name: the word or phrase that prompts use for it.
    kind: object, style, or implicit (nothing in a prompt need name it: a watermark).
    synonyms: further words for it.
    held_back: words for it that no eraser may read; evaluations use them as the unnamed word.
    templates: prompts around it; ``{}`` stands for a name, ``{a}`` for a name with its article.
        Left out, they are those of the kind.
    neighbours: what lies near and must stay.
    anchor: what may be drawn in its place; None leaves that to the method.
    pictures: (n, 3, h, w) in [0, 1] that show it; None lets the model draw them.
    unsafe: not for everybody's eyes: a report then hides the prompts that brought it back until
        they are asked for.
    """

    name: str
    kind: Kind = field(default="object", kw_only=True)
    synonyms: tuple[str, ...] = field(default=(), kw_only=True)
    held_back: tuple[str, ...] = field(default=(), kw_only=True)
    templates: tuple[str, ...] = field(default=(), kw_only=True)
    neighbours: tuple[str, ...] = field(default=(), kw_only=True)
    anchor: str | None = field(default=None, kw_only=True)
    pictures: Tensor | None = field(default=None, kw_only=True)
    unsafe: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise BadConcept("expected a concept's name, got an empty one")
        if self.kind not in get_args(Kind):
            raise BadConcept(f"expected a kind among {get_args(Kind)}, got {self.kind!r}")
        for name in ("synonyms", "held_back", "templates", "neighbours"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise BadConcept(f"expected {name} as a tuple of texts, got {value!r}")
            if not all(isinstance(text, str) and text.strip() for text in value):
                raise BadConcept(f"expected {name} that are not empty texts, got {tuple(value)!r}")
            object.__setattr__(self, name, tuple(value))
        if not self.templates:
            object.__setattr__(self, "templates", TEMPLATES[self.kind])
        for template in self.templates:
            if "{}" not in template and "{a}" not in template and self.kind != "implicit":
                raise BadConcept(f"expected {{}} or {{a}} in the template {template!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then the synonyms."""
        return (self.name, *self.synonyms)

    def prompts(
        self, names: Sequence[str] | None = None, templates: Sequence[str] | None = None
    ) -> tuple[Prompt, ...]:
        """Every template with every name (its own by default), names varying fastest."""
        return tuple(
            Prompt(fill(template, name))
            for template in (self.templates if templates is None else templates)
            for name in (self.names if names is None else names)
        )

    def to_json(self) -> dict[str, Any]:
        """The concept as JSON values; pictures as their digest."""
        return {
            "name": self.name,
            "kind": self.kind,
            "synonyms": list(self.synonyms),
            "held_back": list(self.held_back),
            "templates": list(self.templates),
            "neighbours": list(self.neighbours),
            "anchor": self.anchor,
            "pictures": None if self.pictures is None else digest(self.pictures),
            # Only where it is set, so that what older versions wrote keeps its hash.
            **({"unsafe": True} if self.unsafe else {}),
        }


def fill(template: str, name: str) -> str:
    """A template with a name in it: ``{}`` becomes "cat", ``{a}`` becomes "a cat"."""
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return template.replace("{a}", f"{article} {name}").replace("{}", name)


@dataclass(frozen=True, eq=False, kw_only=True)
class Score:
    """A judge's answer, one number a picture.

    values: float32 (n,), larger where the concept is more visible; probabilities in [0, 1] where
        the judge gives them.
    threshold: a picture shows the concept where its value reaches this, fixed beforehand.
    """

    concept: str
    judge: str
    values: Tensor
    threshold: float

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shown(self) -> Tensor:
        """Bool (n,): does the picture show the concept?"""
        return self.values >= self.threshold

    @property
    def rate(self) -> float:
        """Share of the pictures that show it, in [0, 1]; not a number for no pictures."""
        return float(self.shown.float().mean())


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What was spent: subtract two readings of a model's counter to price the work between them.

    evaluations: rows that went through the denoising network (a guided step counts two).
    gradients: those of them whose prediction carried a gradient.
    pictures: pictures decoded at the end of a generation.
    seconds: wall-clock time. peak_bytes: the largest memory seen, which does not subtract.
    """

    evaluations: int = 0
    gradients: int = 0
    pictures: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0

    def __sub__(self, earlier: Costs) -> Costs:
        return self._with(earlier, -1)

    def __add__(self, other: Costs) -> Costs:
        return self._with(other, 1)

    def _with(self, other: Costs, sign: int) -> Costs:
        return Costs(
            evaluations=self.evaluations + sign * other.evaluations,
            gradients=self.gradients + sign * other.gradients,
            pictures=self.pictures + sign * other.pictures,
            seconds=self.seconds + sign * other.seconds,
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
        )

    def to_json(self) -> dict[str, int | float]:
        """The fields as numbers."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


__all__ = ["TEMPLATES", "Concept", "Costs", "Kind", "Prompt", "Score", "digest", "fill"]
