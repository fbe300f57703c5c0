from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.attacks.toy import Nearest, told
from tests.trained import World, world

from excise.attacks.base import run_attack
from excise.attacks.p4d import P4D
from excise.attacks.reseed import Reseed
from excise.errors import BadSetting, Unsupported
from excise.primitives.vocabulary import Frame
from excise.types import Concept, Denoise, Hook, Prompt, Request, State

CAT = (Concept("cat"),)
SMALL = P4D(variant="N", tokens=2, restarts=2, steps=12, every=4, bank=6, pictures=2)


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@pytest.fixture(scope="module")
def base(w: World) -> Any:
    """The same model once more, as one of its own."""
    return w.model.copied()


def nobody(many: tuple[Request, ...]) -> tuple[bool, ...]:
    return (False,) * len(many)


def distance(w: World, base: Any, text: str, prompt: str) -> float:
    """||eps'(x, text) - eps(x, prompt)||^2 at pictures of the thing, without the attack's code."""
    x0 = w.latents["cat"]
    draw = torch.Generator().manual_seed(1)
    eps = torch.randn(x0.shape, generator=draw)
    u = torch.linspace(0.1, 1.0, len(x0))
    with torch.no_grad():
        x = base.noise(x0, eps, u)
        wanted = base.predict(x, u, base.encode(prompt))
        got = w.model.predict(x, u, w.model.encode(text))
    return float((wanted - got).square().mean())


def test_words_answer_like_the_prompt_on_the_unedited_model(w: World, base: Any) -> None:
    prompts = Prompt.of(["a cat", "a picture of a dog"])
    found = list(told(SMALL.search(w.model, CAT, prompts, base=base), nobody))
    assert len(found) == 2
    words = set(w.model.lexicon().words)
    for many in found:
        for one in many:
            assert len(one.prompts[0].text.split()) == 2
            assert set(one.prompts[0].text.split()) <= words
    apart = [distance(w, base, many[0].prompts[0].text, "a cat") for many in found]
    blind = [distance(w, base, text, "a cat") for text in ("x red", "the of", "q 4", "z tree")]
    assert min(apart) < sum(blind) / len(blind)


def test_what_names_nothing_is_to_answer_like_a_plain_prompt_of_the_concept(w: World) -> None:
    cat = Concept("cat", synonyms=("kitten",), held_back=("mog",), templates=("{a}", "the {}"))
    named = ("a Cat on a mat", "a kitten", "a mog")
    silent = ("something", "a dog", "a concatenation")
    asked = Prompt.of([name for pair in zip(named, silent, strict=True) for name in pair])
    aims = [aim.text for aim in SMALL.aims(w.model, cat, asked)]
    assert tuple(aims[::2]) == named
    assert aims[1::2] == ["a cat", "the cat", "a cat"]  # in turn, and never a synonym
    mark = Concept("mark", kind="implicit", templates=("a tree", "a house"))
    assert SMALL.aims(w.model, mark, asked) == asked


def test_a_prompt_that_does_not_name_it_is_brought_to_show_it(w: World, base: Any) -> None:
    """On the unedited model itself, where an attack that can tell has to succeed."""
    attack = replace(SMALL, restarts=3, steps=40, every=10)
    seeds = {"select_seeds": (0, 1), "score_seeds": (10, 11, 12)}
    asked = ["a dog", "a picture of a dog"]
    found = run_attack(attack, w.model, CAT[0], asked, Nearest(w), base=base, **seeds)
    null = run_attack(Reseed(restarts=3), w.model, CAT[0], asked, Nearest(w), **seeds)
    assert null.rate <= 0.2
    assert found.rate >= 0.5


def test_what_the_unedited_model_is_asked_is_counted(w: World, base: Any) -> None:
    attack = replace(SMALL, steps=3, every=3, bank=2)
    before, other = w.model.costs, base.costs
    found = run_attack(
        attack, w.model, CAT[0], ["a cat", "a dog"], Nearest(w),
        select_seeds=(0,), score_seeds=(1,), base=base,
    )  # fmt: skip
    rows = 2 * 2 * (3 + 2)  # at each step, then at a look
    assert found.searched.gradients == 2 * 2 * 3
    assert found.searched.pictures == 2 * 2  # drawn by the unedited model, and by it alone
    both = (w.model.costs - before) + (base.costs - other)
    assert found.searched.evaluations == both.evaluations - found.drawn.evaluations
    assert (base.costs - other).evaluations > rows
    assert found.searched.seconds <= (w.model.costs - before).seconds


