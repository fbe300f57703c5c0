from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.calling import call
from tests.reporting import factory

from excise import api
from excise.api.loading import history_of
from excise.cli.stages import erase_plan
from excise.edit import Edit, Making, record_folder
from excise.errors import Infeasible
from excise.models.load import load
from excise.types import Concept


def test_erase_passes_on_what_it_is_given(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(
        "erase", "Big Cat", "dog", "--model", folder, "--set", "steps=3", "--set", "lr=1e-3",
        "--budget", "thorough", "--seed", "7", "--strength", "1.75", "--no-search",
        "--method", "esd", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    given = stand_in["erase"]
    assert given["concept"] == ["Big Cat", "dog"]
    assert given["settings"] == {"steps": "3", "lr": "1e-3"}
    assert (given["budget"], given["seed"], given["strength"]) == ("thorough", 7, 1.75)
    assert given["search"] is False
    assert given["method"] == "esd"
    assert given["out"] == Path("no-big-cat-dog.safetensors")
    answer = json.loads(done.stdout)
    assert answer["edit"] == "no-big-cat-dog.safetensors"
    assert answer["digest"] == Edit.load(tmp_path / answer["edit"]).digest
    assert answer["recipe"]["method"] == "test"


def test_what_is_said_after_erasing(folder: Path, tmp_path: Path, stand_in: dict[str, Any]) -> None:
    goal = tmp_path / "no-cat.safetensors"
    loud = call("erase", "cat", "--model", folder, "--out", goal)
    assert loud.stdout.startswith('Erased "cat" from tiny: ')
    assert str(goal) in loud.stdout
    assert call("erase", "cat", "--model", folder, "--out", goal, "--quiet").output == ""


def test_evaluate_shows_a_table_and_the_place(
    folder: Path, edit: Path, tmp_path: Path, stand_in: dict[str, Any]
) -> None:
    done = call(
        "evaluate", "--model", folder, "--edit", edit, "--out", tmp_path, "--oracle", "none",
        "--floor", "0.05", "--features", "a/network", "--clip", "a/clip",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    given = stand_in["evaluate"]
    assert given["floor"] == 0.05
    assert (given["features"], given["clip"]) == ("a/network", "a/clip")
    assert given["edit"] == edit
    assert given["concept"] is None  # the edit's own
    assert given["oracle"] is None
    assert "no longer appears" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1] == f"Report: {tmp_path / 'report.html'}"
    data = json.loads(call("evaluate", "cat", "--model", folder, "--json").stdout)
    assert data["format"] == "excise.report/1"
    assert stand_in["evaluate"]["out"] == Path("out")


def test_attack_passes_on_what_it_is_given(
    folder: Path, edit: Path, tmp_path: Path, stand_in: dict[str, Any]
) -> None:
    done = call(
        "attack", "cat", "--model", folder, "--edit", edit, "--method", "p4d", "--set", "steps=3",
        "--oracle", "none", "--budget", "quick", "--found", tmp_path / "found", "--floor", "0",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    given = stand_in["attack"]
    assert given["floor"] == 0
    assert call("attack", "cat", "--model", folder, "--floor", "5").exit_code == 2
    assert given["methods"] == ["p4d"]
    assert given["settings"] == {"p4d": {"steps": "3"}}
    assert given["oracle"] is None
    assert given["out"] is None
    assert "Report:" not in done.stdout
    assert done.stdout.rstrip().endswith(str(tmp_path / "found"))


def test_demo_is_erase_and_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: dict[str, Any], model: Any
) -> None:
    monkeypatch.setattr("excise.cli.making.load_model", lambda *_: model)
    done = call("demo", "--out", tmp_path / "demo")
    assert done.exit_code == 0, done.output
    assert stand_in["erase"]["budget"] == stand_in["evaluate"]["budget"] == "quick"
    assert stand_in["erase"]["concept"] == stand_in["evaluate"]["concept"] == "cat"
    goal = tmp_path / "demo" / "no-cat.safetensors"
    assert stand_in["erase"]["out"] == stand_in["evaluate"]["edit"] == goal
    assert done.stdout.rstrip().endswith(str(tmp_path / "demo" / "report.html"))


def test_demo_reports_on_what_comes_nearest_where_no_strength_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: dict[str, Any], model: Any
) -> None:
    monkeypatch.setattr("excise.cli.making.load_model", lambda *_: model)
    found = api.erase

    def in_vain(*given: Any, **named: Any) -> None:
        goal = named["out"]
        Making(record={"nearest": 2.0}).save(record_folder(goal))
        found(*given, **{**named, "out": record_folder(goal) / "nearest.safetensors"})
        raise Infeasible("no strength does it", details={})

    monkeypatch.setattr(api, "erase", in_vain)
    done = call("demo", "--out", tmp_path / "demo")
    assert done.exit_code == 3
    nearest = tmp_path / "demo" / "no-cat.record" / "nearest.safetensors"
    assert stand_in["evaluate"]["edit"] == nearest
    assert history_of(nearest).record == {"nearest": 2.0}
    assert str(tmp_path / "demo" / "report.html") in done.stdout
    assert "no strength does it" in done.stderr


def test_report_again_and_at_another_threshold(tmp_path: Path) -> None:
    factory.record().save(tmp_path / "a")
    shown = call("report", tmp_path / "a")
    assert shown.exit_code == 0, shown.output
    assert "no longer appears" in shown.stdout
    moved = call("report", tmp_path / "a", "--threshold", "0.2", "--out", tmp_path / "b")
    assert "still appears" in moved.stdout
    assert (tmp_path / "b" / "report.html").exists()
    data = json.loads((tmp_path / "b" / "report.json").read_text())
    assert data["verdict"]["status"] == "present"
    assert call("report", tmp_path / "a", "--threshold", "2").exit_code == 2


def test_generate(folder: Path, edit: Path, tmp_path: Path) -> None:
    def draw(name: str, *more: str | Path) -> dict[str, Any]:
        done = call("generate", "a cat", "a dog", "-n", "2", "--seed", "5", "--steps", "2",
                    "--model", folder, "--out", tmp_path / name, "--json", *more)  # fmt: skip
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))

    found = draw("plain")
    assert [p["prompt"] for p in found["pictures"]] == ["a cat", "a cat", "a dog", "a dog"]
    assert [p["seed"] for p in found["pictures"]] == [5, 6, 5, 6]
    assert len(list((tmp_path / "plain").glob("*.png"))) == 4
    assert draw("again")["digest"] == found["digest"]
    assert draw("edited", "--edit", edit)["digest"] != found["digest"]


