from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from excise import registry
from excise.emoji import judging
from excise.errors import BadFile, UnknownName
from excise.judges.classifier import Classifier
from excise.models.quiet import quietly
from excise.rng import isolated

with quietly():
    from transformers import ResNetConfig, ResNetForImageClassification

LABELS = ("cat", "dog", "other", "nothing", "plain", "sketch")


def save(folder: Path, problem: str | None = "multi_label_classification") -> Path:
    config = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8],
        depths=[1],
        layer_type="basic",
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
        problem_type=problem,
    )
    with isolated(0):
        model = ResNetForImageClassification(config)
    model.save_pretrained(folder)
    size = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(size))
    (folder / "thresholds.json").write_text('{"cat": 0.8}')
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("judge"))


def pictures(n: int = 5) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()


def test_several_labels_are_independent_and_one_label_is_exclusive(
    folder: Path, tmp_path: Path
) -> None:
    several = Classifier(folder=str(folder)).scores(pictures())
    assert several.shape == (5, len(LABELS))
    assert not torch.allclose(several.sum(dim=1), torch.ones(5))
    one = Classifier(folder=str(save(tmp_path, "single_label_classification"))).scores(pictures())
    assert torch.allclose(one.sum(dim=1), torch.ones(5))


def test_batches_and_number_formats_do_not_matter(folder: Path) -> None:
    whole = Classifier(folder=str(folder)).scores(pictures())
    parts = Classifier(folder=str(folder), batch=2).scores(pictures().float() / 255)
    assert torch.allclose(whole, parts, atol=1e-5)
    assert Classifier(folder=str(folder)).scores(pictures(0)).shape == (0, len(LABELS))


def test_labels_thresholds_and_things_come_from_the_folder(folder: Path) -> None:
    judge = registry.create("judge", "classifier", {"folder": str(folder)})
    assert judge.labels == LABELS
    assert judge.things == ("cat", "dog", "other")
    assert judge.thresholds["cat"] == 0.8
    assert judge.score(pictures(), "dog").threshold == 0.5
    assert judge.title == folder.name
    with pytest.raises(UnknownName):
        judge.score(pictures(), "castle")


def test_another_threshold_is_another_judge(tmp_path: Path) -> None:
    save(tmp_path)
    before = Classifier(folder=str(tmp_path)).digest
    assert Classifier(folder=str(tmp_path)).digest == before
    (tmp_path / "thresholds.json").write_text('{"cat": 0.7}')
    assert Classifier(folder=str(tmp_path)).digest != before


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="image classifier saved by transformers"):
        Classifier(folder=str(tmp_path)).scores(pictures())


def test_the_embedded_judges_labels_are_in_the_order_that_says_what_a_thing_is() -> None:
    """Things, "nothing", then styles and marks: what `Labelled.things` relies on."""
    before = judging.LABELS[: judging.LABELS.index("nothing")]
    assert before == judging.THINGS
    assert not {"plain", "sketch", "watermark"} & set(before)
