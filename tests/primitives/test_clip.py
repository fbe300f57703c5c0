"""A CLIP of one file, and the same in two parts; and the one that ships."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.judges.test_zero_shot_clip import save

from excise.emoji.export import save_clip
from excise.errors import BadFile, UserError
from excise.models.load import ASSETS
from excise.models.quiet import quietly
from excise.primitives.clip import TOWERS, Clip

with quietly():
    from transformers import CLIPModel

TEXTS = ("a red", "a tree")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def parts(whole: Path, tmp_path: Path) -> Path:
    """The same CLIP as it ships: its text tower in another folder."""
    text = tmp_path / "text"
    text.mkdir()
    tensors = {k: v.half() for k, v in load_file(whole / "model.safetensors").items()}
    own = {key: value for key, value in tensors.items() if key.startswith("text_model.")}
    save_file(own, text / "model.safetensors", metadata={"format": "pt"})
    with quietly():
        save_clip(CLIPModel.from_pretrained(whole), tmp_path / "clip", text, whole)
    config = (whole / "preprocessor_config.json").read_text()  # another size than the shipped one
    (tmp_path / "clip" / "preprocessor_config.json").write_text(config)
    return tmp_path / "clip"


def pictures(n: int = 5) -> torch.Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_embeddings_are_of_length_one_and_batches_do_not_matter(whole: Path) -> None:
    clip = Clip(source=str(whole))
    found = clip.features(pictures())
    assert found.shape == (5, 16)
    assert torch.allclose(found.norm(dim=1), torch.ones(5))
    few = Clip(source=str(whole), batch=2)
    assert torch.allclose(few.features(pictures()), found, atol=1e-5)
    assert torch.allclose(few.texts((*TEXTS, "x")), clip.texts((*TEXTS, "x")), atol=1e-5)
    assert clip.features(pictures(0)).shape == clip.texts(()).shape == (0, 16)


def test_a_clip_in_two_parts_is_the_same_clip(whole: Path, parts: Path) -> None:
    one, other = Clip(source=str(whole)), Clip(source=str(parts))
    assert not any(key.startswith("text_model") for key in load_file(parts / "model.safetensors"))
    state = torch.get_rng_state()
    assert torch.allclose(other.features(pictures()), one.features(pictures()), atol=0.01)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.allclose(other.texts(TEXTS), one.texts(TEXTS), atol=0.01)
    assert other.scale == pytest.approx(one.scale, rel=1e-3)
    assert not any(w.requires_grad or w.dtype != torch.float32 for w in other.model.parameters())


def test_another_text_tower_is_refused_and_is_another_digest(parts: Path) -> None:
    before = Clip(source=str(parts)).digest
    assert Clip(source=str(parts)).digest == before
    file = parts.parent / "text" / "model.safetensors"
    tensors = load_file(file)
    save_file({k: v + 1 for k, v in tensors.items()}, file)
    assert Clip(source=str(parts)).digest != before
    with pytest.raises(BadFile, match="was trained with"):
        Clip(source=str(parts)).texts(TEXTS)
    file.unlink()
    with pytest.raises(BadFile, match="was trained with"):
        Clip(source=str(parts)).texts(TEXTS)


def test_weights_of_another_clip_are_refused(parts: Path) -> None:
    tensors = load_file(parts / "model.safetensors")
    tensors.pop("visual_projection.weight")
    save_file(tensors, parts / "model.safetensors")
    with pytest.raises(BadFile, match="visual_projection"):
        Clip(source=str(parts)).features(pictures())


def test_only_the_towers_own_text_tower_is_left_out(whole: Path, parts: Path) -> None:
    text = parts.parent / "text"
    tensors = load_file(text / "model.safetensors")
    save_file({k: v + 1 for k, v in tensors.items()}, text / "model.safetensors")
    with quietly(), pytest.raises(UserError, match="the text tower of the CLIP"):
        save_clip(CLIPModel.from_pretrained(whole), parts, text, whole)


def test_the_shipped_text_tower_is_the_models_own_byte_for_byte(shipped_clip: Path) -> None:
    towers = json.loads((shipped_clip / TOWERS).read_text())
    assert (shipped_clip / towers["text_encoder"]).resolve() == ASSETS / "emoji" / "text_encoder"
    found = Clip(source=str(shipped_clip)).texts(["a cat", "a kitten", "a truck"])
    assert float(found[0] @ found[1]) > float(found[0] @ found[2]) + 0.2


def test_a_folder_that_was_moved_says_what_is_missing(shipped_clip: Path, tmp_path: Path) -> None:
    shutil.copytree(shipped_clip, tmp_path / "clip")
    with pytest.raises(BadFile, match="side by side"):
        Clip(source=str(tmp_path / "clip")).texts(TEXTS)


@pytest.fixture
def shipped_clip() -> Path:
    return ASSETS / "clip"