def test_apply_export_merge_and_info(folder: Path, edit: Path, tmp_path: Path) -> None:
    baked = tmp_path / "baked"
    assert call("apply", edit, "--model", folder, "--out", baked).exit_code == 0
    assert load(str(baked)).fingerprint() != load(str(folder)).fingerprint()
    again = call("apply", edit, "--model", folder, "--out", baked)
    assert again.exit_code == 2  # something is there
    weights = tmp_path / "weights.safetensors"
    assert call("export", edit, "--model", folder, "--out", weights).exit_code == 0
    assert weights.stat().st_size > 0
    both = tmp_path / "both.safetensors"
    made = call("merge", edit, edit, "--weight", "1", "--weight", "-1", "--out", both, "--json")
    assert json.loads(made.stdout)["bytes"] == 0
    wrong = call("generate", "a cat", "--model", baked, "--edit", edit, "--out", tmp_path / "no")
    assert wrong.exit_code == 2
    assert "made for" in wrong.stderr
    facts = json.loads(call("info", edit, "--json").stdout)
    assert facts["is"] == "edit"
    assert facts["recipe"]["concepts"][0]["name"] == "cat"
    text = call("info", edit).stdout
    assert facts["digest"][:16] in text
    assert "recipe.method" in text
    assert json.loads(call("info", folder, "--json").stdout)["is"] == "model"


def test_dry_run_makes_nothing(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    quick, thorough = (
        json.loads(
            call(
                "erase", "cat", "--model", folder, "--dry-run", "--json", "--budget", budget
            ).stdout
        )
        for budget in ("quick", "thorough")
    )
    assert {"pictures", "fine-tune", "choose-set", "strength", "heal", "edit"} <= {
        stage["name"] for stage in quick["stages"]
    }
    for name in ("gradients", "seconds", "bytes", "pictures"):
        assert quick[name] > 0
        assert quick[name] == pytest.approx(sum(stage[name] for stage in quick["stages"]))
    assert thorough["gradients"] > quick["gradients"]
    assert list(tmp_path.iterdir()) == []


def test_dry_run_counts_settings(model: Any) -> None:
    def gradients(**settings: str) -> int:
        eraser = api.erasing.eraser_of(model, "esd", settings)
        return sum(stage.gradients for stage in erase_plan(model, eraser, [Concept("cat")]))

    assert gradients(steps="40", batch="3") == 120
