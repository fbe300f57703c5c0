"""How long closed forms take on Stable Diffusion 1.x: ``python benchmarks/closed_form.py``.

Random weights in the shapes of its 32 keys and values, random states in the place of prompts, made
before a clock runs; from these states to the deltas, and to the edit as a value, hashes of the base
included. Beside each time stands the least that this machine would need for the arithmetic and the
traffic, at the rates of its own matrix products and copies, which are measured in the same process.
Writes its part of ``docs/speed.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from timings import EVEN, SPEED, closed_forms, put
from torch import Tensor, nn

from excise.edit import Edit, Encoded, Recipe
from excise.erasers.speed import MANY, Prior
from excise.primitives.closed_form import constrained, remap
from excise.primitives.moments import gathered
from excise.rng import generator

WIDTH = 768
OUTER = {320: 5, 640: 5, 1280: 6}
"""Layers by output width; each has a key and a value."""
KEPT, INVARIANTS = 200, 4
CONCEPTS = (1, 10, 100)
LENGTH, SPREAD = 28.0, 0.4
"""Of CLIP's states: their norm, and how much of it is their own."""

Deltas = dict[str, Encoded]


class Shapes:
    """What an edit needs of a model: named weights."""

    name = family = "random"

    def __init__(self) -> None:
        self.weights = {
            f"unet.{outer}.{i}.attn2.to_{kind}.weight": nn.Parameter(
                rows(outer, f"{kind} {outer} {i}") / WIDTH**0.5
            )
            for outer, count in OUTER.items()
            for i in range(count)
            for kind in "kv"
        }

    def parameters(self, selector: str = "*") -> dict[str, nn.Parameter]:
        """All of them."""
        return self.weights


@dataclass(frozen=True, kw_only=True)
class Least:
    """What a method cannot do without.

    single, double: operations of matrix products and factorisations, by precision. moved: bytes of
    the weights read and of the factors written.
    """

    single: float = 0.0
    double: float = 0.0
    moved: float = 0.0

    def seconds(self, rates: Mapping[str, float]) -> float:
        """At this machine's rates, one after the other."""
        return (
            self.single / rates["float32"]
            + self.double / rates["float64"]
            + self.moved / rates["copy"]
        )


def rows(n: int, of: str) -> Tensor:
    """Standard normal rows (n, 768)."""
    return torch.randn(n, WIDTH, generator=generator("closed form", of))


def states(n: int, of: str) -> Tensor:
    """Rows as long as CLIP's states, and as near to each other."""
    found = rows(1, "mean") + SPREAD * rows(n, of)
    return torch.nn.functional.normalize(found) * LENGTH


@dataclass(frozen=True, eq=False, kw_only=True)
class Given:
    """What a solve begins with, in float64 as a model's states are read.

    sources, targets: (n, 768). kept: (200, 768). fixed: (4, 768), those of the empty prompt.
    """

    sources: Tensor
    targets: Tensor
    kept: Tensor
    fixed: Tensor

    @staticmethod
    def of(n: int) -> Given:
        """Of n concepts."""
        return Given(
            sources=states(n, "source").double(),
            targets=states(n, "target").double(),
            kept=states(KEPT, "kept").double(),
            fixed=states(INVARIANTS, "empty").double(),
        )


def uce(model: Shapes, given: Given) -> Deltas:
    """UCE's solve, and its factors."""
    update = remap(given.sources, given.targets, gathered([given.kept]), ridge=0.5)
    return update.on(model.weights)


def uce_least(n: int) -> Least:
    """A Gram matrix of all states, its factorisation and a solve; a product a weight."""
    outer = 2 * sum(o * count for o, count in OUTER.items())
    layers, rows = 2 * sum(OUTER.values()), KEPT + n
    return Least(
        single=2.0 * outer * WIDTH * n,
        double=rows**2 * WIDTH + rows**3 / 3 + 2.0 * rows**2 * n + 2.0 * rows * n * WIDTH,
        moved=4.0 * (outer * WIDTH + n * (outer + layers * WIDTH)),
    )


