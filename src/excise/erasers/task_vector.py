"""Task vector and Diverse Inversion.

Fine-tune on the concept without any prompt, subtract the difference, and let inputs that bring the
concept back say how strongly.

Pham, Marshall, Hegde and Cohen 2024, "Robust Concept Erasure Using Task Vectors"
(arXiv:2404.03631).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from excise.erasers import blocks
from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Given
from excise.erasers.mending import Target, mended
from excise.erasers.settling import settled
from excise.errors import BadSetting, MissingJudge
from excise.method import Budget
from excise.primitives import arithmetic
from excise.primitives.data import empty
from excise.primitives.denoising import Bank, Weighting
from excise.primitives.finetune import Optimiser, Term, finetune
from excise.primitives.losses import mean, one_caption, picture_errors
from excise.primitives.strength import Floors
from excise.types import Concept

Variant = Literal["healed", "paper"]
Name = Literal["token", "condition"]
SPACES: tuple[Name, ...] = get_args(Name)
OWN: Mapping[Variant, Mapping[str, Any]] = {
    "healed": {
        "grid": (0.9, 1.0, 1.1),  # 1 is the edit as it was healed
        "refine": 0,
        "spaces": SPACES,
        "tokens": 4,
        "spread": True,
        "gain": 1.0,
    },
    "paper": {
        "grid": (0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
        "refine": 1,
        "spaces": ("token",),
        "tokens": 1,
        "spread": False,
        "gain": 0.5,
    },
}
"""Settings that each variant has of its own, where they are left out."""


@dataclass(frozen=True, kw_only=True)
class TaskVector(Eraser):
    """A negated task vector, its strength found with Diverse Inversion.

    variant: ``paper`` is the vector alone, in part of the blocks, at the strength that single word
        embeddings ask for; ``healed``, which is this project's and goes beyond the paper, takes the
        concept out harder than that allows, and then trains back what had to stay.
    pictures: of each concept, drawn by the model unless the concept brings its own. contexts:
        sentences around the prompts they are drawn from.
    selector, steps, batch, lr, weighting: of the fine-tune on the empty caption.
    strength: alpha.
    embeddings: inputs that a search finds, for the choose-set, to be pinned, and on an edit that
        was chosen; an equal share in each of the ``spaces``: soft tokens (``token``), and whole
        conditionings (``condition``). judged: spaces whose inputs have a say in the strength; of a
        style a conditioning says nothing, as it brings out styles that were never shown. tokens:
        soft tokens of those in the token space. spread: these are searched for, and held down, in
        the concept's sentences in turn; without it in the first alone. inversion_steps, samples: of
        each search. carried: further gradient steps that each input gets on every edited model that
        is tried.
    looks: pictures of each input and strength. kept: pictures of each class that has to stay.
    plain: seeds of each prompt that names the concept.
    grid, refine: strengths that are tried, and bisections of either end.
    rounds: attacks on the chosen edit, at most; what survives joins the choose-set and another is
        chosen. An edit that withstands one is verified.
    natural, injected, keep: what counts as gone and as kept, as stated and not measured: the rate
        for plain words, which is raised to the judge's false alarms on pictures of everything else,
        that for inputs which were searched, and the share of what the model drew before.
    subset: blocks that the vector is confined to; empty means those of most gain over cost that
        together hold ``gain`` of the whole gain, at 1 all of them.
    hard: the strength that is healed; left out, the smallest at which neither words nor inputs that
        are carried along bring the concept out. heal, heal_batch, heal_lr: of the training that
        heals, with half as many points where the concept is held down as elsewhere. walks: pictures
        of everything else on whose way the unedited model's predictions are held; of the nearest
        neighbours ``near`` times as many as of others. stand_in: some of these are asked for by the
        concept's names, so that other things are drawn in its place.
    pin: weight of holding the concept down at inputs that bring it out. pin_to: to what the
        ``hard`` edit says there, or ``away`` from what the unedited model says there, as far beyond
        what it says without a prompt as ``away`` times what lies between the two. pinned: points.
        anywhere: to these inputs come as many prompts of other things; none for an object, whose
        pictures are at odds with what such a prompt asks for.
    adversaries: inputs that follow the edit as it heals, each for ``lasting`` steps, in the widest
        of the spaces that have a say in the strength; 0 for none. With the weight ``against`` the
        edit is to draw other things under them, and as far again from the concept as ``beyond``
        says: p(other) + beyond [p(other) - p(concept)]; under noise below the level ``details``,
        where the picture itself can be seen, what the ``hard`` edit says.
    """

    name: ClassVar[str] = "task_vector"
    paper: ClassVar[str] = "arXiv:2404.03631"
    given: ClassVar[frozenset[Given]] = frozenset({"words", "pictures"})
    scaled: ClassVar[tuple[str, ...]] = ("inversion_steps", "embeddings", "kept", "looks")
    # With few pictures no lower bound reaches what the other budgets ask for. Soft tokens of a
    # short search bring other things out too, which suffer where they are held down everywhere. In
    # so short a healing inputs that follow the edit cost more of the rest than a quick attack sees.
    budgeted: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {
            "keep": 0.90,
            "heal": 200,
            "heal_batch": 40,
            "adversaries": 0,
            "walks": 384,
            "kept": 3,
            "spread": False,
            "rounds": 2,
        },
    }
    measured: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "emoji": {
            "lr": 1e-4,
            "batch": 32,
            "weighting": "min_snr",
            "pictures": 192,
            "heal": 800,
            "heal_lr": 1e-3,
            "heal_batch": 48,
            "walks": 1536,
        },
        # Soft tokens are held down at less cost. What a hard edit says of the details of a style,
        # which lies over all that is drawn, costs the rest.
        "emoji/style": {"against": 0.5, "details": 0.0},
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "strength": 1.0,
        "steps": 2,
        "pictures": 4,
        "batch": 2,
        "heal": 2,
        "heal_batch": 2,
        "walks": 2,
        "anywhere": 2,
        "pinned": 2,
        "embeddings": 2,
        "inversion_steps": 2,
        "adversaries": 2,
    }

    pictures: int = 200
    contexts: tuple[str, ...] = ("{}",)
    selector: tuple[str, ...] = ("denoiser",)
    steps: int = 200
    batch: int = 16
    lr: float = 1e-5
    weighting: Weighting = "uniform"
    strength: float | None = None
    embeddings: int = 16
    spaces: tuple[Name, ...] | None = None
    judged: tuple[Name, ...] | None = None
    tokens: int | None = None
    spread: bool | None = None
    inversion_steps: int = 300
    samples: int = 4
    carried: int = 20
    looks: int = 8
    kept: int = 40
    plain: int = 1
    grid: tuple[float, ...] | None = None
    refine: int | None = None
    rounds: int = 3
    natural: float = 0.01
    injected: float = 0.10
    keep: float = 0.97
    subset: tuple[str, ...] = ()
    gain: float | None = None
    variant: Variant = "healed"
    hard: float | None = None
    heal: int = 200
    heal_batch: int = 64
    heal_lr: float = 1e-5
    walks: int = 768
    near: int = 2
    stand_in: bool = False
    pin: float = 1.0
    pin_to: Target | None = None
    away: float = 1.0
    anywhere: int | None = None
    pinned: int = 1024
    adversaries: int = 16
    against: float = 1.0
    lasting: int = 100
    beyond: float = 0.2
    details: float = 0.5

    def __post_init__(self) -> None:
        self._positive("pictures", "steps", "batch", "lr", "embeddings", "inversion_steps", "looks")
        self._positive("heal", "heal_batch", "heal_lr", "walks", "pinned", "tokens")
        self._positive("rounds", "hard", "near")
        self._among("variant", get_args(Variant))
        self._among("pin_to", get_args(Target))
        self._among("spaces", SPACES)
        self._among("judged", SPACES)
        if not 0 < self.share <= 1:
            raise BadSetting(f"{self.name}: expected gain in (0, 1], got {self.gain}")
        self._at_least(0, "pin", "anywhere", "away", "adversaries", "against", "beyond", "details")
        self._positive("lasting")

    def change(self, work: Work) -> Change:
        """Fine-tune, negate, and find the strength."""
        judge = work.judge
        if self.strength is None and judge is None:  # said before an hour was spent
            raise MissingJudge(
                "expected a judge to find the strength with, got none; give one, or set a strength "
                "(--strength 1 --no-search), which the report then calls not verified"
            )
        tau, record = self.vector(work)
        direction, facts = arithmetic.negated(tau), record["tau"]
        if self.variant == "healed":
            found = mended(self, work, tau)
            direction, record = found.deltas, {**record, "healing": found.record}
            facts = self._direction_record(work, direction)
        record |= facts
        if self.strength is not None or judge is None:
            edit = arithmetic.scaled(direction, self.strength or 0.0)
            return Change(deltas=edit, record={**record, "strength": self.strength})
        return settled(self, work, judge, direction, record)

    @property
    def confined(self) -> bool:
        """Is the vector kept to some of the blocks?"""
        return bool(self.subset) or self.share < 1

    @property
    def share(self) -> float:
        """Of the whole gain, that the blocks hold which the vector is confined to."""
        return float(self._own("gain"))

    @property
    def strengths(self) -> tuple[tuple[float, ...], int]:
        """The strengths that are tried, and bisections of either end."""
        return self._own("grid"), self._own("refine")

    @property
    def searched(self) -> tuple[tuple[Name, ...], int, bool]:
        """What is searched for: spaces, soft tokens, and whether in all of the sentences."""
        return self._own("spaces"), self._own("tokens"), self._own("spread")

    def judged_in(self, concept: Concept) -> tuple[Name, ...]:
        """The spaces whose inputs say whether a concept is gone.

        A conditioning of its own leads a model to a style that it was never shown, so that what one
        finds says nothing of what an edit has left.
        """
        spaces = self.searched[0]
        if self.judged is not None:
            return self.judged
        return ("token",) if concept.kind == "style" and "token" in spaces else spaces

    def _own(self, name: str) -> Any:
        given = getattr(self, name)
        return OWN[self.variant][name] if given is None else given

    @property
    def floors(self) -> Floors:
        """What counts as gone and as kept."""
        return Floors(natural=self.natural, injected=self.injected, kept=self.keep)

    def vector(self, work: Work) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """tau, confined to the subset, and how it came to be."""
        sets = work.pictures(self.pictures, "tau", self.contexts)
        latents = torch.cat([s.latents for s in sets])
        errors = picture_errors(
            work.model,
            latents,
            one_caption(empty(work.model)),
            batch=self.batch,
            weighting=self.weighting,
        )
        tuned = finetune(
            work.model,
            self.selector,
            {"concept": Term(loss=mean(errors))},
            steps=self.steps,
            optimiser=Optimiser(lr=self.lr),
            seed=work.seed,
            progress=work.progress,
            stage=work.stage("finetune"),
        )
        tau = dict(tuned.deltas)
        found = blocks.scores(work, tau, latents)
        names = self.subset or blocks.chosen(found, self.share)
        if self.confined:
            groups = work.model.blocks()
            tau = arithmetic.restricted(tau, [n for b in names for n in groups.get(b, (b,))])
        record = {
            **tuned.record(),
            "tau": self._direction_record(work, arithmetic.negated(tau)),
            "blocks": blocks.record(found, names if self.confined else [s.block for s in found]),
        }
        return tau, record

    def _direction_record(self, work: Work, direction: Mapping[str, Tensor]) -> dict[str, Any]:
        """How far it moves the weights, and the predictions with a caption and without."""
        found: dict[str, Any] = {
            "relative_norm": arithmetic.relative_norm(work.model, direction),
        }
        if all(concept.kind == "implicit" for concept in work.concepts):
            return found  # no caption asks for it
        latents = work.latents(self.pictures, "tau", self.contexts)
        with torch.no_grad():
            ratio = arithmetic.guidance(
                work.model,
                direction,
                latents,
                work.model.encode(work.concepts[0].prompts()[0]),
                empty(work.model),
                Bank.of(latents, 64, seed=work.seed),
            )
        return {**found, "guidance": ratio.to_json()}
