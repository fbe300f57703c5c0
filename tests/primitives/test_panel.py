from __future__ import annotations

import pytest
import torch
from tests.panels import Plain

from excise.errors import UnknownName
from excise.primitives.panel import NOTHING, Sheet, label_of, labels_of, read, title
from excise.types import Concept


def sheet(rows: list[list[float]], labels: tuple[str, ...] = ("cat", "dog", "nothing", "sketch")):
    return Sheet(
        judge="j",
        labels=labels,
        things=("cat", "dog"),
        values=torch.tensor(rows),
        thresholds={**dict.fromkeys(labels, 0.5), "dog": 0.8},
    )


def test_each_label_has_its_own_threshold() -> None:
    found = sheet([[0.6, 0.7, 0.1, 0.9], [0.4, 0.8, 0.1, 0.1]])
    assert found.shown("cat").tolist() == [True, False]
    assert found.shown("dog").tolist() == [False, True]
    assert found.hits(["dog", "dog"]).tolist() == [False, True]
    assert found.hits(["sketch", "cat"]).tolist() == [True, False]


def test_what_is_drawn_is_the_strongest_thing_that_is_shown() -> None:
    found = sheet(
        [
            [0.6, 0.7, 0.1, 0.9],  # the dog is stronger, but not shown
            [0.6, 0.9, 0.1, 0.9],  # both, and a style, which is no thing
            [0.4, 0.7, 0.1, 0.9],  # neither
            [0.6, 0.7, 0.7, 0.9],  # more likely nothing than a cat
        ]
    )
    assert found.drawn == ("cat", "dog", NOTHING, NOTHING)
    assert found.nothing.tolist() == [False, False, True, True]
    assert found.strongest(("sketch",)) == ("sketch", "sketch", "sketch", "sketch")


def test_other_thresholds_change_the_answers_and_not_the_scores() -> None:
    found = sheet([[0.6, 0.7, 0.1, 0.9]])
    strict = found.at({"cat": 0.65})
    assert not strict.shown("cat")[0]
    assert found.shown("cat")[0]
    assert strict.values is found.values
    with pytest.raises(UnknownName, match="did you mean 'cat'"):
        found.at({"cta": 0.5})


def test_a_sheet_survives_being_kept() -> None:
    found = sheet([[0.6, 0.7, 0.1, 0.9], [0.1, 0.9, 0.1, 0.9]])
    back = Sheet.of(found.values, found.record())
    assert back.drawn == found.drawn
    assert dict(back.thresholds) == dict(found.thresholds)
    assert Sheet.cat([found, back]).take([3, 0]).drawn == ("dog", "cat")


def test_a_judge_that_is_no_panel_is_asked_once_a_label() -> None:
    pictures = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    found = read(Plain(), pictures, ("cat", "dog", "cat"))
    assert found.labels == ("cat", "dog")
    assert found.shown("dog").tolist() == [False, True]
    assert found.drawn == (NOTHING, "cat")


def test_without_a_judge_nothing_is_known() -> None:
    found = read(None, torch.zeros(3, 3, 4, 4))
    assert len(found) == 3
    assert found.labels == ()
    with pytest.raises(UnknownName):
        found.shown("cat")


def test_a_concept_is_found_under_any_of_its_names() -> None:
    class Panel(Plain):
        labels = ("feline", "dog")
        title = "two"

    assert label_of(Panel(), Concept("cat", synonyms=("feline",))) == "feline"
    assert label_of(Plain(), Concept("cat")) == "cat"
    assert labels_of(Plain()) is None
    assert title(Panel()) == "two"
    with pytest.raises(UnknownName, match="judge two"):
        label_of(Panel(), Concept("cat"))
