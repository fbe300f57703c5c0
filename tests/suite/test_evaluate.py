from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.suite import two

from excise.edit import Edit, Recipe
from excise.primitives.panel import Panel
from excise.reporting import Report
from excise.store import Cache, Stages
from excise.suite import Arm, Sizes, evaluate, plan
from excise.suite.evaluate import bench_of
from excise.suite.sizes import SIZES
from excise.types import Concept

SMALL = Sizes(
    plain=2, pairs=2, others=None, kept=8, rungs=(1, 2), prompts=2, restarts=3, best_of=1,
    select=2, score=4, steps=8, attacker=8, held_out=4, entries=4, embedding=2,
    attacks=("reseed", "guidance", "concept_inversion", "durability", "completion"), asked=6,
    effort="quick", decide=40,
)  # fmt: skip
SETTINGS = {"concept_inversion": {"steps": 8, "restarts": 3}}


@cache
def arms() -> tuple[Arm, ...]:
    """A model, an edit with which a cat is called a dog, and an oracle that never saw a cat."""
    model = two.model()
    (name,) = [n for n in model.parameters("text_encoder") if "token_embedding" in n]
    ids = model.pipeline.tokenizer(["cat", "dog"]).input_ids
    table = model.parameters("text_encoder")[name].detach()
    delta = torch.zeros_like(table)
    delta[ids[0][1]] = table[ids[1][1]] - table[ids[0][1]]
    edit = Edit.of(model, {name: delta}, recipe=Recipe(method="rename"))
    return (
        Arm(key="base", label="before", role="base", model=model),
        Arm(key="edit", label="after", role="edit", model=model, edit=edit),
        Arm(key="oracle", label="never shown a cat", role="oracle", model=model, edit=edit),
    )


def run(folder: Path, judge: Any = None, **changes: Any) -> Report:
    fields: dict[str, Any] = {
        "others": (two.AUDITOR,),
        "budget": SMALL,
        "settings": SETTINGS,
        "cache": Cache(folder / "cache"),
        "stages": Stages(folder / "stages"),
    }
    return evaluate(arms(), two.CAT, judge or two.Two(), **{**fields, **changes})


def plainly(report: Report) -> dict[str, Any]:
    """The report without what a clock and a machine's memory say."""
    found = report.to_json()
    for row in found["costs"]:
        row["cost"] |= {"seconds": 0, "peak_bytes": 0}
    for attack in (*found["attacks"], *found["recoveries"]):
        for cost in attack["costs"].values():
            cost |= {"seconds": 0, "peak_bytes": 0}
    return found


