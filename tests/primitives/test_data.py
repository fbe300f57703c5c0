from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.errors import BadConcept, BadSetting
from excise.models.load import of_pipeline
from excise.primitives.data import (
    CONTEXTS,
    SHARES,
    Pictures,
    Split,
    concept_pictures,
    parts,
    spread,
)
from excise.rng import generator
from excise.types import Concept, digest

SPLITS: tuple[Split, ...] = get_args(Split)
CAT = Concept("cat", synonyms=("kitten",), templates=("{a}", "red {}"))


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def pictures(n: int) -> Tensor:
    return torch.randint(0, 256, (n, 3, 16, 16), generator=generator("p")).to(torch.uint8)


def drawn(model: Any, n: int = 3, **options: Any) -> Pictures:
    return concept_pictures(model, CAT, n, steps=2, **options)


def test_the_models_own_pictures_can_be_drawn_again(model: Any) -> None:
    first, again = drawn(model), drawn(model)
    assert first.record() == again.record()
    assert torch.equal(first.latents, again.latents)
    assert first.latents.shape == (3, *model.latent_shape)
    assert len(set(first.hashes)) == 3
    shown = model.decode(first.latents[1:2])
    assert digest((shown[0] * 255).round().to(torch.uint8)) == first.hashes[1]


def test_sets_and_seeds_share_no_picture(model: Any) -> None:
    sets = [drawn(model, split=split, seed=seed) for split in SPLITS for seed in (0, 1)]
    hashes = [name for one in sets for name in one.hashes]
    seeds = [seed for one in sets for seed in one.seeds]
    assert len(set(hashes)) == len(hashes)
    assert len(set(seeds)) == len(seeds)


def test_a_record_makes_the_set_again(model: Any) -> None:
    first = drawn(model)
    again = Pictures.of(first.latents, first.record())
    assert again.record() == first.record()
    assert again.prompts == first.prompts


def test_prompts_cover_names_templates_and_contexts_evenly() -> None:
    contexts = ("{}", "{} in style x")
    texts = [p.text for p in spread(CAT, 16, contexts, seed=1)]
    every = {"a cat", "a kitten", "red cat", "red kitten"}
    every |= {text + " in style x" for text in every}
    assert {text: texts.count(text) for text in texts} == dict.fromkeys(every, 2)
    assert set(texts[:8]) == every
    assert texts != [p.text for p in spread(CAT, 16, contexts, seed=2)]
    assert all(context.count("{}") == 1 for context in CONTEXTS)


def test_given_pictures_are_cut_into_disjoint_sets_whatever_the_seed(model: Any) -> None:
    given = pictures(16)
    concept = Concept("cat", pictures=torch.cat([given, given[:4]]))  # some twice
    sets = {s: concept_pictures(model, concept, 99, split=s, seed=1) for s in SPLITS}
    hashes = [name for one in sets.values() for name in one.hashes]
    assert sorted(hashes) == sorted(digest(picture) for picture in given)
    assert len(sets["tau"]) == max(len(one) for one in sets.values())
    assert min(len(one) for one in sets.values()) >= 1
    shuffled = Concept("cat", pictures=given.flip(0))
    for split, one in sets.items():
        other = concept_pictures(model, shuffled, 99, split=split, seed=2)
        assert other.hashes == one.hashes
        assert torch.equal(other.latents, one.latents)
        assert other.seeds == ()
    few = concept_pictures(model, concept, 2, split="tau")
    assert few.hashes == sets["tau"].hashes[:2]
    own = model.encode_pictures(
        given[[i for i, p in enumerate(given) if digest(p) == few.hashes[0]]]
    )
    assert torch.equal(few.latents[:1], own)


@pytest.mark.parametrize("n", [6, 7, 16, 160, 641])
def test_parts_leave_no_picture_out_and_share_none(n: int) -> None:
    found = parts(n)
    assert tuple(found) == SPLITS
    assert [i for own in found.values() for i in own] == list(range(n))
    for name, own in found.items():
        assert abs(len(own) - SHARES[name] * n) <= 2
        assert len(own) >= 1


def test_floating_pictures_count_as_the_same(model: Any) -> None:
    given = pictures(8)
    whole = concept_pictures(model, Concept("cat", pictures=given), 9)
    parts = concept_pictures(model, Concept("cat", pictures=given / 255), 9)
    assert whole.hashes == parts.hashes


def test_mistakes_are_said(model: Any) -> None:
    with pytest.raises(BadConcept, match="at least 6 different pictures of 'cat'.*got 4"):
        concept_pictures(model, Concept("cat", pictures=pictures(4)), 2)
    with pytest.raises(BadSetting, match="n >= 1"):
        drawn(model, 0)
    with pytest.raises(BadSetting, match="in every context"):
        drawn(model, contexts=("{} on a blue background", "a photo"))
    with pytest.raises(BadSetting, match="split"):
        drawn(model, split="held out")
