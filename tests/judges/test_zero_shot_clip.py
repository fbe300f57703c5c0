from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests import tiny

from excise.errors import BadFile, BadSetting
from excise.judges.zero_shot_clip import ZeroShotClip
from excise.models.quiet import quietly
from excise.rng import isolated

with quietly():
    from transformers import CLIPConfig, CLIPModel

COLOURS = {"red": (1.0, 0.0, 0.0), "tree": (0.0, 1.0, 0.0)}


def save(folder: Path) -> Path:
    """A tiny CLIP that was taught for a moment which colour a word means."""
    tokenizer = tiny.clip_tokenizer()
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": tiny.LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    with isolated(0):
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
        adam = torch.optim.Adam(model.parameters(), lr=3e-3)
        ids = tokenizer(
            ["a red", "a tree"], padding="max_length", max_length=tiny.LENGTH, return_tensors="pt"
        ).input_ids
        for _ in range(60):
            x = paint(*COLOURS) * 2 - 1
            x = x + 0.2 * torch.randn(x.shape)
            loss = model(input_ids=ids, pixel_values=x, return_loss=True).loss
            adam.zero_grad()
            loss.backward()
            adam.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"size": {"height": 16, "width": 16}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(size))
    return folder


def paint(*names: str, side: int = 16) -> torch.Tensor:
    rows = [torch.tensor(COLOURS[name])[:, None, None].expand(3, side, side) for name in names]
    return torch.stack(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("clip"))


def test_the_text_that_fits_has_the_largest_share(folder: Path) -> None:
    judge = ZeroShotClip(folder=str(folder), names=("red", "tree"), rest=("x",), templates=("{a}",))
    scores = judge.scores(paint("red", "tree", "tree", side=24))
    assert judge.labels == ("red", "tree", "nothing")
    assert scores[:, :2].argmax(dim=1).tolist() == [0, 1, 1]
    assert torch.allclose(scores.sum(dim=1), torch.ones(3))
    assert judge.things == ("red", "tree")


def test_texts_for_everything_else_take_from_the_names(folder: Path) -> None:
    few, many = (
        ZeroShotClip(folder=str(folder), names=("red",), rest=rest, templates=("{a}",))
        for rest in (("x",), ("x", "tree"))
    )
    picture = paint("tree")
    assert float(many.scores(picture)[0, 0]) < float(few.scores(picture)[0, 0])
    assert float(many.scores(picture)[0, 1]) > float(few.scores(picture)[0, 1])


def test_thresholds_are_recorded(folder: Path, tmp_path: Path) -> None:
    judge = ZeroShotClip(folder=str(folder), names=("red",), threshold=0.3)
    assert judge.score(paint("red"), "red").threshold == 0.3
    other = ZeroShotClip(folder=str(folder), names=("red",), threshold=0.4)
    assert judge.digest != other.digest
    own = save(tmp_path)
    (own / "thresholds.json").write_text('{"red": 0.71}')
    assert ZeroShotClip(folder=str(own), names=("red", "tree")).thresholds["red"] == 0.71


def test_mistakes_are_explained(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="different names"):
        ZeroShotClip(folder=str(folder), names=("red", "red"))
    with pytest.raises(BadSetting, match="different names"):
        ZeroShotClip(folder=str(folder), names=("red", "nothing"))
    with pytest.raises(BadSetting, match="everything else"):
        ZeroShotClip(folder=str(folder), names=("red",), rest=())
    with pytest.raises(BadSetting, match="threshold"):
        ZeroShotClip(folder=str(folder), names=("red",), threshold=1.0)
    with pytest.raises(BadFile, match="CLIP saved by transformers"):
        ZeroShotClip(folder=str(tmp_path), names=("red",)).scores(paint("red"))


def test_a_checkpoint_must_say_what_its_pictures_look_like(tmp_path: Path) -> None:
    (save(tmp_path) / "preprocessor_config.json").unlink()
    with pytest.raises(BadFile, match=r"preprocessor_config\.json"):
        ZeroShotClip(folder=str(tmp_path), names=("red",)).scores(paint("red"))