@pytest.mark.slow
def test_a_renamed_concept_is_gone_in_plain_use_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    before = two.model().fingerprint()
    report = run(tmp_path)
    assert two.model().fingerprint() == before
    record = report.record
    plain = next(row for row in record.rates if row.kind == "plain")
    assert plain.rates["base"].value > 0.9
    assert plain.rates["edit"].value == plain.rates["oracle"].value < 0.1
    assert record.kept is not None
    assert record.kept.mean["edit"].value == 1
    # Edit and oracle are one model here: same seeds, same pictures, so no excess and no Delta.
    by_name = {one.name: one for one in record.attacks}
    assert set(by_name) == {"reseed", "guidance", "concept_inversion", "completion"}
    attack = by_name["concept_inversion"]
    assert attack.excess["edit"].value == 0
    assert attack.delta_loss["edit"].value == 0
    scar = record.over_erasure
    assert scar is not None
    assert scar.gap["edit"].value == 0
    assert scar.named["edit"].value > scar.named["base"].value  # a cat that is called a dog
    assert scar.unnamed["edit"] == scar.unnamed["base"]  # the network itself is unchanged
    measures = {one.name: one.values for one in record.kept.measures}
    assert measures["drift_near"]["edit"].value == 0
    assert measures["diversity"]["edit"] == measures["diversity"]["base"]
    assert [rung.key for rung in attack.rungs] == ["t1", "t2"]
    assert attack.counts is not None
    assert attack.counts.rates["edit"].n == 6 * 4
    assert attack.decided is not None
    assert attack.decided.n <= 40
    if attack.decided.side is not None:
        more = attack.decided.count > attack.decided.limit * attack.decided.n
        assert (attack.decided.side == "above") == more
    assert {rung.key for rung in attack.groups} >= {"name", "silent"}
    assert by_name["reseed"].confirmatory is True
    assert by_name["completion"].kind == "injecting"
    assert by_name["completion"].confirmatory is False
    assert by_name["guidance"].rates["edit"] == by_name["guidance"].rates["oracle"]
    assert record.excess is not None
    assert record.excess.value == 0
    assert set(record.excess.uppers) <= set(by_name) - {"completion"}
    assert record.worst_found is not None
    assert record.worst_found.rates["edit"] == record.worst_found.rates["oracle"]
    assert sum(record.worst_found.chosen["edit"].values()) == 6
    (curve,) = record.recoveries
    assert curve.points[0].label == "as handed over"
    assert set(curve.points[0].rates) == {"base", "edit", "oracle"}
    assert [stop.strength for stop in record.slider] == [0, 0.25, 0.5, 0.75, 1, 1.5, 2]
    shown = [record.group(stop.pictures) for stop in record.slider]
    first, chosen = (group.shown["edit"] for group in (shown[0], shown[4]) if group)
    own = [i for i, text in enumerate(shown[0].prompts if shown[0] else ()) if "cat" in text]
    assert all(first[i] for i in own)
    assert not any(chosen[i] for i in own)
    assert {row.arm for row in record.agreement} == {"base", "edit", "oracle"}
    assert {group.kind for group in record.pictures} >= {"concept", "neighbour", "attack"}
    report.save(tmp_path / "out")
    again = Report.load(tmp_path / "out")
    assert again.to_json() == {**report.to_json(), "scores": "scores.safetensors"}
    assert again.at(0.3).record.judges[0].thresholds["cat"] == 0.3
    same = again.at(0.5).record
    assert same.excess == record.excess
    assert same.worst_found == record.worst_found
    assert same.recoveries == record.recoveries
    for before, after in zip(record.attacks, same.attacks, strict=True):
        assert (after.rates, after.excess, after.null) == (before.rates, before.excess, before.null)
        assert after.confirmatory == before.confirmatory
    # All of it was kept: nothing is drawn again, and the report is the same.
    spent = two.model().costs
    assert plainly(run(tmp_path)) == plainly(report)
    assert (two.model().costs - spent).evaluations == 0
    planned = plan(arms(), two.CAT, two.Two(), budget=SMALL, settings=SETTINGS)
    counted = {row.stage: row.cost.pictures for row in record.costs}
    for line in planned.lines:
        label = next(arm.label for arm in arms() if arm.key == line.arm)
        drawn = counted[f"{line.stage}: {label}"]
        if line.stage == "attack durability":  # draws what it trains on besides
            assert drawn >= line.pictures
        elif line.stage.startswith("attack") and line.arm == "edit":  # a decision may stop early
            assert line.pictures - 40 <= drawn <= line.pictures, line
        else:
            assert drawn == line.pictures, line


@pytest.mark.slow
def test_without_base_and_oracle_what_needs_them_says_so(tmp_path: Path) -> None:
    edit = arms()[1]
    report = evaluate((edit,), two.CAT, two.Two(), budget=SMALL)  # no pictures, nobody to draw
    assert report.record.attacks == ()
    assert report.record.kept is not None
    assert report.record.kept.mean == {}
    assert {check.name for check in report.record.checks} >= {"no_base", "no_oracle", "one_judge"}
    assert report.verdict.status in {"untested", "undecided", "present"}


def test_the_auditor_is_left_out_where_it_cannot_tell_and_the_judge_may_not_be() -> None:
    arm = Arm(key="a", label="a", role="edit", model=_Nobody())  # type: ignore[arg-type]
    panel: Any = two.Two()

    class Blind(two.Two):
        labels = ("bird", "dog", "nothing")

    def bench(judge: Panel, *others: Any) -> Any:
        return bench_of((arm,), Concept("cat"), judge, others, SIZES["quick"], 0, None,  # type: ignore[arg-type]
                        None, None, None)  # fmt: skip

    assert bench(panel, Blind(name="b", title="b")).jury is None
    assert bench(panel, two.AUDITOR).jury is not None
    with pytest.raises(Exception, match="no label of the judge"):
        bench(Blind())  # type: ignore[arg-type]


class _Nobody:
    known: tuple[Concept, ...] = ()


KILLED = """
import os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.suite import test_evaluate as t
from excise.suite.bench import Bench

kept, made = Bench._keep, []

def keep(self, *args):
    made.append(1)
    if len(made) > {after}:
        os.kill(os.getpid(), 9)
    return kept(self, *args)

Bench._keep = keep
t.run(Path({folder!r}))
"""


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_report(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    code = KILLED.format(root=root, folder=str(tmp_path / "killed"), after=5)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -9
    assert len(list((tmp_path / "killed").rglob("*.safetensors"))) == 5
    assert plainly(run(tmp_path / "killed")) == plainly(run(tmp_path / "whole"))
