"""Each metric on a model that was taught a cat and a dog, and on staged faults of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import panels

from excise.metrics.diversity import Diversity
from excise.metrics.drift import Drift
from excise.metrics.kept import KeptRate
from excise.metrics.over_erasure import OverErasure, caption_loss
from excise.metrics.pairs import Pairs
from excise.metrics.plain_use import PlainUse
from excise.metrics.replacement import Replacement, histogram
from excise.primitives.denoising import Bank
from excise.types import Condition, Hook, Prompt, TextToImage

CAT, DOG = panels.CAT, panels.DOG


@pytest.fixture(scope="module")
def model() -> Any:
    return panels.model()


@pytest.fixture(scope="module")
def judge(model: Any) -> panels.Near:
    return panels.near(model)


@pytest.fixture(scope="module")
def erased(model: Any) -> Any:
    """The model's own answer to erasing a cat: it draws a dog."""
    return panels.renamed(model, "cat", "dog")


def test_the_unedited_model_keeps_all(model: Any, judge: panels.Near) -> None:
    found = KeptRate(pictures=6).measure(model, model, CAT, judge=judge)
    assert found["mean"] == 1.0
    assert found["classes"]["dog"]["ratio"] == 1.0
    assert found["classes"]["dog"]["near"]
    assert found["nothing"]["value"] == 0.0
    assert found["nothing"]["edit"] == found["nothing"]["base"]


def test_an_edit_that_only_takes_the_concept_keeps_all(
    model: Any, judge: panels.Near, erased: Any
) -> None:
    found = KeptRate(pictures=6).measure(model, None, CAT, judge=judge, edit=erased)
    assert found["mean"] == 1.0
    plain = PlainUse(pictures=3, ladder=(1.0, 2.0)).measure(
        model, None, CAT, judge=judge, edit=erased
    )
    assert plain["concepts"]["cat"]["edit"]["rate"]["value"] == 0.0
    assert plain["concepts"]["cat"]["base"]["rate"]["value"] > 0.9
    assert plain["concepts"]["cat"]["edit"]["upper"] < 0.2


def test_a_lost_neighbour_is_named(model: Any, judge: panels.Near) -> None:
    edit = panels.renamed(model, "dog", "cat")
    found = KeptRate(pictures=4).measure(model, None, CAT, judge=judge, edit=edit)
    assert found["worst"] == {"name": "dog", "ratio": 0.0}
    assert found["nothing"]["value"] == 0.0  # it draws something, only not that


def test_a_ruined_model_is_not_safe(model: Any, judge: panels.Near) -> None:
    edit = panels.ruined(model)
    plain = PlainUse(pictures=2).measure(model, None, CAT, judge=judge, edit=edit)
    assert plain["concepts"]["cat"]["edit"]["rate"]["value"] == 0.0  # as if erased
    found = KeptRate(pictures=4).measure(model, None, CAT, judge=judge, edit=edit)
    assert found["mean"] == 0.0
    assert found["nothing"]["edit"] == 1.0
    assert found["nothing"]["value"] > 0.9


def test_one_picture_for_all_prompts_is_caught(model: Any, judge: panels.Near) -> None:
    collapsed: Any = panels.Collapsed(model)
    kept = KeptRate(pictures=6).measure(collapsed, model, CAT, judge=judge)
    assert kept["mean"] == 1.0  # every picture shows a dog, which is all that is to be kept
    found = Diversity(pictures=6).measure(collapsed, model, CAT, judge=judge)
    assert found["edit"]["distance"] == 0.0
    assert found["base"]["distance"] > 0.0
    assert found["ratio"] == 0.0


def test_diversity_counts_kinds(model: Any, judge: panels.Near) -> None:
    found = Diversity(pictures=6).measure(model, model, CAT, judge=judge)
    assert found["ratio"] == 1.0
    assert found["base"]["kinds"] == pytest.approx(1.0)
    silent = Diversity(pictures=6).measure(model, None, CAT)
    assert silent["edit"]["kinds"] is None


