from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from excise import registry
from excise.emoji import judging
from excise.errors import BadFile, UnknownName, Unsupported
from excise.judges.classifier import Classifier, Live, Pipeline
from excise.models.quiet import quietly
from excise.primitives.clip import extractors
from excise.rng import isolated

with quietly():
    from transformers import ResNetConfig, ResNetForImageClassification

LABELS = ("cat", "dog", "other", "nothing", "plain", "sketch")


def save(
    folder: Path,
    problem: str | None = "multi_label_classification",
    labels: tuple[str, ...] = LABELS,
) -> Path:
    config = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8],
        depths=[1],
        layer_type="basic",
        id2label=dict(enumerate(labels)),
        label2id={name: i for i, name in enumerate(labels)},
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


def test_a_checkpoint_that_says_nothing_of_labels_gives_one_a_picture(tmp_path: Path) -> None:
    scores = Classifier(folder=str(save(tmp_path, None))).scores(pictures())
    assert torch.allclose(scores.sum(dim=1), torch.ones(5))


def test_of_a_list_of_names_the_first_one_counts(tmp_path: Path) -> None:
    lists = ("tench, Tinca tinca", "cat, domestic cat", "crane, bird", "crane", "dog, hound", "x")
    judge = Classifier(folder=str(save(tmp_path, None, lists)))
    assert judge.labels == ("tench", "cat", "crane, bird", "crane", "dog", "x")
    assert judge.score(pictures(), "cat").threshold == 0.8


def test_features_are_what_the_last_layer_reads(folder: Path) -> None:
    judge = Classifier(folder=str(folder), batch=2)
    found = judge.features(pictures())
    assert found.shape == (5, 8)
    last = judge.model.classifier[-1]
    assert torch.allclose(last(found).sigmoid(), judge.scores(pictures()), atol=1e-5)
    assert judge.features(pictures(0)).shape == (0, 8)
    assert not last._forward_pre_hooks


def test_a_network_that_ends_in_no_linear_layer_has_no_features(folder: Path) -> None:
    judge = Classifier(folder=str(folder))
    judge.model.classifier[-1] = torch.nn.Conv1d(8, len(LABELS), 1)
    with pytest.raises(Unsupported, match="ends in a linear layer"):
        judge.features(pictures())
    assert extractors(judge, object()) == {}
    assert list(extractors(Classifier(folder=str(folder)), object())) == ["features"]


def test_a_live_pipeline_judges_as_its_checkpoint_does(folder: Path) -> None:
    saved = Classifier(folder=str(folder))
    text = (folder / "preprocessor_config.json").read_text()
    model = saved.model.half().train()
    pipeline = SimpleNamespace(
        model=model, image_processor=SimpleNamespace(to_json_string=lambda: text)
    )
    live = Live(pipeline=pipeline)
    assert isinstance(pipeline, Pipeline)
    assert not isinstance(saved, Pipeline)
    fresh = Classifier(folder=str(folder))
    assert torch.allclose(live.scores(pictures()), fresh.scores(pictures()), atol=0.01)
    assert live.features(pictures()).shape == (5, 8)
    assert live.score(pictures(), "cat").threshold == 0.5
    assert model.training  # left as it was
    assert model.dtype == torch.float16
    before = live.digest
    assert Live(pipeline=pipeline).digest == before
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert Live(pipeline=pipeline).digest != before


def test_no_code_that_comes_with_a_checkpoint_is_run(tmp_path: Path) -> None:
    config = json.loads((save(tmp_path) / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(BadFile, match="image classifier"):
        Classifier(folder=str(tmp_path)).scores(pictures())
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="image classifier saved by transformers"):
        Classifier(folder=str(tmp_path)).scores(pictures())


def test_the_embedded_judges_labels_are_in_the_order_that_says_what_a_thing_is() -> None:
    """Things, "nothing", then styles and marks: what `Labelled.things` relies on."""
    before = judging.LABELS[: judging.LABELS.index("nothing")]
    assert before == judging.THINGS
    assert not {"plain", "sketch", "watermark"} & set(before)


@pytest.mark.parametrize(
    ("quality", "known"),
    [
        ({"cat": {"threshold": 0.8, "false_alarms": 0.004}}, {"cat": 0.004}),
        ({"cat": {"threshold": 0.5, "false_alarms": 0.004}}, {}),  # measured at another cut
        ({"cat": {"threshold": 0.8}, "whale": {"threshold": 0.5, "false_alarms": 0.1}}, {}),
        ({"cat": {"threshold": 0.8, "false_alarms": 4}}, {}),
        (["somebody", "else's"], {}),
        (None, {}),
    ],
)
def test_false_alarms_are_those_at_the_threshold_that_counts(
    tmp_path: Path, quality: object, known: dict[str, float]
) -> None:
    save(tmp_path)
    if quality is not None:
        (tmp_path / "quality.json").write_text(json.dumps(quality))
    assert Classifier(folder=str(tmp_path)).false_alarms == known
