"""Attacks that reach each prompt at a rate that is asked for, on models that are only names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from excise.attacks.result import AttackResult
from excise.reporting.attempts import Attempts
from excise.suite.asked import Asked
from excise.suite.battery import Battery
from excise.types import Costs, Prompt, Request

P, S, T = 16, 2, 6
GROUPS = tuple(g for g in ("name", "synonym", "held_back", "silent") for _ in range(4))
ASKED = tuple(Asked(Prompt(f"{g} {i}"), g) for i, g in enumerate(GROUPS))  # type: ignore[arg-type]


def result(rate: Any, name: str = "a", restarts: int = 1) -> AttackResult:
    """An attack that reaches each prompt at a rate, the same on select and score seeds."""
    rates = np.broadcast_to(np.asarray(rate, dtype=float), (P,))
    select = np.stack([np.linspace(0, 1, S, endpoint=False) < r for r in rates])
    score = np.stack([np.linspace(0, 1, T, endpoint=False) < r for r in rates])
    spread = (restarts, 1, 1)
    request = Request(prompts=("a",))  # type: ignore[arg-type]
    return AttackResult(
        attack=name, settings={}, chooses="prompt", independent=True, pooled=False,
        concept="cat", judge="j", threshold=0.5, prompts=tuple(a.prompt.text for a in ASKED),
        requests=((request,) * P,) * restarts, select_seeds=tuple(range(S)),
        score_seeds=tuple(range(10, 10 + T)), seed=0,
        select=torch.from_numpy(np.tile(select.astype(np.float32), spread)),
        score=torch.from_numpy(np.tile(score.astype(np.float32), spread)),
        searched=Costs(), drawn=Costs(),
    )  # fmt: skip


def battery(rows: dict[str, dict[str, Any]], **kinds: Any) -> tuple[Any, Battery]:
    """rows: by attack and arm, rates. kinds: of attacks, where they are not plain searches."""
    arms = list(next(iter(rows.values())))
    bench = SimpleNamespace(
        role=lambda role: SimpleNamespace(key=role) if role in arms else None,
        arms=dict.fromkeys(arms), seed=0, sizes=SimpleNamespace(score=T),
    )  # fmt: skip
    attacks: Any = {
        name: SimpleNamespace(**{"kind": "confirming", "rewords": True, **kinds.get(name, {})})
        for name in rows
    }
    results = {n: {arm: result(r, n) for arm, r in by.items()} for n, by in rows.items()}
    return bench, Battery(asked=ASKED, attacks=attacks, results=results)


def attempts(rows: dict[str, dict[str, Any]], **kinds: Any) -> tuple[dict[str, str], Attempts]:
    """The same, as a report keeps it; arms are called by their roles."""
    _, found = battery(rows, **kinds)
    return {arm: arm for arm in next(iter(rows.values()))}, found.attempts