def test_drift_is_where_the_edit_is(model: Any, judge: panels.Near, erased: Any) -> None:
    same = Drift(pictures=3).measure(model, model, CAT, judge=judge)
    assert all(group["value"] == 0.0 for group in same["edit"].values())
    found = Drift(pictures=3).measure(model, None, CAT, judge=judge, edit=erased)["edit"]
    assert found["concept"]["value"] > 0.01
    assert found["neighbours"]["value"] == found["empty prompt"]["value"] == 0.0
    assert set(found) == {"concept", "neighbours", "empty prompt"}
    assert Drift().measure(model, None, CAT, judge=judge) == {}


def test_what_comes_in_the_concepts_place(model: Any, judge: panels.Near, erased: Any) -> None:
    found = Replacement(pictures=3).measure(
        model, None, CAT, judge=judge, edit=erased, oracle=panels.Collapsed(model)
    )["concepts"]["cat"]
    assert found["edit"]["counts"] == {"dog": 9}
    assert found["edit"]["largest_share"] == found["edit"]["kinds"] == 1.0
    assert found["base"]["concept"] > 0.9
    assert found["oracle"]["largest"] == "dog"


def test_a_spread_has_more_kinds_than_a_single_answer() -> None:
    spread = histogram(["dog", "bird", "car", "nothing", "cat"], "cat")
    assert spread["kinds"] == pytest.approx(4.0)
    assert spread["concept"] == 0.2
    skewed = histogram(["dog"] * 9 + ["bird"], "cat")
    assert 1.0 < skewed["kinds"] < 1.5
    assert list(skewed["counts"]) == ["dog", "bird"]
    assert histogram(["cat"], "cat")["kinds"] == 0.0
    assert histogram([], "cat")["largest"] is None


def test_pairs_ask_about_both(model: Any, judge: panels.Near) -> None:
    same = Pairs(pictures=4).measure(model, model, CAT, judge=judge)["concepts"]["cat"]
    assert same["pictures"] == 4
    shown = same["concept"]["base"]["value"], same["other"]["base"]["value"]
    assert sum(shown) == pytest.approx(1.0)  # this judge sees one of two
    assert same["both"]["base"] == 0.0
    if shown[1] > 0:
        assert same["kept by edit"]["mean"] == 1.0
    ruined = Pairs(pictures=4).measure(model, None, CAT, judge=judge, edit=panels.ruined(model))
    found = ruined["concepts"]["cat"]
    assert found["concept"]["base"]["value"] == shown[0]
    assert found["concept"]["edit"]["value"] == found["other"]["edit"]["value"] == 0.0


def test_the_loss_says_where_the_concept_has_gone(model: Any, erased: Any) -> None:
    measure = OverErasure(pictures=8, entries=8)
    same = measure.measure(model, model, CAT)["concepts"]["cat"]
    gap = same["named"]["edit - base"]
    assert gap["value"] == gap["low"] == gap["high"] == 0.0
    found = measure.measure(model, None, CAT, edit=erased, oracle=model)["concepts"]["cat"]
    assert found["named"]["edit - base"]["low"] > 0.0
    assert found["named"]["edit - oracle"] == found["named"]["edit - base"]
    assert found["empty"]["edit - base"]["value"] == 0.0  # the network itself is unchanged
    assert len(found["hashes"]) == found["pictures"] == 8


def test_a_ruined_network_explains_nothing(model: Any) -> None:
    found = OverErasure(pictures=8).measure(model, None, CAT, edit=panels.ruined(model))
    assert found["concepts"]["cat"]["empty"]["edit - base"]["low"] > 1.0


class Listening(Hook):
    """Changes nothing, and remembers the words that it was told."""

    def __init__(self) -> None:
        self.told: set[str] = set()

    def condition(
        self,
        model: TextToImage,
        prompts: tuple[Prompt, ...],
        cond: Condition,
        null: Condition | None,
    ) -> tuple[Condition, Condition | None]:
        self.told |= {prompt.text for prompt in prompts}
        return cond, null


def test_a_guard_that_reads_the_words_is_told_them(model: Any) -> None:
    hook, latents = Listening(), torch.zeros(2, *model.latent_shape)
    with model.hooked([hook]):
        caption_loss(model, latents, (Prompt("a cat"), Prompt("")), Bank.of(latents, 4))
    assert hook.told == {"a cat", ""}
