"""Denoising losses on pictures of the concept that nobody has seen: they need no judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from excise.attacks.base import companion_loss
from excise.attacks.result import AttackResult
from excise.metrics.base import mean_interval
from excise.metrics.over_erasure import caption_loss
from excise.primitives.data import Split, concept_pictures
from excise.primitives.denoising import Bank
from excise.primitives.prompts import naming
from excise.reporting.figures import Estimate
from excise.reporting.findings import OverErasure
from excise.rng import seed_of
from excise.stats import Interval
from excise.suite.arms import Arm
from excise.suite.bench import Bench, Made
from excise.suite.book import Book
from excise.suite.renders import renders
from excise.types import Prompt, Request

LOSS = "loss"
SPLIT: Split = "test"
LEVEL = 0.95
CAPTIONS = 3  # of the concept's own prompts

Losses = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldOut:
    """Pictures, and the bank of (picture, noise, level) over them.

    latents: (n, c, h, w). hashes: SHA-256 of the pictures.
    """

    latents: Tensor
    hashes: tuple[str, ...]
    bank: Bank

    def difference(self, one: Losses, other: Losses) -> Interval:
        """The mean of one - other, both (B,), paired; the interval is across pictures."""
        return mean_interval(one - other, self.bank.picture.tolist(), LEVEL)

    def mean(self, one: Losses) -> Interval:
        """Of losses (B,), with an interval across pictures."""
        return mean_interval(one, self.bank.picture.tolist(), LEVEL)

    def thinned(self, most: int) -> HeldOut:
        """With at most so many entries of the bank, at evenly spread levels."""
        step = -(-len(self.bank) // most)
        bank = self.bank.take(range(0, len(self.bank), step))
        return HeldOut(latents=self.latents, hashes=self.hashes, bank=bank)


def held_out(bench: Bench) -> HeldOut:
    """The concept's own pictures that neither eraser nor attacker sees.

    Of a concept without any they are renders where its world can be rendered, else the base's.
    """
    source = bench.role("base") or next(iter(bench.arms.values()))
    seed = seed_of("held out", bench.seed)
    own = renders(bench, "held out", bench.sizes.held_out)

    def make() -> Made:
        if own is not None:
            return {"latents": _latents(bench, own.pictures)}, list(own.hashes)
        found = concept_pictures(
            bench.plain,
            bench.full,
            bench.sizes.held_out,
            split=SPLIT,
            seed=seed,
            progress=bench.progress,
        )
        return {"latents": found.latents}, list(found.hashes)

    key = {
        "held out": bench.full.to_json(),
        "pictures": bench.sizes.held_out,
        "split": SPLIT,
        "seed": seed,
        **({} if own is None else {"renders": own.told}),
    }
    kept = bench.kept(LOSS, source, key, make)
    latents = kept.tensors["latents"]
    hashes: Any = kept.record
    bank = Bank.of(latents, bench.sizes.entries * len(latents), seed=bench.seed)
    return HeldOut(latents=latents, hashes=tuple(hashes), bank=bank)


@torch.no_grad()
def _latents(bench: Bench, pictures: Tensor) -> Tensor:
    """Of pictures (n, 3, h, w), float32 (n, c, h / f, w / f) on the CPU, each encoded alone."""
    rows = [bench.plain.encode_pictures(pictures[i : i + 1]) for i in range(len(pictures))]
    return torch.cat(rows).float().cpu()


def found_losses(
    bench: Bench, held: HeldOut, results: Mapping[str, AttackResult]
) -> dict[str, Losses]:
    """Each arm's losses (B,) at what an attack found on it, averaged over its inputs."""
    losses = {}
    for name, one in results.items():
        arm, requests = bench.arms[name], one.chosen_requests

        def measure(arm: Arm = arm, requests: Sequence[Request] = requests) -> Made:
            with arm.live() as model:
                return {"losses": companion_loss(model, requests, held.latents, held.bank)}, None

        asked = [request.to_json({}) for request in requests]
        losses[name] = _kept(bench, arm, held, {"requests": asked}, measure).mean(axis=0)
    return losses


def delta_loss(
    bench: Bench, book: Book, held: HeldOut, results: Mapping[str, AttackResult]
) -> dict[str, Estimate]:
    """Delta = L(oracle) - L(arm), each at what an attack found on it; by arm.

    At most 0 within its interval: the arm explains the concept no better than a model that never
    saw it. Nothing without an oracle.
    """
    reference = bench.role("oracle")
    if reference is None or reference.key not in results:
        return {}
    losses = found_losses(bench, held, results)
    oracle = losses.pop(reference.key)
    gaps = {name: held.difference(oracle, own) for name, own in losses.items()}
    return book.estimates("the loss at what the attack found", gaps)


def over_erasure(bench: Bench, book: Book, held: HeldOut) -> OverErasure:
    """How well each arm explains the concept's pictures, by its name and without a prompt."""
    named = naming(bench.plain, bench.full)[:CAPTIONS]
    losses: dict[str, dict[str, Losses]] = {}
    for kind, texts in (("named", named), ("unnamed", (Prompt(""),))):
        losses[kind] = {}
        for name, arm in bench.arms.items():

            def measure(arm: Arm = arm, texts: tuple[Prompt, ...] = texts) -> Made:
                with arm.live() as model:
                    return {"losses": caption_loss(model, held.latents, texts, held.bank)}, None

            asked = [text.key for text in texts]
            losses[kind][name] = _kept(bench, arm, held, {"captions": asked}, measure)
    oracle = bench.role("oracle")
    gaps = {}
    if oracle is not None:
        of = losses["named"]
        gaps = {n: held.difference(x, of[oracle.key]) for n, x in of.items() if n != oracle.key}
    means = {kind: {n: held.mean(x) for n, x in found.items()} for kind, found in losses.items()}
    return OverErasure(
        pictures=len(held.latents),
        named=book.estimates("the loss by name", means["named"]),
        unnamed=book.estimates("the loss without a prompt", means["unnamed"]),
        gap=book.estimates("the loss by name, over the oracle's", gaps),
    )


def _kept(
    bench: Bench, arm: Arm, held: HeldOut, key: dict[str, Any], make: Callable[[], Made]
) -> Losses:
    whole = {"bank": held.bank.digest, "pictures": list(held.hashes), **key}
    found: Losses = bench.kept(LOSS, arm, whole, make).tensors["losses"].double().numpy()
    return found
