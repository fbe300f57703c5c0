from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from tests.attacks.toy import told
from tests.trained import World, world

from excise.attacks import enumerate as module
from excise.attacks.enumerate import Enumerate
from excise.errors import BadSetting
from excise.primitives.denoising import Bank, concept_loss
from excise.primitives.vocabulary import Vectors
from excise.types import Concept, Prompt, Request

CAT = (Concept("cat"),)
PROMPTS = Prompt.of(["a photo", "the"])
SMALL = Enumerate(restarts=5, bank=6, template="a {}")


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@pytest.fixture(autouse=True)
def _pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latents as they are: the tiny autoencoder is not trained."""
    monkeypatch.setattr(module, "attackers_latents", lambda *_, **__: world().latents["cat"])


def texts(w: World, attack: Enumerate) -> list[str]:
    """What it hands over, best first; the same for every prompt."""

    def nobody(many: tuple[Request, ...]) -> tuple[bool, ...]:
        assert len({one.prompts[0].text for one in many}) == 1
        return (False,) * len(many)

    found = list(told(attack.search(w.model, CAT, PROMPTS), nobody))
    return [many[0].prompts[0].text for many in found]


def losses(w: World, some: list[str]) -> list[float]:
    """The loss of texts, without the attack's code."""
    cond = w.model.encode(some).detach()
    bank = Bank.of(w.latents["cat"], 6)
    return concept_loss(w.model, w.latents["cat"], cond, bank).mean(dim=1).tolist()


def test_every_word_is_tried_once_and_the_best_come_first(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 20)
    everything = [f"a {word}" for word in w.model.lexicon().words]
    found = texts(w, replace(SMALL, restarts=1000))
    assert Counter(found) == Counter(everything)
    own = losses(w, found)
    assert all(b >= a * (1 - 1e-4) for a, b in pairwise(own))
    assert texts(w, SMALL) == found[:5]
    assert found.index("a cat") < found.index("a dog")


def test_pairs_are_made_of_the_best_words_only_and_the_best_are_kept(w: World) -> None:
    singles = texts(w, replace(SMALL, restarts=3))
    kept = [text[2:] for text in singles]
    found = texts(w, replace(SMALL, tokens=2, keep=3, restarts=1000))
    words = len(w.model.lexicon())
    pairs = [text for text in found if len(text.split()) == 3]
    assert len(found) == words + 9
    assert set(pairs) == {f"a {x} {y}" for x in kept for y in kept}
    own = losses(w, found)
    assert all(b >= a * (1 - 1e-4) for a, b in pairwise(own))
    # Two words are never worse than one, since single words stand beside the pairs.
    assert own[0] <= losses(w, singles)[0] * (1 + 1e-4)


def test_losses_are_those_of_the_texts(w: World) -> None:
    vectors = Vectors.of(w.model)
    rows = torch.tensor([[3, 7], [50, 1], [4, 4]])
    ranked = SMALL.ranked(w.model, vectors, w.latents["cat"], rows)
    assert [loss for loss, _ in ranked] == sorted(loss for loss, _ in ranked)
    some = ["a " + vectors.lexicon.text(words) for _, words in ranked]
    assert [loss for loss, _ in ranked] == pytest.approx(losses(w, some), rel=1e-3)


def test_no_gradient_is_taken(w: World) -> None:
    before = w.model.costs
    texts(w, SMALL)
    spent = w.model.costs - before
    assert spent.gradients == 0
    assert spent.evaluations == 6 * len(w.model.lexicon())


def test_bad_values_are_refused() -> None:
    for bad in ({"tokens": 3}, {"keep": 0}, {"restarts": 0}, {"bank": 0}, {"template": "a"}):
        with pytest.raises(BadSetting, match="enumerate"):
            replace(SMALL, **bad)  # type: ignore[arg-type]
