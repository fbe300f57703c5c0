"""Attacks as a report has them: rates at best of R, excess, and the loss that needs no judge."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from excise.attacks import result as found
from excise.attacks.base import companion_loss
from excise.primitives.data import concept_pictures
from excise.primitives.denoising import Bank
from excise.reporting.attacks import AttackResult, BestOf, Excess, Rung
from excise.reporting.figures import Cost, Estimate, Rate
from excise.rng import seed_of
from excise.stats import Observations, clustered_se
from excise.stats.clusters import difference_se
from excise.stats.intervals import score_bounds
from excise.suite.bench import Bench, Made
from excise.suite.book import Book
from excise.suite.ladder import ORACLE_MOST, Ladder
from excise.types import Request, Score

LOSS = "loss"
LEVEL = 0.95
FACTORS = ("prompt", "seed")
DEFINITION = (
    "Soft words, or a whole conditioning, are optimised on the model under attack until it "
    "explains the attacker's pictures of the concept, from many random starts. The best start on "
    "some seeds is scored on others; rates are those of the best of {restarts} starts."
)


def rate_of(result: found.AttackResult, restarts: int) -> Rate:
    """The rate at best of R, its interval over prompts, seeds and the draw of the restarts."""
    hits = result.expected(restarts)  # (P, T)
    data = Observations.crossed(hits, FACTORS)
    p, n = data.mean, float(len(data.values))
    se = sqrt(clustered_se(data) ** 2 + _restarts_se(result, restarts) ** 2)
    single = p * (1 - p) / n
    effective = n / max(se * se / single, 1.0) if single > 0 else n
    quantile = float(stdtrit(data.fewest_levels - 1, 0.5 + LEVEL / 2))
    low, high = score_bounds(p * effective, effective, quantile)
    return Rate(value=p, low=min(low, p), high=max(high, p), n=int(n), level=LEVEL)


def excess_of(
    one: found.AttackResult, oracle: found.AttackResult, restarts: int
) -> tuple[Estimate, float]:
    """Rate less the oracle's, paired by prompt and seed, and its one-sided upper bound.

    The spread over the pools' restarts, which the two do not share, is added to that over prompts
    and seeds.
    """
    gap = one.expected(restarts) - oracle.expected(restarts)  # (P, T)
    data = Observations.crossed(gap, FACTORS)
    parts = (difference_se(data), _restarts_se(one, restarts), _restarts_se(oracle, restarts))
    se = sqrt(sum(part**2 for part in parts))
    freedom = data.fewest_levels - 1
    half = float(stdtrit(freedom, 0.5 + LEVEL / 2)) * se
    upper = min(data.mean + float(stdtrit(freedom, LEVEL)) * se, 1.0)
    estimate = Estimate(
        value=data.mean, low=max(-1.0, data.mean - half), high=min(1.0, data.mean + half)
    )
    return estimate, upper


def _restarts_se(result: found.AttackResult, restarts: int) -> float:
    return result.curve(restarts).se[-1] if restarts < len(result) else 0.0


def concept_attack(bench: Bench, ladder: Ladder, book: Book) -> AttackResult:
    """The ladder as one attack of the report."""
    base = bench.role("base")
    r = ladder.best_of
    for rung in ladder.rungs:
        for arm, result in ladder.results[rung].items():
            _enter(book, f"concept_inversion/{key_of(rung)}", arm, result)
    for arm, result in ladder.null.items():
        _enter(book, "concept_inversion/null", arm, result)
    counted = ladder.counted
    oracle = None if ladder.oracle is None else counted[ladder.oracle]
    first = next(iter(counted.values()))
    return AttackResult(
        name="concept_inversion",
        label="Concept Inversion",
        definition=DEFINITION.format(restarts=r),
        paper="Pham et al. 2023, arXiv:2308.01508",
        confirmatory=ladder.confirmatory(None if base is None else base.key),
        budget={
            "restarts": len(first),
            "best_of": r,
            "steps": bench.sizes.steps,
            "prompts": len(first.prompts),
            "select_seeds": len(first.select_seeds),
            "score_seeds": len(first.score_seeds),
            "pictures": len(ladder.pictures),
        },
        rungs=tuple(
            Rung(
                key=key_of(rung),
                label=label_of(rung),
                rates={arm: rate_of(one, r) for arm, one in ladder.results[rung].items()},
            )
            for rung in ladder.rungs
        ),
        headline=key_of(ladder.headline),
        best_of={arm: _curve(one) for arm, one in counted.items()},
        delta_loss=_delta_loss(bench, ladder),
        excess={}
        if oracle is None
        else {
            arm: excess_of(one, oracle, r)[0]
            for arm, one in counted.items()
            if arm != ladder.oracle
        },
        null={arm: rate_of(one, r) for arm, one in ladder.null.items()},
        costs={arm: Cost.of(one.searched + one.drawn) for arm, one in counted.items()},
        note=_note(ladder),
    )


def largest(bench: Bench, ladder: Ladder) -> Excess | None:
    """E and its bound for the edit; None where nothing can tell recovery from injection."""
    base = bench.role("base")
    edit = bench.role("edit")
    if edit is None or ladder.oracle is None:
        return None
    if not ladder.confirmatory(None if base is None else base.key):
        return None
    estimate, upper = excess_of(
        ladder.counted[edit.key], ladder.counted[ladder.oracle], ladder.best_of
    )
    return Excess(attack="concept_inversion", value=estimate.value, upper=upper, level=LEVEL)


def key_of(rung: object) -> str:
    """A rung's key in the report."""
    return f"t{rung}" if isinstance(rung, int) else str(rung)


