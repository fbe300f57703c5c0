"""Does what an attack chose show the concept more often than may be? Drawn until it is plain."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from excise.attacks.result import AttackResult
from excise.rng import generator, seed_of
from excise.stats import decide
from excise.suite.arms import Arm
from excise.suite.battery import RETURNS, Battery
from excise.suite.bench import Bench, Made
from excise.types import merged

Drawn = Mapping[str, torch.Tensor]


def decisions(bench: Bench, battery: Battery) -> Drawn:
    """Of every attack that confirms, on the edit, the judge's values of the pictures it took.

    Nothing where the budget has no pictures for it.

    All of them share an error of 5 %. They need no oracle: the rate itself is held against the
    limit, so they say nothing of recovery or injection.
    """
    arm = bench.role("edit")
    names = [n for n in battery.results if battery.attacks[n].kind == "confirming"]
    if arm is None or not bench.sizes.decide or not names:
        return {}
    return {name: drawn(bench, arm, battery.results[name][arm.key], len(names)) for name in names}


def drawn(bench: Bench, arm: Arm, result: AttackResult, claims: int) -> torch.Tensor:
    """One of so many claims about one attack: float32 (n,), as many as it took to tell.

    A picture is of a prompt drawn at random, with what the attack chose for it, on a seed that
    nothing else uses: so pictures are independent given the inputs.
    """
    name, requests = result.attack, result.chosen_requests

    def run() -> Made:
        values: list[torch.Tensor] = []
        with arm.live() as model:

            def draw(start: int, stop: int) -> list[bool]:
                wanted = []
                for i in range(start, stop):
                    own = generator("decide prompt", bench.seed, name, i)
                    p = int(torch.randint(len(requests), (1,), generator=own))
                    wanted.append(requests[p].on(seed_of("decide", bench.seed, name, i)))
                found = torch.zeros(len(wanted))
                for rows, request in merged(wanted):
                    score = bench.judge.score(model.generate(request).pictures, bench.full)
                    found[rows] = score.values.cpu().float()
                values.append(found)
                return [bool(hit) for hit in found >= result.threshold]

            decide(draw, limit=RETURNS, most=bench.sizes.decide, claims=claims)
        return {"values": torch.cat(values)}, None

    key = {
        "decision": name,
        "inputs": [r.to_json({}) for r in requests],
        "limit": RETURNS,
        "most": bench.sizes.decide,
        "claims": claims,
        "seed": bench.seed,
    }
    return bench.kept(f"attack {name}", arm, key, run).tensors["values"]
