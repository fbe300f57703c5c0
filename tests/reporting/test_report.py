from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from excise.errors import BadFile, BadSetting, ResourceError, UserError
from excise.reporting import Report, Scores
from excise.store import read_json, write_json


@pytest.fixture(scope="module")
def saved(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    assert report.save(folder) == folder / "report.html"
    return folder


def test_what_is_saved_is_found_again(report: Report, saved: Path) -> None:
    again = Report.load(saved)
    assert again.record == report.record.model_copy(update={"scores": "scores.safetensors"})
    assert again.pictures.keys() == report.pictures.keys()
    for name, pictures in report.pictures.items():
        assert torch.equal(again.pictures[name], pictures)
    assert again.scores is not None
    assert report.scores is not None
    assert len(again.scores) == len(report.scores)
    assert again.html() == (saved / "report.html").read_text(encoding="utf-8")
    assert Report.load(saved / "report.json").record == again.record


def test_the_same_report_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    Report.load(saved).save(tmp_path)
    files = sorted(p.relative_to(saved) for p in saved.rglob("*") if p.is_file())
    assert len(files) > 20
    for name in files:
        assert (tmp_path / name).read_bytes() == (saved / name).read_bytes(), name


def test_pictures_that_are_gone_leave_the_rest(saved: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", read_json(saved / "report.json"))
    alone = Report.load(tmp_path)
    assert not alone.pictures
    assert alone.scores is None
    assert "“cat” no longer appears" in alone.html()
    with pytest.raises(UserError, match="scores.safetensors"):
        alone.at(0.3)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "images/../../x.png", "C:\\x"])
def test_pictures_outside_the_folder_are_not_read(saved: Path, tmp_path: Path, name: str) -> None:
    data = read_json(saved / "report.json")
    data["pictures"][0]["sheets"]["base"] = name
    write_json(tmp_path / "report.json", data)
    with pytest.raises(BadFile, match="inside its folder"):
        Report.load(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "small", "text"])
def test_damaged_pictures_are_named(saved: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    sheet = tmp_path / "images" / "concept-base.png"
    if damage == "cut":
        sheet.write_bytes(sheet.read_bytes()[:500])
    elif damage == "small":
        sheet.write_bytes((tmp_path / "images" / "dog-base.png").read_bytes())
    else:
        sheet.write_text("no picture")
    with pytest.raises(BadFile, match="concept-base"):
        Report.load(tmp_path)


def test_a_missing_or_damaged_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="report.json"):
        Report.load(tmp_path)
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(BadFile, match="not JSON"):
        Report.load(tmp_path)


def test_nothing_is_half_written(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip  # noqa: E501
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResourceError, match="no room"):
        report.save(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_same_threshold_gives_the_same_rates(report: Report) -> None:
    again = report.at(0.5).record
    assert again.rates == report.record.rates
    assert {attack.rungs for attack in again.attacks} == {()}  # nobody kept the ladder's values


def test_another_threshold_is_counted_again_and_said(report: Report) -> None:
    low = report.at(0.2)
    plain, before = low.record.rates[0].rates["edit"], report.record.rates[0].rates["edit"]
    assert plain.value > before.value + 0.2
    assert low.record.judges[0].thresholds["cat"] == 0.2
    assert low.record.judges[1].thresholds == report.record.judges[1].thresholds
    assert low.record.agreement[1].rates["judge"].value == plain.value
    assert low.record.agreement[1].rates["auditor"] == report.record.agreement[1].rates["auditor"]
    assert "threshold" in [check.name for check in low.record.checks]
    assert low.record.strength is None  # its pictures are not in the table
    assert low.record.excess is None
    assert low.verdict.status == "present"
    # What was to stay is judged by other labels, whose thresholds stay.
    assert low.record.kept == report.record.kept


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(report: Report, threshold: float) -> None:
    with pytest.raises(BadSetting, match="threshold"):
        report.at(threshold)


def test_a_table_of_other_things_cannot_move_a_threshold(report: Report) -> None:
    assert report.scores is not None
    empty = report.scores.where(label="dog")
    with pytest.raises(UserError, match="cat"):
        Report(record=report.record, scores=Scores.concat([empty])).at(0.3)


def test_json_is_for_other_programs(saved: Path) -> None:
    data = json.loads((saved / "report.json").read_text(encoding="ascii"))
    assert data["format"] == "excise.report/1"
    assert data["verdict"]["status"] == "erased"
    assert data["rates"][0]["rates"]["edit"]["count"] == 0
