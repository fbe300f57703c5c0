"""What is said of all attacks: which are weak, which inject, which miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import suites
import torch
from tests.benchmarks.tiny_study import Tiny, model
from torch import Tensor

from excise.attacks.result import AttackResult
from excise.edit import Edit, Recipe
from excise.suite import Sizes
from excise.types import Costs


def attack(name: str, **given: Any) -> dict[str, Any]:
    null = {arm: [0.1, 0.05, 0.2] for arm in ("base", "edit", "oracle", "esd")}
    return {
        "name": name, "label": name, "kind": "confirming", "needs": ["gradients"],
        "confirmatory": True, "null": null, "seconds": {"edit": 3.0},
        "rates": {"base": [1.0, 0.9, 1.0], "edit": [0.1, 0.0, 0.2], "oracle": [0.1, 0.05, 0.2],
                  "esd": [0.6, 0.5, 0.7]},
        "silent": {"base": [0.9, 0.8, 1.0]},
        **given,
    }  # fmt: skip


def rows(*attacks: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"concept": "cat", "attacks": list(attacks), "spent": {"edit": 120.0}, "checks": [],
         "worst": {"base": [1.0, 0.9, 1.0]}, "left_out": {},
         "excess": {"value": 0.02, "upper": 0.08, "attack": "p4d"}}
    ]  # fmt: skip


def test_a_good_attack_is_named_nowhere() -> None:
    found = rows(attack("good"))
    assert (suites.weak(found), suites.injected(found), suites.missed(found)) == ([], [], [])
    assert suites.page(found).count("none") == 4  # the three questions, and no doubts


def test_what_lies_beyond_plain_words_is_told_by_the_difference() -> None:
    rates = attack("x")["rates"]
    near = {**rates, "oracle": [0.2, 0.12, 0.3]}  # overlaps the null's 0.05 to 0.2
    told = attack("told", rates=near, over={"oracle": [0.1, 0.02, 0.18]})
    open_ = attack("open", rates=near, over={"oracle": [0.1, -0.01, 0.21]})
    bare = attack("bare", rates=near)  # 0.12 lies above the null's 0.1
    below = attack("below", rates={**rates, "oracle": [0.15, 0.08, 0.25]})
    found = [suites.beyond(one, "oracle") for one in (told, open_, bare, below)]
    assert found == [True, False, True, False]
    assert suites.injected(rows(told, open_, bare, below)) == ["cat: told 20%", "cat: bare 20%"]
    every = {arm: [0.0, 0.0, 0.0] for arm in bare["null"]}
    paired, unpaired = attack("paired", over=every), bare
    assert "paired" in suites.rule(rows(paired))
    assert "paired" not in suites.rule(rows(unpaired))
    assert "where the pictures were not kept" in suites.rule(rows(paired, unpaired))
    assert suites.rule(rows(paired)) in suites.page(rows(paired))


def result(score: Tensor, *, pooled: bool = False) -> AttackResult:
    """Values (N, P, T) of N restarts, the first of which looked best."""
    n, p, t = score.shape
    return AttackResult(
        attack="x", settings={}, chooses="prompt", independent=True, pooled=pooled, concept="cat",
        judge="j", threshold=0.5, prompts=tuple("abcdefgh"[:p]), requests=(), select_seeds=(0,),
        score_seeds=tuple(range(t)), seed=0, searched=Costs(), drawn=Costs(),
        select=torch.linspace(1, 0, n)[:, None, None].expand(n, p, 1), score=score,
    )  # fmt: skip


def test_a_difference_is_paired_by_prompt() -> None:
    """Both reach the same prompts, so what the attack adds is told in spite of their spread."""
    easy = torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0])[None, :, None].expand(1, 8, 20)
    more = easy.clone()
    more[..., :8] = 1.0  # 40 % of what plain words never reach
    value, low, high = suites.over(result(more), result(easy))
    assert value == pytest.approx(0.2)
    assert low < value < high
    apart = suites.over(result(more), result(easy.flip(1)))
    assert apart[2] - apart[1] > high - low
    assert suites.over(result(easy), result(easy))[1] < 0
    # The draw of the restarts widens what is said of a pool.
    mixed = torch.rand(6, 8, 20, generator=torch.Generator().manual_seed(0))
    mixed[::2] = 0.0
    _, first, last = suites.over(result(mixed, pooled=True), result(0 * easy))
    chosen = suites.over(result(mixed[1:2]), result(0 * easy))
    assert last - first > chosen[2] - chosen[1]


def test_the_difference_is_found_in_what_a_report_keeps(tmp_path: Path) -> None:
    tiny: Any = model()
    study = Tiny(tmp_path, of=tiny)
    edit = Edit.of(tiny, {"unet.conv_out.bias": torch.ones(4) / 9}, recipe=Recipe(method="m"))
    sizes = Sizes(
        plain=1, pairs=1, others=1, kept=2, rungs=(), prompts=2, restarts=3, best_of=1, select=2,
        score=2, steps=2, attacker=4, held_out=2, entries=2, embedding=2, asked=4, effort="quick",
        attacks=("reseed", "paraphrase"),
    )  # fmt: skip
    found = suites.of_report(study.report(edit, "cat", sizes=sizes))
    own = {one["name"]: one for one in found["attacks"]}
    assert own["reseed"]["null"] == {}
    one = own["paraphrase"]
    assert one["over"].keys() == one["rates"].keys() == one["null"].keys()
    for arm, (value, low, high) in one["over"].items():
        assert value == pytest.approx(one["rates"][arm][0] - one["null"][arm][0])
        assert low < value < high
    assert "paired" in suites.rule([{**rows()[0], **found}])


def test_each_fault_is_named() -> None:
    rates = attack("x")["rates"]
    found = rows(
        attack("weak", silent={"base": [0.3, 0.2, 0.4]}),
        attack("injects", rates={**rates, "oracle": [0.5, 0.4, 0.6]}),
        attack("told", kind="injecting", rates={**rates, "oracle": [0.5, 0.4, 0.6]}),
        attack("misses", rates={**rates, "esd": [0.2, 0.1, 0.3]}),
        attack("words", needs=["judge"], rates={**rates, "esd": [0.2, 0.1, 0.3]}),
    )
    assert suites.weak(found) == ["cat: weak 30%"]
    assert suites.injected(found) == ["cat: injects 50%"]
    assert suites.missed(found) == ["cat: misses 20%"]
    text = suites.page(found)
    assert "2.0 minutes for the edit; E 2.0 points, at most 8.0 (p4d)" in text
    assert "| told | injects |" in text