def filters(n: int) -> bool:
    """Does SPEED thin out what is kept, of so many concepts? As `SPEED.change` does."""
    return n < MANY


def speed(model: Shapes, given: Given, *, filtered: bool | None = None) -> Deltas:
    """SPEED's refinements and its solve, for each value. filtered: None is the method's own."""
    prior = Prior(
        sources=given.sources,
        targets=given.targets,
        rows=given.kept,
        filtered=filters(len(given.sources)) if filtered is None else filtered,
    )
    found: Deltas = {}
    for name, weight in model.weights.items():
        if ".to_v." in name:
            basis = prior.basis(weight, generator("speed", name))
            update = constrained(given.sources, given.targets, basis, given.fixed)
            found |= update.on({name: weight})
    return found


def speed_least(n: int, *, filtered: bool | None = None) -> Least:
    """For each value: its weakest direction, the moment of what is kept, and the solve.

    Of what is kept about half stays where it is filtered. An eigenvector of a symmetric k x k
    matrix takes 4/3 k^3 operations for the tridiagonal form.
    """
    double = 0.0
    stay = KEPT // 2 if (filters(n) if filtered is None else filtered) else KEPT
    for outer, count in OUTER.items():
        small = min(outer, WIDTH)
        weakest = outer * WIDTH * small + 4 / 3 * small**3
        moment = stay**2 * WIDTH + 4 / 3 * stay**3 + 2.0 * WIDTH * stay**2
        solve = n**2 * WIDTH + n**3 / 3 + 4.0 * WIDTH * stay * n + 2.0 * WIDTH * n**2
        double += count * (weakest + moment + solve)
    outer = sum(o * count for o, count in OUTER.items())
    layers = sum(OUTER.values())
    return Least(
        single=2.0 * outer * WIDTH * n,
        double=double,
        moved=4.0 * (outer * WIDTH + n * (outer + layers * WIDTH)),
    )


METHODS: Mapping[str, tuple[Callable[[Shapes, Given], Deltas], Callable[[int], Least]]] = {
    "UCE": (uce, uce_least),
    SPEED: (speed, speed_least),
    EVEN: (partial(speed, filtered=False), partial(speed_least, filtered=False)),
}


def fastest(work: Callable[[], Any], repeats: int) -> float:
    """Seconds of the best of some runs after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def rates(repeats: int) -> dict[str, float]:
    """Operations a second of matrix products by precision, and bytes a second of a copy."""
    found = {}
    for kind in (torch.float32, torch.float64):
        a = torch.randn(1280, WIDTH, generator=generator("rate")).to(kind)
        b = torch.randn(WIDTH, WIDTH, generator=generator("rate")).to(kind)
        seconds = fastest(lambda a=a, b=b: a @ b, repeats)  # type: ignore[misc]
        found[str(kind).removeprefix("torch.")] = 2.0 * a.numel() * WIDTH / seconds
    big = torch.zeros(2**24)
    target = torch.empty_like(big)
    found["copy"] = 2.0 * big.nbytes / fastest(lambda: target.copy_(big), repeats)
    return found


@torch.no_grad()
def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model: Any = Shapes()
    machine, found = rates(10 * options.repeats), []
    for name, (method, least) in METHODS.items():
        for n in CONCEPTS:
            given = Given.of(n)
            solve = fastest(partial(method, model, given), options.repeats)
            make = partial(Edit.of, model, method(model, given), recipe=Recipe(method=name))
            row = {"method": name, "concepts": n, "solve": solve}
            row["edit"] = solve + fastest(make, options.repeats)
            found.append({**row, "least": least(n).seconds(machine)})
    part = {"rates": machine, "rows": found}
    put("closed_form", part)
    sys.stdout.write(closed_forms(part))


if __name__ == "__main__":
    main()
