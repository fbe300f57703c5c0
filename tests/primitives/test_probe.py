from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import panels

from excise.errors import BadFile, UserError
from excise.primitives.probe import Look, Probe, plain_probe, shots, thumbnails
from excise.primitives.vision import Given
from excise.types import Prompt, Request


@pytest.fixture(scope="module")
def model() -> Any:
    return panels.model()


@pytest.fixture(scope="module")
def judge(model: Any) -> panels.Near:
    return panels.near(model)


def mixed() -> Probe:
    """Shots of two guidance scales, interleaved."""
    cat = shots((Prompt("a cat"),), "cat", "cat", 2)
    dog = shots((Prompt("a dog"),), "dog", "dog", 2, guidance=3.0)
    return Probe(shots=(cat[0], dog[0], cat[1], dog[1]))


def test_rows_stay_with_their_shots(model: Any, judge: panels.Near) -> None:
    look = mixed().look(model, judge)
    assert look.hits.all()
    for i, shot in enumerate(look.probe.shots):
        if shot.guidance is not None:
            own = Request(
                prompts=(shot.prompt,) * 2,
                seeds=tuple(s.seed for s in look.probe.shots if s.guidance),
                guidance=shot.guidance,
            )
            row = [s.seed for s in look.probe.shots if s.guidance].index(shot.seed)
            assert torch.equal(model.generate(own).uint8()[row], look.thumbs[i])


def test_the_same_probe_looks_the_same_twice(model: Any, judge: panels.Near) -> None:
    one, two = (mixed().look(model, judge) for _ in range(2))
    assert torch.equal(one.thumbs, two.thumbs)
    assert torch.equal(one.sheet.values, two.sheet.values)


def test_a_look_can_be_kept_and_asked_again(model: Any, judge: panels.Near) -> None:
    look = mixed().look(model, judge)
    back = Look.of(mixed(), look.artefact())
    assert torch.equal(back.hits, look.hits)
    assert back.rate("cat") == look.rate("cat")
    other = Probe(shots=look.probe.shots[:2])
    with pytest.raises(BadFile, match="draw it again"):
        Look.of(other, look.artefact())
    swapped = Probe(
        shots=tuple(
            type(s)(prompt=s.prompt, seed=s.seed, label="cat", group=s.group, guidance=s.guidance)
            for s in look.probe.shots
        )
    )
    assert look.relabelled(swapped).rate("dog").value == 0.0
    with pytest.raises(UserError, match="draw it instead"):
        look.relabelled(other)


def test_rates_have_intervals(model: Any, judge: panels.Near) -> None:
    look = mixed().look(model, judge)
    rate = look.rate()
    assert rate.value == 1.0
    assert 0.4 < rate.low < 1.0
    assert look.rate(("cat", "dog")) == rate
    assert look.take([0, 2]).probe.groups == ("cat",)


def test_plain_use_covers_names_unseen_words_and_guidance(model: Any) -> None:
    cat = panels.CAT
    probe = plain_probe(model, cat, 2, ladder=(1.0, 12.0))
    assert probe.groups == ("cat", "guidance 1", "guidance 12")
    assert len(probe) == 3 * 2 * 3
    named = type(cat)("cat", templates=cat.templates, synonyms=("kat",), held_back=("kot",))
    assert plain_probe(model, named, 1).groups == ("cat", "kat", "held back: kot")
    assert "held back: kot" not in plain_probe(model, named, 1, unnamed=False).groups


def test_seeds_depend_on_prompt_and_number_alone() -> None:
    few = shots((Prompt("a"), Prompt("b")), "x", "g", 1)
    many = shots((Prompt("b"), Prompt("a")), "x", "other", 3, guidance=7.0)
    of = {(s.prompt.text, s.seed) for s in many}
    assert {(s.prompt.text, s.seed) for s in few} <= of
    assert len({s.seed for s in many}) == 6
    assert not {s.seed for s in shots((Prompt("a"),), "x", "g", seed=1)} & {s.seed for s in few}


def test_thumbnails_average() -> None:
    big = torch.zeros(1, 3, 128, 256, dtype=torch.uint8)
    big[..., ::2] = 200
    small = thumbnails(big)
    assert small.shape == (1, 3, 32, 64)
    assert torch.all(small == 100)
    tiny = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    assert thumbnails(tiny).shape == tiny.shape


def test_an_empty_probe_is_refused(model: Any) -> None:
    with pytest.raises(UserError, match="at least one shot"):
        Probe(shots=()).look(model)


def test_pictures_are_described_as_they_were_drawn_and_it_is_kept(
    model: Any, judge: panels.Near
) -> None:
    def describe(pictures: torch.Tensor) -> torch.Tensor:
        return pictures.float().mean(dim=(2, 3))

    look = mixed().look(model, judge, extractors={"colours": Given(call=describe)})
    assert torch.equal(look.features["colours"], describe(look.thumbs))  # small, so not averaged
    back = Look.of(mixed(), look.artefact())
    assert torch.equal(back.features["colours"], look.features["colours"])
    assert torch.equal(look.take([3, 1]).features["colours"], look.features["colours"][[3, 1]])
    plain = mixed().look(model, judge)
    assert plain.features == Look.of(mixed(), plain.artefact()).features == {}
