from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.errors import Unsupported
from excise.models.load import of_pipeline
from excise.primitives.prompts import COMMON_OBJECTS
from excise.primitives.readers import Mention, empty_states, pairs, readings, states
from excise.primitives.swaps import mentions, names, retained, swaps
from excise.types import Concept

KV = ("key", "value")


@pytest.fixture(scope="module")
def sd() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "sd")


@pytest.fixture(scope="module")
def sd3() -> Any:
    return of_pipeline(tiny.sd3(), "sd3")


def test_weights_that_read_the_same_are_solved_for_together(sd: Any, sd3: Any) -> None:
    (group,) = readings(sd, KV, "m")
    assert set(group.weights) == {p.weight for p in sd.text_projections()}
    assert (group.feature, group.width) == ("hidden", 32)
    (values,) = readings(sd, ("value", "context"), "m")
    assert values.weights == tuple(n for n in group.weights if ".to_v." in n)
    context, pooled = readings(sd3, ("value", "context", "pooled"), "m")
    assert context.weights == ("transformer.context_embedder.weight",)
    assert (context.width, pooled.width, pooled.feature) == (64, 56, "pooled")
    with pytest.raises(Unsupported, match="m: expected .* key or value, .* context, pooled"):
        readings(sd3, KV, "m")


def test_a_weight_may_be_wider_than_what_it_reads() -> None:
    sdxl = of_pipeline(tiny.sdxl(), "sdxl")
    hidden, pooled = readings(sdxl, (*KV, "pooled"), "m")
    assert (hidden.width, pooled.width) == (56, 20)
    assert sdxl.parameters("*")[pooled.weights[0]].shape[1] > 20
    (found,) = states(sdxl, pooled, [Mention("a cat"), Mention("")], "tail")
    assert torch.equal(found, sdxl.encode(["a cat", ""]).tensors["pooled"].double())


def test_which_states_are_chosen(sd: Any) -> None:
    (group,) = readings(sd, KV, "m")
    prompt = Mention("a cat in red style", "cat")
    hidden = sd.encode([prompt.text]).hidden[0].double()  # begin a cat in red style end pad ...
    rows = {"last": [2], "tail": [2, 3, 4, 5, 6], "padded_tail": range(2, 16),
            "words": range(1, 16), "all": range(16)}  # fmt: skip
    for choice, wanted in rows.items():
        (found,) = states(sd, group, [prompt], choice)  # type: ignore[arg-type]
        assert torch.equal(found, hidden[list(wanted)]), choice
    (last,) = states(sd, group, [Mention("a red cat"), Mention("")], "last")
    both = sd.encode(["a red cat", ""]).hidden.double()
    assert torch.equal(last, torch.stack([both[0, 3], both[1, 0]]))


def test_pairs_go_from_subject_to_subject_until_one_ends(sd: Any) -> None:
    (group,) = readings(sd, KV, "m")
    given = [(Mention("a photo of a cat", "cat"), Mention(""))]
    there = sd.encode(["a photo of a cat", ""]).hidden.double()
    for choice, (a, b) in {
        "last": ([5], [0]),
        "tail": ([5, 6], [0, 1]),
        "padded_tail": (range(5, 16), range(11)),
        "all": (range(16), range(16)),
    }.items():
        ((sources, targets),) = pairs(sd, group, given, choice)  # type: ignore[arg-type]
        assert torch.equal(sources, there[0, list(a)]), choice
        assert torch.equal(targets, there[1, list(b)]), choice


@torch.no_grad()
def test_every_sequence_of_tokens_has_its_own_subject(sd3: Any) -> None:
    context, _ = readings(sd3, ("context", "pooled"), "m")
    (found,) = states(sd3, context, [Mention("a cat")], "last")
    hidden = sd3.encode("a cat").hidden[0].double()  # CLIP: begin a cat end; T5, from 16: a cat end
    assert torch.allclose(found, hidden[[2, 16 + 1]], atol=1e-5)
    assert not torch.allclose(found[1], hidden[16], atol=0.1)
    clip, t5 = empty_states(sd3, context)
    assert (len(clip), len(clip) + len(t5)) == (16, len(hidden))


def test_many_prompts_come_in_batches(sd: Any) -> None:
    (group,) = readings(sd, KV, "m")
    texts = [Mention(f"a cat {i}", "cat") for i in range(70)]
    parts = list(states(sd, group, texts, "last"))
    assert [len(p) for p in parts] == [64, 6]
    assert torch.allclose(parts[1][0], next(states(sd, group, texts[64:65], "last"))[0], atol=1e-5)
    both = list(pairs(sd, group, [(text, Mention("")) for text in texts], "last"))
    assert [(len(a), len(b)) for a, b in both] == [(64, 64), (6, 6)]
    assert torch.allclose(torch.cat([a for a, _ in both]), torch.cat(parts), atol=1e-5)


CAT = Concept("cat", synonyms=("kitten",), held_back=("kitty",), neighbours=("big cat", "dog"))
INK = Concept("ink", kind="style")


def test_a_guide_is_the_given_one_the_anchor_or_that_of_the_kind() -> None:
    def said(*concepts: Concept, **options: Any) -> list[tuple[str, str]]:
        return [(a.text, b.text) for a, b in swaps(concepts, "m", **options)]

    assert said(CAT, INK) == [("cat", ""), ("kitten", ""), ("ink", "art")]
    assert said(Concept("cat", anchor="dog")) == [("cat", "dog")]
    assert said(Concept("cat", anchor="dog"), guide="") == [("cat", "")]
    assert len(said(CAT, paraphrases=True)) == 12
    assert ("style of ink", "art") in said(INK, paraphrases=True)
    with pytest.raises(Unsupported, match="m: expected concepts that prompts name, got 'mark'"):
        swaps((Concept("mark", kind="implicit"),), "m")


def test_what_is_kept_names_nothing_that_goes(sd: Any) -> None:
    found = [m.text for m in retained(sd, (CAT, INK), "kept", paraphrases=True)]
    assert found[0] == ""
    assert {"dog", "photo of dog", *COMMON_OBJECTS} - set(found) == {"cat"}
    assert not any(names(text, "cat") for text in found)  # nor the neighbour "big cat"
    assert len(set(found)) == len(found)
    assert [m.text for m in retained(sd, (CAT,), "empty")] == [""]
    assert retained(sd, (CAT,), "none") == ()
    assert names("a Big Cat here", "big cat")
    assert not names("a bigcat", "cat")
    assert mentions(INK)[0] == Mention("ink", "ink")