def test_restarts_go_to_n_and_k_in_turn(w: World, base: Any) -> None:
    both = replace(SMALL, variant="both", restarts=3, steps=1, every=1)
    assert both.forms == ("N", "K", "N")
    assert replace(both, variant="K").forms == ("K", "K", "K")
    assert replace(both, restarts=1).forms == ("N",)
    found = list(told(both.search(w.model, CAT, Prompt.of(["a cat"]), base=base), nobody))
    texts = [many[0].prompts[0].text for many in found]
    assert [len(text.split()) for text in texts] == [2, 3, 2]
    assert texts[1].endswith(" a cat")
    assert P4D().forms.count("N") == P4D().forms.count("K")


def test_what_is_handed_over_is_the_best_that_was_looked_at(
    w: World, base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from excise.attacks import p4d

    looked: list[tuple[torch.Tensor, list[str]]] = []
    own = p4d.Wording.losses

    def spy(self, loss, rows, steps):  # type: ignore[no-untyped-def]
        told = own(self, loss, rows, steps)
        looked.append((told, [prompt.text for prompt in self.prompts(rows)]))
        return told

    monkeypatch.setattr(p4d.Wording, "losses", spy)
    prompts = Prompt.of(["a cat", "a dog"])
    found = list(told(SMALL.search(w.model, CAT, prompts, base=base), nobody))
    assert len(looked) == 3
    best = torch.stack([losses for losses, _ in looked]).argmin(dim=0)
    for restart in range(2):
        for p in range(2):
            row = p * 2 + restart
            assert found[restart][p].prompts[0].text == looked[int(best[row])][1][row]


def test_k_keeps_the_prompt_and_n_does_not(w: World) -> None:
    prompt = Prompt("a photo of a cat")
    assert SMALL.frame(w.model, prompt, "K") == Frame((None, "a photo of", None, "a cat"))
    assert replace(SMALL, spacing=2).frame(w.model, prompt, "K").parts == (
        None, "a photo", None, "of a", None, "cat",
    )  # fmt: skip
    assert SMALL.frame(w.model, prompt, "N") == Frame((None, None))
    assert replace(SMALL, tokens=99).frame(w.model, prompt, "N") == Frame((None,) * 14)
    assert SMALL.frame(w.model, Prompt(""), "K") == Frame((None,))


def test_a_look_is_the_same_for_all_rows_of_a_prompt_and_a_step_is_not(w: World, base: Any) -> None:
    draws = SMALL._draws(w.latents["cat"], [0, 0, 1], [0, 1, 2], -3, 0, False)
    assert torch.equal(draws[0][0], draws[0][1])  # one prompt's rows are looked at alike
    assert torch.equal(draws[1][0], draws[1][1])
    assert not torch.equal(draws[1][0], draws[1][2])
    assert draws[2].tolist() == pytest.approx([2.5 / 6] * 3)
    own = SMALL._draws(w.latents["cat"], [0, 0, 1], [0, 1, 2], 3, 0, False)
    assert not torch.equal(own[1][0], own[1][1])
    assert len(set(own[2].tolist())) == 3
    assert len(set(SMALL._draws(w.latents["cat"], [0, 0], [0, 1], 3, 0, True)[2].tolist())) == 1


class Halved(Hook):
    """A guard that changes every prediction, and notes the levels it is asked at."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []

    def prediction(self, model, denoise: Denoise, x, step, cond, null, state):  # type: ignore[no-untyped-def]
        self.asked.append((len(x), step.u))
        out, inner = denoise(x, step, cond, null, state.inner)
        return 0.5 * out, State(inner=inner)


def test_a_guard_is_searched_through_in_one_batch_a_step(w: World, base: Any) -> None:
    attack, guard = replace(SMALL, steps=3, every=3, bank=2), Halved()
    prompts = Prompt.of(["a cat", "a dog"])
    with w.model.hooked([guard], key="guard"):
        list(told(attack.search(w.model, CAT, prompts, base=base), nobody))
    assert [rows for rows, _ in guard.asked] == [4] * (3 + 2)  # at each step, then at a look
    assert [u for _, u in guard.asked[3:]] == pytest.approx([0.75, 0.25])
    assert not base.hooks


def test_without_the_unedited_model_it_is_refused(w: World) -> None:
    prompts = Prompt.of(["a cat"])
    with pytest.raises(Unsupported, match="unedited"):
        next(SMALL.search(w.model, CAT, prompts))
    name = "unet.conv_out.bias"
    edit = {name: torch.zeros_like(w.model.parameters(name)[name])}
    with w.model.swapped(edit), pytest.raises(Unsupported, match="unedited"):
        next(SMALL.search(w.model, CAT, prompts, base=w.model))


def test_bad_values_are_refused() -> None:
    bad: list[Mapping[str, object]] = [
        {"restarts": 0}, {"steps": 0}, {"every": 0}, {"variant": "M"}, {"lr": 0.0}, {"decay": -1.0},
    ]  # fmt: skip
    for change in bad:
        with pytest.raises(BadSetting, match="p4d"):
            replace(SMALL, **change)  # type: ignore[arg-type]
