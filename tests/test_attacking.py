"""What `excise.attack` runs, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.suite import two

import excise
from excise.api.attacking import sizes_for
from excise.edit import Edit, Recipe
from excise.errors import BadSetting, UnknownName, UserError
from excise.models.load import of_pipeline
from excise.suite.sizes import SIZES


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 1, "guidance": 1.0})


def test_named_attacks_are_run_without_a_ladder() -> None:
    sizes = sizes_for(("p4d", "reseed", "p4d"), {"p4d": {"steps": 3}}, "quick")
    assert sizes.attacks == ("p4d", "reseed")
    assert sizes.rungs == ()
    assert not sizes.cascade
    assert sizes_for((), {}, "standard") == SIZES["standard"]
    with pytest.raises(UnknownName, match="'p4d'"):
        sizes_for(("p4dd",), {}, "quick")
    with pytest.raises(BadSetting, match="p4d"):
        sizes_for(("reseed",), {"p4d": {"steps": 3}}, "quick")


@pytest.mark.slow
def test_prompts_of_one_s_own_and_what_was_found(tmp_path: Path) -> None:
    world = two.model()
    (name,) = [n for n in world.parameters("text_encoder") if "token_embedding" in n]
    delta = torch.zeros_like(world.parameters("text_encoder")[name])
    edit = Edit.of(world, {name: delta}, recipe=Recipe(method="nothing"))
    report = excise.attack(
        world,
        edit,
        two.CAT,
        methods=("reseed", "guidance"),
        settings={"reseed": {"restarts": 1}},
        prompts=("a cat", "a photo of a dog"),
        oracle=None,
        judge=two.Two(),
        budget="quick",
        out=tmp_path / "out",
        found=tmp_path / "found",
    )
    record = report.record
    assert [attack.name for attack in record.attacks] == ["reseed", "guidance"]
    assert record.kept is None
    assert report.verdict.status == "present"
    null = record.attacks[0]
    assert [group.key for group in null.groups] == ["name", "silent"]
    name_rate, silent_rate = (group.rates["edit"].value for group in null.groups)
    assert name_rate > 0.8 > 0.2 > silent_rate
    assert null.confirmatory is None  # nobody can say without an oracle
    assert (tmp_path / "out" / "report.html").exists()
    assert {p.name for p in (tmp_path / "found").iterdir()} == {
        "reseed.safetensors", "guidance.safetensors",
    }  # fmt: skip


def test_a_copy_is_a_model_of_its_own(model: Any) -> None:
    other = model.copied()
    assert other.fingerprint() == model.fingerprint()
    assert other.defaults == model.defaults
    assert other.generate(["a cat"]).digest == model.generate(["a cat"]).digest
    with torch.no_grad():
        other.parameters("unet")["unet.conv_out.bias"].add_(1)
    assert other.fingerprint() != model.fingerprint()
    name = "unet.conv_out.bias"
    with (
        model.swapped({name: torch.zeros_like(model.parameters(name)[name])}),
        pytest.raises(UserError, match="copy"),
    ):
        model.copied()
