"""How long closed forms take on Stable Diffusion 1.x: ``python benchmarks/closed_form.py``.

Random weights in the shapes of its 32 keys and values, random states in the place of prompts; from
these states to the edit as a value, hashes of the base included. Beside each time stands the least
that this machine would need for the arithmetic and the traffic, at the rates of its own matrix
products and copies, which are measured in the same process. Writes its part of ``docs/speed.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from timings import closed_forms, put
from torch import Tensor, nn

from excise.edit import Edit, Encoded, Recipe
from excise.erasers.speed import Prior
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


def uce(model: Shapes, n: int) -> Deltas:
    """UCE's solve, and its factors."""
    kept = gathered([states(KEPT, "kept")])
    update = remap(states(n, "source"), states(n, "target"), kept, ridge=0.5)
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


def speed(model: Shapes, n: int) -> Deltas:
    """SPEED's three refinements and its solve, for each value."""
    sources, targets = states(n, "source").double(), states(n, "target").double()
    prior = Prior(sources=sources, targets=targets, rows=states(KEPT, "kept").double())
    fixed = states(INVARIANTS, "empty").double()
    found: Deltas = {}
    for name, weight in model.weights.items():
        if ".to_v." in name:
            basis = prior.basis(weight, generator("speed", name))
            found |= constrained(sources, targets, basis, fixed).on({name: weight})
    return found


def speed_least(n: int) -> Least:
    """For each value: its weakest direction, the moment of half of what is kept, and the solve.

    An eigenvector of a symmetric k x k matrix takes 4/3 k^3 operations for the tridiagonal form.
    """
    double, stay = 0.0, KEPT // 2
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


METHODS: Mapping[str, tuple[Callable[[Shapes, int], Deltas], Callable[[int], Least]]] = {
    "uce": (uce, uce_least),
    "speed": (speed, speed_least),
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
            solve = fastest(lambda n=n, method=method: method(model, n), options.repeats)  # type: ignore[misc]
            deltas, made = method(model, n), Recipe(method=name)
            value = fastest(
                lambda deltas=deltas, made=made: Edit.of(model, deltas, recipe=made),  # type: ignore[misc]
                options.repeats,
            )
            row = {"method": name, "concepts": n, "solve": solve, "edit": solve + value}
            found.append({**row, "least": least(n).seconds(machine)})
    part = {"rates": machine, "rows": found}
    put("closed_form", part)
    sys.stdout.write(closed_forms(part))


if __name__ == "__main__":
    main()