def label_of(rung: object) -> str:
    """What a rung is called."""
    if isinstance(rung, int):
        return f"{rung} soft word{'s' if rung > 1 else ''}"
    return {"condition": "the whole conditioning"}.get(str(rung), "a conditioning for each step")


def _note(ladder: Ladder) -> str:
    if ladder.oracle is None:
        return (
            "Without a model that never saw the concept there is nothing to tell recovery from "
            "injection by: with enough freedom any model draws anything."
        )
    if ladder.top is None:
        return (
            f"Even the smallest budget reaches the oracle in more than {ORACLE_MOST:.0%} of "
            "pictures, so none can tell recovery from injection."
        )
    return f"Counted at {label_of(ladder.top)}, the largest budget that hardly reaches the oracle."


def _curve(result: found.AttackResult) -> BestOf:
    curve = result.curve()
    return BestOf(restarts=curve.restarts, rate=curve.rate, se=curve.se, pool=len(result))


def _enter(book: Book, group: str, arm: str, result: found.AttackResult) -> None:
    values = result.chosen_values  # (P, T)
    texts = [text for text in result.prompts for _ in result.score_seeds]
    seeds = [seed for _ in result.prompts for seed in result.score_seeds]
    score = Score(
        concept=result.concept,
        judge=result.judge,
        values=values.reshape(-1),
        threshold=result.threshold,
    )
    book.enter(group, arm, score, prompts=texts, seeds=seeds)


def _delta_loss(bench: Bench, ladder: Ladder) -> dict[str, Estimate]:
    """Delta = L(oracle) - L(arm) at what the attack found on each, paired by picture and noise."""
    if ladder.oracle is None:
        return {}
    source = bench.role("base")
    held = concept_pictures(
        bench.plain if source is None else source.model,
        bench.full,
        bench.sizes.held_out,
        split="attack",
        seed=seed_of("held out", bench.seed),
        progress=bench.progress,
    )
    bank = Bank.of(held.latents, bench.sizes.entries * len(held), seed=bench.seed)
    losses = {
        arm: _losses(bench, arm, one.chosen_requests, held.latents, bank, held.hashes)
        for arm, one in ladder.counted.items()
    }
    pictures = bank.picture.tolist()
    return {
        arm: _paired(losses[ladder.oracle] - own, pictures)
        for arm, own in losses.items()
        if arm != ladder.oracle
    }


def _losses(
    bench: Bench,
    arm: str,
    requests: tuple[Request, ...],
    latents: Tensor,
    bank: Bank,
    hashes: tuple[str, ...],
) -> NDArray[np.float64]:
    """The mean over the attack's inputs of the loss at each entry of the bank, (B,)."""

    def measure() -> Made:
        with bench.arms[arm].live() as model:
            return {"losses": companion_loss(model, requests, latents, bank)}, None

    key = {
        "bank": bank.digest,
        "pictures": list(hashes),
        "requests": [request.to_json({}) for request in requests],
    }
    kept = bench.kept(LOSS, bench.arms[arm], key, measure)
    mean: NDArray[np.float64] = kept.tensors["losses"].double().mean(dim=0).numpy()
    return mean


def _paired(gap: NDArray[np.float64], pictures: list[int]) -> Estimate:
    """A mean difference with Student's interval across pictures."""
    data = Observations.of(gap, {"picture": pictures})
    half = float(stdtrit(data.fewest_levels - 1, 0.5 + LEVEL / 2)) * clustered_se(data)
    return Estimate(value=data.mean, low=data.mean - half, high=data.mean + half)
