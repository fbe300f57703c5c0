"""What an edit must do to a trained model, measured: the other half of the erasers' contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from torch import Tensor

from excise.edit import Edit
from excise.primitives.prompts import OBJECT_TEMPLATES
from excise.rng import seed_of
from excise.types import Judge, Prompt, Request, TextToImage, fill

PICTURES = 24  # of each thing
SENTENCES = OBJECT_TEMPLATES[:8]
GONE, STAYS, APART = 0.5, 0.8, 0.5
"""Of what the base does: the most that may be left of a concept, the least that must be left of
another thing, and the least by which pictures must differ from one another."""
DRAWN = 0.6  # the least that the base must draw of each, for these shares to mean anything


class Broken(AssertionError):
    """An edit does not do what every eraser promises."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Seen:
    """What a model draws.

    rates: by name, in which share of its pictures the judge sees it. apart: by name, the mean
    distance, in [0, 1], of its pictures from their mean.
    """

    rates: Mapping[str, float]
    apart: Mapping[str, float]

    @staticmethod
    def of(model: TextToImage, judge: Judge, names: Sequence[str]) -> Seen:
        """As the model is now, edits included, on seeds that the names alone decide."""
        rates, apart = {}, {}
        for name in names:
            texts = tuple(fill(SENTENCES[i % len(SENTENCES)], name) for i in range(PICTURES))
            seeds = tuple(seed_of("contract", name, i) for i in range(PICTURES))
            pictures = model.generate(Request(prompts=texts, seeds=seeds)).uint8()
            rates[name] = judge.score(pictures, name).rate
            apart[name] = _apart(pictures)
        return Seen(rates=rates, apart=apart)

    def __str__(self) -> str:
        return ", ".join(f"{name} {rate:.2f}" for name, rate in self.rates.items())


@dataclass(frozen=True, eq=False, kw_only=True)
class Promise:
    """Concepts go and other things stay, compared with the same model without an edit.

    gone, stays: names that the judge knows. base: what the model draws of them without one.
    """

    model: TextToImage
    judge: Judge
    gone: tuple[str, ...]
    stays: tuple[str, ...]
    base: Seen

    def __post_init__(self) -> None:
        if min(self.base.rates[name] for name in (*self.gone, *self.stays)) < DRAWN:
            raise Broken(f"nothing can be said on a model that itself draws {self.base}")

    def seen(self, edit: Edit) -> Seen:
        """What the model draws with an edit."""
        with edit.applied(self.model):
            return Seen.of(self.model, self.judge, (*self.gone, *self.stays))

    def kept(self, edit: Edit) -> Seen:
        """Draw with the edit, and compare.

        Raises:
            Broken: a concept is still drawn, something else is not any more, or all pictures of it
                are alike, as those of one picture for every prompt would be.
        """
        found = self.seen(edit)
        if wrong := self.broken(found):
            raise Broken(f"{'; '.join(wrong)}: {found}; without the edit: {self.base}")
        return found

    def broken(self, found: Seen) -> list[str]:
        """In what, if in anything, what was seen falls short."""
        base = self.base
        there = [n for n in self.gone if found.rates[n] > GONE * base.rates[n]]
        lost = [n for n in self.stays if found.rates[n] < STAYS * base.rates[n]]
        alike = [n for n in self.stays if found.apart[n] < APART * base.apart[n]]
        wrong = [f"{n} is there" for n in there] + [f"{n} is lost" for n in lost]
        return wrong + [f"pictures of {n} are alike" for n in alike]


ASKED = ("a cat", "a photo of a cat", "a dog", "a car")
SAME = 0.01
"""Two edits are one where what they draw lies closer than this, of what either moves at all."""


def drawn(model: TextToImage) -> Tensor:
    """What a model draws as it is now, edits included: latents (4, c, h, w) in float32."""
    asked = Request(prompts=Prompt.of(ASKED), seeds=tuple(range(len(ASKED))), steps=12)
    latents = model.generate(asked).latents
    assert latents is not None
    return latents.float().cpu()


def alike(base: Tensor, effects: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """The pairs of edits that draw the same, whatever they are called and made of.

    base, effects: what `drawn` gives, without an edit and with each. Methods that share nothing
    draw about as far from each other as from the base, however little either does.
    """
    moved = {name: float((effect - base).norm()) for name, effect in effects.items()}
    return [
        (one, other)
        for one, other in combinations(effects, 2)
        if float((effects[one] - effects[other]).norm()) <= SAME * max(moved[one], moved[other])
    ]


def _apart(pictures: Tensor) -> float:
    values = pictures.float() / 255  # (n, 3, h, w)
    return float((values - values.mean(dim=0)).abs().mean())
