"""What is said of all attacks: which are weak, which inject, which miss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import suites
import torch
from study import Trial
from tests.benchmarks.tiny_study import Tiny, model
from torch import Tensor

from excise import registry
from excise.attacks.result import AttackResult
from excise.edit import Edit, Recipe
from excise.reporting.attempts import Attempts
from excise.reporting.reached import best_of, excess_of
from excise.reporting.worst_case import confirmatory
from excise.suite import Sizes
from excise.types import Costs


def attack(name: str, **given: Any) -> dict[str, Any]:
    null = {arm: [0.1, 0.05, 0.2] for arm in ("base", "edit", "oracle", "esd")}
    return {
        "name": name, "label": name, "kind": "confirming", "needs": ["gradients"],
        "confirmatory": True, "null": null, "seconds": {"edit": 3.0},
        "rates": {"base": [1.0, 0.9, 1.0], "edit": [0.1, 0.0, 0.2], "oracle": [0.1, 0.05, 0.2],
                  "esd": [0.6, 0.5, 0.7]},
        "silent": {"base": [0.9, 0.8, 1.0]}, "told": {"base": [0.9, 0.8, 1.0]},
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
    assert not any(suites.apart(one, "oracle") for one in (told, open_, bare, below))
    assert suites.apart(attack("clear", rates={**rates, "oracle": [0.3, 0.21, 0.4]}), "oracle")
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


def test_the_draw_of_restarts_counts_with_the_few_tries_it_is_known_by() -> None:
    numbers = torch.Generator().manual_seed(0)
    nothing = torch.zeros(1, 8, 20)
    worked = torch.rand(12, 1, 1, generator=numbers) < 0.5
    pool = (worked & (torch.rand(12, 8, 20, generator=numbers) < 0.8)).float()
    one = result(pool, pooled=True)
    found = suites.over(one, result(nothing))
    # Against an oracle that nothing reaches, this is the excess of the suite.
    own, _ = excess_of(one, replace(one, score=0 * pool), best_of(one))
    assert own.low is not None
    assert found[0] == pytest.approx(own.value)
    assert found[1] == pytest.approx(own.low, abs=0.02)
    # Three tries of the best of 4: nearly all of the error is theirs, so Student's t is 4.3.
    spread = one.curve(4).se[-1]
    assert found[0] - found[1] > 3.5 * spread > 0


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
    assert one["told"]["base"] == one["silent"]["base"]
    assert all(row["told"].keys() == row["rates"].keys() for row in own.values())
    suites.page([{**rows()[0], **found}])


def test_the_default_is_attacked_beside_its_rivals_without_the_papers_recipe() -> None:
    asked: list[Trial] = []

    def edit(trial: Trial) -> Any:
        asked.append(trial)
        return trial.method, {}

    study: Any = SimpleNamespace(edit=edit)
    assert list(suites.edits_for(study, "cat")) == ["task_vector", "esd", "gradient_ascent"]
    assert all(trial.settings == {} for trial in asked)
    assert "*edit*: task vector, healed" in suites.page(rows())


GROUPS = ("name", "synonym", "silent", "silent")
ROLES = {"base": "base", "oracle": "oracle"}


@pytest.mark.parametrize("name", registry.names("attack"))
@pytest.mark.parametrize(("named", "silent"), [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_weak_is_what_cannot_count_because_it_leaves_the_base_alone(
    name: str, named: int, silent: int
) -> None:
    """Of every attack: by the prompts that it can tell by, as the suite says which count."""
    cls = registry.get("attack", name)
    hits = torch.tensor([named, named, silent, silent]).float()[None, :, None].expand(1, 4, 4)
    tried = Attempts(
        groups=GROUPS,
        kinds={name: (cls.kind, cls.rewords)},
        results={name: {"base": result(hits), "oracle": result(0 * hits)}},
    )
    counts = confirmatory(ROLES, tried, name)
    told = float(hits[0, suites.telling(tried, name)].mean())
    row = attack(name, kind=cls.kind, confirmatory=counts, told={"base": [told, 0.0, 1.0]})
    assert bool(suites.weak(rows(row))) == (cls.kind == "confirming" and not counts)


def test_attacks_that_leave_prompts_as_they_are_tell_by_those_that_name_the_concept() -> None:
    kinds = {n: registry.get("attack", n) for n in registry.names("attack")}
    tried = Attempts(groups=GROUPS, kinds={n: (c.kind, c.rewords) for n, c in kinds.items()})
    found = {name: suites.telling(tried, name) for name in kinds}
    assert {name for name, own in found.items() if own == [0, 1]} == {"reseed", "guidance", "swap"}
    assert all(own in ([0, 1], [2, 3]) for own in found.values())
    # Where no prompt names it, as of a watermark, they tell by all there are.
    silent = replace(tried, groups=("silent",) * 4)
    assert suites.telling(silent, "guidance") == suites.telling(silent, "p4d") == [0, 1, 2, 3]


def test_who_takes_no_gradients_is_not_asked_what_gradients_reach() -> None:
    bad = {**attack("x")["rates"], "esd": [0.1, 0.0, 0.2]}
    for name in registry.names("attack"):
        cls = registry.get("attack", name)
        takes = cls.kind != "changing" and cls().at("standard").gradients > 0
        found = suites.missed(rows(attack(name, needs=sorted(cls.needs), rates=bad)))
        assert bool(found) == takes, name


def test_each_fault_is_named() -> None:
    rates = attack("x")["rates"]
    found = rows(
        attack("weak", told={"base": [0.3, 0.2, 0.4]}, confirmatory=False),
        attack("plain words", told={"base": [0.3, 0.2, 0.4]}),
        attack("injects", rates={**rates, "oracle": [0.5, 0.4, 0.6]}),
        attack("told", kind="injecting", rates={**rates, "oracle": [0.5, 0.4, 0.6]}),
        attack("misses", rates={**rates, "esd": [0.2, 0.1, 0.3]}),
        attack("near", rates={**rates, "esd": [0.3, 0.2, 0.4]}, over={"esd": [0.2, 0.1, 0.3]}),
        attack("words", needs=["judge"], rates={**rates, "esd": [0.2, 0.1, 0.3]}),
    )
    assert suites.weak(found) == ["cat: weak 30%"]
    assert suites.injected(found) == ["cat: injects 50%"]
    misses, near = suites.missed(found)
    assert misses == (
        "cat: misses 20 (10 to 30), plain words 10 (5 to 20), which cannot be told apart"
    )
    assert near.startswith("cat: near 30 (20 to 40)")
    assert near.endswith("which differ all the same")
    text = suites.page(found)
    assert f"{misses}; {near}." in text
    assert "2.0 minutes for the edit; E 2.0 points, at most 8.0 (p4d)" in text
    assert "| told | injects |" in text


def test_a_run_over_some_concepts_leaves_the_others_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "DOCS", tmp_path)
    monkeypatch.setattr(suites, "row", lambda study, name: {**rows()[0], "concept": name})
    for given, there in ((["truck", "cat"], ["cat", "truck"]),
                         (["sketch", "cat"], ["cat", "sketch", "truck"])):  # fmt: skip
        options = SimpleNamespace(concepts=given)
        monkeypatch.setattr(suites, "opened", lambda parser, renders, o=options: (o, None))
        suites.main()
        text = (tmp_path / "suites.md").read_text(encoding="utf-8")
        heads = [line[3:] for line in text.splitlines() if line.startswith("## ")]
        assert heads == there
