from __future__ import annotations

import json
import logging
import warnings
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import tiny

from excise.errors import BadFile, UnknownName, Unsupported, UserError
from excise.models.files import single_file_class
from excise.models.load import NOTES, embedded, load
from excise.models.quiet import quietly
from excise.types import Request

module = import_module("excise.models.load")
REQUEST = Request(prompts=("a cat",), seeds=(1,), steps=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for family, build in tiny.FAMILIES.items():
        found[family] = tmp_path_factory.mktemp(family)
        with quietly():
            build().save_pretrained(found[family])
    return found


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_folder_is_the_pipeline_that_was_saved(
    folders: dict[str, Path], family: str, capfd: pytest.CaptureFixture[str]
) -> None:
    live = load(tiny.FAMILIES[family]())
    read = load(folders[family], device="cpu")
    assert capfd.readouterr() == ("", "")
    assert read.fingerprint() == live.fingerprint()
    assert read.generate(REQUEST).digest == live.generate(REQUEST).digest
    assert read.name == folders[family].name
    assert not any(p.requires_grad for p in read.parameters("*").values())
    assert not any(m.training for m in read.modules("*").values())


def test_a_live_pipeline_is_left_as_it_is() -> None:
    pipeline = tiny.stable_diffusion()
    pipeline.unet.train()
    model = load(pipeline)
    assert model.pipeline is pipeline
    assert pipeline.unet.training
    assert all(p.requires_grad for p in pipeline.unet.parameters())


def test_half_precision_on_disk_runs_in_full(tmp_path: Path) -> None:
    pipeline = tiny.stable_diffusion()
    with quietly():
        pipeline.to(torch.float16).save_pretrained(tmp_path)
    model = load(tmp_path, device="cpu")
    assert {p.dtype for p in model.parameters("*").values()} == {torch.float32}
    assert model.generate(REQUEST).pictures.shape[0] == 1
    low = load(tmp_path, device="cpu", dtype=torch.bfloat16)
    assert low.dtype == torch.bfloat16
    assert low.generate(REQUEST).latents.dtype == torch.float32  # type: ignore[union-attr]


@pytest.fixture
def assets(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a model and an oracle of it, which has a U-Net of its own alone."""
    root = tmp_path / "assets"
    (root / "toy").mkdir(parents=True)
    for path in folders["sd1"].iterdir():
        (root / "toy" / path.name).symlink_to(path)
    (root / "toy" / NOTES).write_text('{"steps": 3, "guidance": 2.5}')
    oracle = root / "toy" / "without-cat"
    (oracle / "unet").mkdir(parents=True)
    (oracle / NOTES).write_text('{"base": "..", "guidance": 4.0}')
    unet = folders["sd1"] / "unet"
    (oracle / "unet" / "config.json").write_text((unet / "config.json").read_text())
    name = "diffusion_pytorch_model.safetensors"
    save_file({k: v + 0.01 for k, v in load_file(unet / name).items()}, oracle / "unet" / name)
    monkeypatch.setattr(module, "ASSETS", root)
    return root


def test_embedded_models_by_name(assets: Path) -> None:
    assert embedded() == ("toy", "toy/without-cat")
    base, oracle = load("toy"), load("toy/without-cat")
    assert (base.name, oracle.name) == ("toy", "toy/without-cat")
    assert (base.defaults.steps, base.defaults.guidance) == (3, 2.5)
    assert (oracle.defaults.steps, oracle.defaults.guidance) == (3, 4.0)
    for part in ("text_encoder", "vae"):
        ours, theirs = oracle.parameters(part), base.parameters(part)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name, value in oracle.parameters("unet").items():
        torch.testing.assert_close(value, base.parameters("unet")[name] + 0.01)
    with pytest.raises(UnknownName, match="'toy'"):
        load("tay")
    with pytest.raises(UnknownName, match="toy/without-cat"):
        load("toy/without-cats")


def test_pickled_files_are_never_opened(tmp_path: Path) -> None:
    for name in ("model.ckpt", "model.pt"):
        (tmp_path / name).write_bytes(b"cos\nsystem\n")
        with pytest.raises(BadFile, match="save_pretrained"):
            load(tmp_path / name)
    folder = tmp_path / "pipeline"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    with pytest.raises(BadFile, match="pickled"):
        load(folder)


def test_what_is_no_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"model_index\.json"):
        load(tmp_path)
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(BadFile, match="JSON"):
        load(tmp_path)
    for name in ('"FluxPipeline"', '["evil", "Pipeline"]', "null"):
        (tmp_path / "model_index.json").write_text(f'{{"_class_name": {name}}}')
        with pytest.raises(Unsupported, match="StableDiffusion3Pipeline"):
            load(tmp_path)
    (tmp_path / "model.gguf").write_bytes(b"")
    with pytest.raises(BadFile, match="safetensors"):
        load(tmp_path / "model.gguf")
    with pytest.raises(Unsupported, match="supported"):
        load(torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match="hub"):  # the tests are offline
        load("nobody/nothing")


def test_a_gap_in_the_files_is_not_filled_with_random_numbers(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    for path in folders["sd1"].rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(folders["sd1"])
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    for part, file in (("text_encoder", "model"), ("unet", "diffusion_pytorch_model")):
        path = tmp_path / part / f"{file}.safetensors"
        whole = load_file(path)
        gone = sorted(whole)[-1]
        save_file({k: v for k, v in whole.items() if k != gone}, path, {"format": "pt"})
        with pytest.raises(BadFile):
            load(tmp_path)
        save_file(whole, path, {"format": "pt"})
    load(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadFile):
        load(tmp_path)


def test_published_text_encoders_have_another_prefix(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "text_encoder").mkdir()
    for path in folders["sd1"].iterdir():
        if path.name != "text_encoder":
            (tmp_path / path.name).symlink_to(path)
    source = folders["sd1"] / "text_encoder"
    (tmp_path / "text_encoder" / "config.json").write_text((source / "config.json").read_text())
    old = {f"text_model.{k}": v for k, v in load_file(source / "model.safetensors").items()}
    save_file(old, tmp_path / "text_encoder" / "model.safetensors", {"format": "pt"})
    assert load(tmp_path).fingerprint() == load(folders["sd1"]).fingerprint()
    names = load(tmp_path).parameters("text_encoder")
    assert set(names) == {f"text_encoder.{name}" for name in old}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["model.diffusion_model.input_blocks.0.0.weight"], "StableDiffusionPipeline"),
        (
            ["model.diffusion_model.input_blocks.0.0.weight", "conditioner.embedders.0.x"],
            "StableDiffusionXLPipeline",
        ),
        (["model.diffusion_model.joint_blocks.0.x"], "StableDiffusion3Pipeline"),
    ],
)
def test_kinds_of_single_files(keys: list[str], expected: str, tmp_path: Path) -> None:
    file = tmp_path / "one.safetensors"
    save_file({key: torch.zeros(1) for key in keys}, file)
    assert single_file_class(file) == expected
    save_file({"lora_unet_x.alpha": torch.zeros(1)}, file)
    with pytest.raises(BadFile, match="adapter"):
        load(file)


def test_quiet_leaves_everything_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    from diffusers.utils import logging as library

    filters, disabled = list(warnings.filters), logging.root.manager.disable
    shown = library.is_progress_bar_enabled()
    with pytest.raises(RuntimeError), quietly():
        warnings.warn("loud", stacklevel=1)
        logging.getLogger("diffusers").warning("loud")
        assert not library.is_progress_bar_enabled()
        raise RuntimeError
    assert capfd.readouterr() == ("", "")
    assert list(warnings.filters) == filters
    assert logging.root.manager.disable == disabled
    assert library.is_progress_bar_enabled() == shown


def test_notes_are_json(folders: dict[str, Path], assets: Path) -> None:
    (assets / "toy" / NOTES).write_text(json.dumps([1]))
    with pytest.raises(BadFile, match="object"):
        load("toy")
