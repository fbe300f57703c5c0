"""Attacks with real words hand over texts that are read back as the very tokens meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from tests import tiny
from tests.attacks.toy import told

from excise import registry
from excise.attacks.base import Attack
from excise.models.load import of_pipeline
from excise.registry import build
from excise.rng import generator
from excise.types import Concept, Prompt

ATTACKS: Mapping[str, Mapping[str, object]] = {
    "unlearn_diff": {}, "p4d": {"variant": "N"}, "p4d ": {"variant": "K"}, "ring_a_bell": {},
    "enumerate": {},
}  # fmt: skip
# Of words that every tiny encoder knows, so that each is one token wherever it stands.
PROMPTS = Prompt.of(["a photo of a cat", "the tree in red"])


@pytest.fixture(scope="module", params=["sd1", "sdxl", "sd3"])
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


@pytest.mark.parametrize("name", ATTACKS)
def test_texts_are_read_back_as_the_tokens_meant(
    name: str, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls: type[Attack] = registry.get("attack", name.strip())
    attack = build(cls, {**cls.smallest, **ATTACKS[name]})
    pictures = torch.rand(6, 3, 16, 16, generator=generator("cats"))
    cat = Concept("cat", templates=("{a}",), pictures=pictures)
    base = model.copied()
    hunt = attack.search(model, (cat,), PROMPTS, base=base)
    lexicon = model.lexicon()
    place = {word: i for i, word in enumerate(lexicon.words)}
    found = list(told(hunt, lambda many: (False,) * len(many)))
    texts = {one.prompts[0].text for many in found for one in many}
    assert not any(one.prompts[0].soft for many in found for one in many)
    assert not any(one.condition for many in found for one in many)
    for text in texts:
        meant = [place[word] for word in text.split()]
        for encoder, tokens in model.encode(text).tokens.items():
            last = int(tokens.mask[0].sum()) - 1
            got = tokens.ids[0, last - len(meant) : last]
            assert torch.equal(got, lexicon.ids[encoder][meant]), (text, encoder)


@pytest.mark.parametrize("name", ["unlearn_diff", "p4d", "ring_a_bell"])
def test_no_more_words_than_are_read(name: str) -> None:
    model = of_pipeline(tiny.stable_diffusion(), "tiny")  # reads 14 tokens
    cls: type[Attack] = registry.get("attack", name)
    field = "length" if name == "ring_a_bell" else "tokens"
    attack = build(cls, {**cls.smallest, **ATTACKS[name], field: 40})
    pictures = torch.rand(6, 3, 16, 16, generator=generator("cats"))
    cat = Concept("cat", templates=("{a}",), pictures=pictures)
    hunt = attack.search(model, (cat,), PROMPTS, base=model.copied())
    last = list(told(hunt, lambda many: (False,) * len(many)))[-1]
    tokens = model.encode([one.prompts[0].text for one in last]).tokens["text_encoder"]
    assert [len(spans) for spans in tokens.spans] == [14, 14]
