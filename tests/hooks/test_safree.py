from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

import excise
from excise.errors import BadSetting
from excise.hooks.safree import SAFREE
from excise.hooks.words import outliers, within, words_of
from excise.models.load import of_pipeline
from excise.primitives.bands import banded
from excise.rng import generator, noise
from excise.types import Condition, Prompt, Step

PHRASES = ("cat", "dog")
GUARD = SAFREE(phrases=PHRASES)


@pytest.fixture(scope="module", params=["sd1", "sdxl", "sd3"])
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


@pytest.fixture(scope="module")
def sd() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "sd1")


@pytest.fixture(scope="module")
def emoji() -> Any:
    return excise.load("emoji")


@torch.no_grad()
def asked(model: Any, hook: SAFREE, *texts: str) -> tuple[Condition, Tensor, Tensor]:
    """The condition, and what the hook puts beside it: (n, L, d), and (n,) t' before rounding."""
    cond = model.encode(texts)
    mapped, _ = hook.condition(model, Prompt.of(texts), cond, None)
    (change,) = (v for name, v in mapped.tensors.items() if name.endswith("of-hidden"))
    (steps,) = (v for name, v in mapped.tensors.items() if name.endswith("of-steps"))
    return cond, change, steps[:, 0]


@torch.no_grad()
def by_the_paper(pipeline: Any, text: str, alpha: float = 0.01) -> tuple[Tensor, float]:
    """Token states (L, d) with all triggers replaced, and b: dense, in float64, token by token.

    With the encoder's own pooled output and P = E (E^T E)^+ E^T, of columns.
    """

    def pooled(ids: Tensor) -> Tensor:
        out: Tensor = pipeline.text_encoder(ids).pooler_output
        return out.double().mT  # (d, n)

    def projector(columns: Tensor) -> Tensor:
        gram = torch.linalg.pinv(columns.mT @ columns, rtol=1e-9, hermitian=True)
        return columns @ gram @ columns.mT

    def ids_of(*texts: str) -> Tensor:
        tokenizer = pipeline.tokenizer
        found = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
        ids: Tensor = found.input_ids
        return ids

    ids = ids_of(text)
    m = int((ids[0] == pipeline.tokenizer.eos_token_id).nonzero()[0]) - 1  # ordinary tokens
    masked = ids.repeat(m, 1)
    masked[torch.arange(m), torch.arange(m) + 1] = int(ids_of("!")[0, 1])
    p_i, p_c = projector(pooled(masked)), projector(pooled(ids_of(*PHRASES)))
    identity = torch.eye(len(p_c), dtype=torch.float64)
    e = pipeline.text_encoder(ids).last_hidden_state[0].double()  # (L, d)
    safe = ((identity - p_c) @ p_i @ e.mT).mT
    d = ((identity - p_c) @ pooled(masked)).norm(dim=0)
    out = e.clone()
    for i in range(m):
        rest = [float(d[j]) for j in range(m) if j != i]
        if float(d[i]) >= (1 + alpha) * sum(rest) / len(rest):
            out[i + 1] = safe[i + 1]
    cosines = torch.nn.functional.cosine_similarity(safe, e)[: m + 2]
    return out, 1 - float(cosines.mean())


TEXTS = ("a photo of a cat", "the red dog in a tree", "x in the style of a picture")


@pytest.mark.parametrize("text", TEXTS)
def test_it_is_what_the_paper_computes(sd: Any, text: str) -> None:
    expected, b = by_the_paper(sd.pipeline, text)
    cond, change, steps = asked(sd, GUARD, text)
    found = (cond.hidden + change)[0].double()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert 0 < int(change[0].any(dim=1).sum()) < len(text.split())  # some words, not all
    t = 10 / (1 + math.exp(-2 * 2.5 * (10 * b - 5.333)))
    assert float(steps) == pytest.approx(t, rel=1e-3, abs=1e-3)


def test_a_prompt_without_the_concept_is_left_as_it_is(emoji: Any) -> None:
    """On a trained text encoder: the filter gives steps to prompts of the concept alone."""
    guard = SAFREE(phrases=("cat", "kitten"))
    _, _, own = asked(emoji, guard, "a cat", "a photo of a cat", "a kitten on a blue background")
    assert int(own.round().min()) > 0
    others = ("a dog", "a photo of a dog", "an apple", "a church in sketch style", "a red house")
    _, _, steps = asked(emoji, guard, *others)
    assert int(steps.round().sum()) == 0


def test_the_word_itself_is_a_trigger(emoji: Any) -> None:
    for text in ("a cat", "a photo of a cat", "a picture of a cat on a blue background"):
        cond, change, _ = asked(emoji, SAFREE(phrases=("cat",)), text)
        (tokens,) = cond.tokens.values()
        start, stop = tokens.find(0, "cat") or (0, 0)
        assert bool(change[0, start:stop].any(dim=1).all())


def test_nothing_of_the_concept_is_left_in_a_trigger(model: Any) -> None:
    concept = model.encode(PHRASES)
    cond, change, _ = asked(model, GUARD, *TEXTS)
    encoder, tokens = next(iter(cond.tokens.items()))
    length = tokens.ids.shape[1]
    end = concept.tokens[encoder].mask.sum(1) - 1
    away = concept.hidden[torch.arange(len(end)), end]  # (phrases, d)
    hit = change[:, :length].any(dim=-1)  # (n, L)
    assert hit.any()
    before, after = cond.hidden[:, :length][hit], (cond.hidden + change)[:, :length][hit]
    inside = within(after, away).norm(dim=-1) / after.norm(dim=-1)
    assert inside.max() < 1e-3
    assert (within(before, away).norm(dim=-1) / before.norm(dim=-1)).min() > 0.01


