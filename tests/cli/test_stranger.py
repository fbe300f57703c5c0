"""A model that a program which knows nothing of Excise has changed goes through `excise attack`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.calling import call

from excise.models.load import ASSETS

pytestmark = pytest.mark.slow

STRANGER = """
import sys
import torch
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained(sys.argv[1])
for name, weight in pipeline.unet.named_parameters():
    if name.endswith("attn2.to_v.weight"):
        weight.data *= -0.5
pipeline.save_pretrained(sys.argv[2])
assert not any(name.partition(".")[0] == "excise" for name in sys.modules)
"""


@pytest.fixture(scope="module")
def handed_over(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model, retrained by a stranger so that words mean something else."""
    goal = tmp_path_factory.mktemp("stranger") / "safe-model"
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(ASSETS / "emoji"), str(goal)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return goal


def test_what_the_base_knows_serves_a_folder_that_says_nothing(
    handed_over: Path, tmp_path: Path
) -> None:
    """Concept, judge and defaults come from the unedited model; every figure stands beside its."""
    done = call(
        "attack", "cat", "--model", handed_over, "--base", "emoji", "--method", "reseed",
        "--budget", "quick", "--set", "restarts=1", "--out", tmp_path / "out", "--oracle", "none",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert [arm["role"] for arm in record["arms"]] == ["base", "edit"]
    assert record["judges"][0]["role"] == "judge"
    rates = record["attacks"][0]["rates"]
    assert rates["base"]["value"] > 0.6  # a quarter of the prompts do not name it
    assert rates["edit"]["value"] < 0.2
    costs = record["attacks"][0]["costs"]  # as many steps on either
    assert costs["edit"]["evaluations"] == costs["base"]["evaluations"]


def test_without_its_base_nobody_can_say_what_it_draws(handed_over: Path) -> None:
    done = call("attack", "cat", "--model", handed_over, "--method", "reseed", "--budget", "quick")
    assert done.exit_code == 2
    assert "judge" in done.output
    assert "--base" in done.output
