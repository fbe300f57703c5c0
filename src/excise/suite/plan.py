"""What an evaluation will cost, before it is begun."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from excise.attacks.changing import ChangingAttack
from excise.method import Budget
from excise.primitives.denoising import Bank, concept_loss
from excise.suite.arms import SHARED, Arm
from excise.suite.asked import Asked, asked
from excise.suite.battery import Field, by_name
from excise.suite.bench import Bench
from excise.suite.decoys import ROLES, decoys_of
from excise.suite.held_out import CAPTIONS
from excise.suite.measured import pictures_of
from excise.suite.plain import everything_else, pair_probes, use_probe
from excise.suite.renders import drawn_by_base
from excise.suite.sizes import FIRST, Sizes, sizes_of
from excise.suite.slider import FACTORS as STRENGTHS
from excise.suite.slider import prompts_of as slider_prompts
from excise.types import Concept, Judge, Prompt, Request, TextToImage


@dataclass(frozen=True, kw_only=True)
class Line:
    """One stage of one model: pictures drawn, rows through the network that carry a gradient.

    seconds: None until it was measured. kept: it may be found where earlier runs kept it.
    """

    stage: str
    arm: str
    pictures: int = 0
    gradients: int = 0
    evaluations: int = 0
    kept: bool = False
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stages in order."""

    lines: tuple[Line, ...]

    @property
    def pictures(self) -> int:
        """Of all stages."""
        return sum(line.pictures for line in self.lines)

    @property
    def gradients(self) -> int:
        """Of all stages."""
        return sum(line.gradients for line in self.lines)

    @property
    def seconds(self) -> float | None:
        """Of all stages; None if nothing was measured."""
        known = [line.seconds for line in self.lines if line.seconds is not None]
        return sum(known) if known else None

    def timed(self, speed: Speed) -> Plan:
        """With seconds."""
        return Plan(
            lines=tuple(
                replace(
                    line,
                    seconds=line.pictures * speed.picture
                    + line.gradients * speed.gradient
                    + line.evaluations * speed.evaluation,
                )
                for line in self.lines
            )
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "stages": [dict(vars(line)) for line in self.lines],
            "pictures": self.pictures,
            "gradients": self.gradients,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds for one picture, one row with a gradient, and one row without."""

    picture: float
    gradient: float
    evaluation: float


def plan(
    arms: Sequence[Arm],
    concept: Concept,
    judge: Judge,
    *,
    budget: Budget | Sizes = "standard",
    seed: int = 0,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    whole: bool = True,
) -> Plan:
    """What `evaluate` will do with the same arguments; nothing is drawn."""
    sizes = sizes_of(budget)
    bench = Bench(arms={arm.key: arm for arm in arms}, concept=concept, judge=judge, sizes=sizes,
                  seed=seed)  # fmt: skip
    plain = [("plain use", len(use_probe(bench)))]
    if whole:
        rest = everything_else(bench)
        plain += [
            ("two objects", len(pair_probes(bench)[0])),
            ("kept", len(rest) if rest is not None else 0),
        ]
    looks = sizes.restarts * sizes.prompts * (sizes.select + sizes.score)
    rows = sizes.restarts * sizes.steps * 4  # pictures, noises and levels a restart and step
    decoys = len(decoys_of(bench))
    ground = Field(bench=bench, rung=FIRST, settings=settings or {})
    texts = asked(bench)
    lines: list[Line] = []
    own = drawn_by_base(bench)
    for arm in arms:
        shared = arm.role in SHARED
        lines += [Line(stage=name, arm=arm.key, pictures=n, kept=shared) for name, n in plain if n]
        climbed = len(sizes.rungs)
        extra = sizes.attacker if arm.role == "base" and own else 0
        lines.append(
            Line(
                stage="token ladder",
                arm=arm.key,
                pictures=climbed * looks + extra,
                gradients=climbed * rows,
                evaluations=climbed * sizes.restarts * 64,
                kept=shared,
            )
        )
        lines += [
            battle
            for name in ground.names
            if (battle := _battle(ground, name, arm, texts, shared)) is not None
        ]
        judged = any(other.role == "oracle" for other in arms)
        if decoys and arm.role in ROLES:
            # Without an oracle they decide which rung counts, at worst at the last one tried.
            tries = decoys * (1 if judged or arm.role != "base" else climbed)
            lines.append(
                Line(
                    stage="decoys",
                    arm=arm.key,
                    pictures=tries * looks,
                    gradients=tries * rows,
                    evaluations=tries * sizes.restarts * 64,
                    kept=shared,
                )
            )
        if whole and arm.role == "edit" and arm.edit is not None:
            drawn = len(STRENGTHS) * len(slider_prompts(bench))
            lines.append(Line(stage="strengths", arm=arm.key, pictures=drawn))
        if whole and arm.edit is not None and rest is not None and (more := pictures_of(bench)):
            lines.append(Line(stage="metrics", arm=arm.key, pictures=more))
        captions = CAPTIONS + 1
        drawn = sizes.held_out if arm.role == "base" and own else 0
        entries = captions * sizes.held_out * sizes.entries
        lines.append(
            Line(stage="loss", arm=arm.key, pictures=drawn, evaluations=entries, kept=shared)
        )
    return Plan(lines=tuple(lines))


def _battle(ground: Field, name: str, arm: Arm, asked: Sequence[Asked], kept: bool) -> Line | None:
    """One attack of the battery, at most; what learns may stop before."""
    attack, sizes, texts = ground.attack(name), ground.bench.sizes, len(asked)
    if ground.missing(attack) is not None:
        return None
    if isinstance(attack, ChangingAttack):
        pictures = attack.candidates * len(by_name(asked)) * sizes.score
    elif attack.chooses == "restart" and attack.independent:
        pictures = attack.candidates * texts * (sizes.select + sizes.score)
    else:
        pictures = texts * (attack.candidates * sizes.select + sizes.score)
    each = 1 if attack.chooses == "restart" or attack.kind == "changing" else texts
    shown = 0 if attack.kind == "changing" else texts
    if attack.kind == "confirming" and arm.role == "edit":
        shown += sizes.decide
    return Line(
        stage=f"attack {name}",
        arm=arm.key,
        pictures=pictures + shown,
        gradients=attack.gradients * each,
        kept=kept,
    )


def measure(model: TextToImage, pictures: int = 8, rows: int = 16) -> Speed:
    """Seconds a picture and a row on this machine, from a few of each."""
    request = Request(prompts=(Prompt("a picture"),), seeds=tuple(range(pictures)))
    model.generate(request.on(0))  # what is slow the first time only
    begun = time.perf_counter()
    latents = model.generate(request).latents
    picture = (time.perf_counter() - begun) / pictures
    x = torch.zeros(1, *model.latent_shape) if latents is None else latents.float()
    cond = model.encode("a picture")
    begun = time.perf_counter()
    concept_loss(model, x, cond, Bank.of(x, rows))
    evaluation = (time.perf_counter() - begun) / rows
    begun = time.perf_counter()
    noisy = x[:1].expand(rows, -1, -1, -1).to(model.device)
    levels = torch.linspace(0.1, 0.9, rows, device=model.device)
    with model.trainable(()), torch.enable_grad():
        free = cond.map(
            lambda value: value.detach().clone().requires_grad_(value.is_floating_point())
        )
        out = model.predict(noisy, levels, free.expand(rows))
        out.square().mean().backward()  # type: ignore[no-untyped-call]
    gradient = (time.perf_counter() - begun) / rows
    return Speed(picture=picture, gradient=gradient, evaluation=evaluation)