def test_a_bare_conditioning_inside_the_subspace_is_projected_out(model: Any) -> None:
    concept = model.encode(PHRASES)
    tokens = next(iter(concept.tokens.values()))
    length, end = tokens.ids.shape[1], tokens.mask.sum(1) - 1
    away = concept.hidden[torch.arange(len(end)), end]
    mix = torch.randn(length, len(away), generator=generator("mix"))
    hidden = concept.hidden[:1].clone()
    hidden[0, :length] = mix @ away
    bare = Condition(tensors={**concept[[0]].tensors, "hidden": hidden})
    guard = replace(GUARD, filter=False)
    mapped, _ = guard.condition(model, (), bare, None)
    (change,) = (v for name, v in mapped.tensors.items() if name.endswith("of-hidden"))
    left = (hidden + change)[0, :length].norm(dim=-1)
    assert (left / hidden[0, :length].norm(dim=-1)).max() < 1e-3


def test_bands_of_a_bare_conditioning_each_have_their_change(sd: Any) -> None:
    cond = sd.encode(["a cat"])
    bare = banded(cond, {"hidden": torch.stack([cond.hidden, -2 * cond.hidden], dim=1)})
    mapped, _ = GUARD.condition(sd, (), bare, None)
    (name,) = (n for n in mapped.tensors if n.startswith("bands/safree"))
    change = mapped.tensors[name]
    torch.testing.assert_close(change[:, 1], -2 * change[:, 0])


def test_projected_states_are_drawn_for_the_filters_steps_and_no_longer(model: Any) -> None:
    cond, change, t = asked(model, GUARD, TEXTS[0])
    last = round(float(t))
    assert 0 < last <= 10
    x = noise([0], model.latent_shape)
    with torch.no_grad(), model.hooked([GUARD]):
        guarded, null = model.conditions([TEXTS[0]])
        found = {
            i: model.denoise(x, Step(u=0.5, index=i, guidance=3.0), guarded, null)[0]
            for i in (0, last - 1, last)
        }
    with torch.no_grad():
        plain, null = model.conditions([TEXTS[0]])
        step = Step(u=0.5, guidance=3.0)
        assert torch.equal(found[last], model.denoise(x, step, plain, null)[0])
        if "pooled" not in cond.tensors:
            safe = plain.replace(hidden=cond.hidden + change)
            assert torch.equal(found[0], model.denoise(x, step, safe, null)[0])
    assert torch.equal(found[0], found[last - 1])
    assert not torch.allclose(found[0], found[last], atol=1e-3)


def test_the_unconditional_and_an_empty_prompt_stay(model: Any) -> None:
    cond, null = model.encode(["a cat", ""]), model.null(2)
    mapped, none = GUARD.condition(model, Prompt.of(("a cat", "")), cond, null)
    for name, value in mapped.tensors.items():
        if "/of-" in name and not name.endswith("steps"):
            assert value[0].any()
            assert not value[1].any()
            assert not none.tensors[name].any()
    for name, value in cond.tensors.items():
        assert torch.equal(mapped.tensors[name], value)


def test_two_guards_have_places_of_their_own(sd: Any) -> None:
    cond = sd.encode(["a cat"])
    one, _ = GUARD.condition(sd, Prompt.of("a cat"), cond, None)
    two, _ = replace(GUARD, phrases=("tree",)).condition(sd, Prompt.of("a cat"), one, None)
    assert len([name for name in two.tensors if name.endswith("of-hidden")]) == 2


def test_words_are_masked_one_by_one_and_soft_ones_with_them(sd: Any) -> None:
    soft = {"text_encoder": torch.ones(2, 32)}
    prompt = Prompt("a <1> cat,", {"<1>": soft})
    (row,) = words_of((prompt,), sd.encode([prompt]))
    assert row is not None
    masked = row.masked("!")
    assert [p.text for p in masked] == ["! <1> cat,", "a ! cat,", "a <1> !", "a <1> cat,"]
    assert [sorted(p.soft) for p in masked] == [["<1>"], [], ["<1>"], ["<1>"]]
    assert words_of((), sd.encode(["a cat"])) == (None,)


def test_outliers_are_told_by_the_mean_of_the_others() -> None:
    d = torch.tensor([1.0, 1.0, 1.1, 1.0], requires_grad=True)
    found = outliers(d, torch.ones(()), 0.01)
    assert found.tolist() == [0, 0, 1, 0]
    found[2].backward()
    assert d.grad is not None
    assert d.grad[2] > 0 > d.grad[0]
    assert outliers(torch.tensor([2.0]), torch.tensor(1.0), 0.01).tolist() == [1]
    assert outliers(torch.tensor([1.0]), torch.tensor(1.0), 0.01).tolist() == [0]


def test_settings_that_cannot_be_are_refused(sd: Any) -> None:
    for settings in (
        {"reattention": (-1.0,)},
        {"phrases": ()},
        {"phrases": (" ",)},
        {"alpha": -1.0},
        {"mask": "a b"},
    ):
        with pytest.raises(BadSetting, match="safree"):
            SAFREE(**{"phrases": ("cat",), **settings})  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="a word to text_encoder"):
        replace(GUARD, mask="ß").condition(sd, Prompt.of("a cat"), sd.encode("a cat"), None)
