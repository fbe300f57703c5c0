from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from tests.attacks.toy import Nearest, told
from tests.trained import World, world

from excise.attacks import unlearn_diff
from excise.attacks.base import run_attack
from excise.attacks.unlearn_diff import UnlearnDiff
from excise.errors import BadSetting
from excise.primitives.denoising import Bank, concept_loss
from excise.types import Concept, Denoise, Hook, Prompt, Request, State

CAT = (Concept("cat"),)
PROMPTS = Prompt.of(["a photo of a", "the"])
SMALL = UnlearnDiff(tokens=1, restarts=2, levels=3, steps=8, samples=2, lr=0.1)


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@pytest.fixture(autouse=True)
def _pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latents as they are: the tiny autoencoder is not trained."""
    monkeypatch.setattr(unlearn_diff, "attackers_latents", lambda *_, **__: world().latents["cat"])


def nobody(many: tuple[Request, ...]) -> tuple[bool, ...]:
    return (False,) * len(many)


def texts(rounds: list[tuple[Request, ...]]) -> list[tuple[str, ...]]:
    return [tuple(one.prompts[0].text for one in many) for many in rounds]


def test_words_stand_before_the_prompts_and_the_loss_goes_down(w: World) -> None:
    found = list(told(SMALL.search(w.model, CAT, PROMPTS), nobody))
    assert len(found) == 1 + 3 * 2
    assert texts(found)[0] == ("a photo of a", "the")
    words = w.model.lexicon().words
    for many in texts(found)[1:]:
        for prompt, text in zip(PROMPTS, many, strict=True):
            first, _, rest = text.partition(" ")
            assert rest == prompt.text
            assert first in words
    bank = Bank.of(w.latents["cat"], 16)
    last = {text for many in texts(found)[-2:] for text in many}
    rows = w.model.encode([*sorted(last), *(prompt.text for prompt in PROMPTS)]).detach()
    loss = concept_loss(w.model, w.latents["cat"], rows, bank).mean(dim=1)
    assert loss[: len(last)].min() < loss[len(last) :].min()


def test_levels_are_gone_through_in_turn_at_the_middle_of_each_part(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    own = unlearn_diff.losses

    def spy(model, x0, eps, u, *args, **named):  # type: ignore[no-untyped-def]
        seen.extend(u.tolist())
        return own(model, x0, eps, u, *args, **named)

    monkeypatch.setattr(unlearn_diff, "losses", spy)
    before = w.model.costs
    list(told(replace(SMALL, steps=2).search(w.model, CAT, PROMPTS), nobody))
    rows = 2 * 2 * 2  # prompts, restarts, samples
    assert torch.tensor(seen).allclose(
        torch.tensor([1 / 6, 3 / 6, 5 / 6]).repeat_interleave(2 * rows)
    )
    assert (w.model.costs - before).gradients == 3 * 2 * rows


class Halved(Hook):
    """A guard that changes every prediction, and counts how often it is asked."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def prediction(self, model, denoise: Denoise, x, step, cond, null, state):  # type: ignore[no-untyped-def]
        self.rows.append(len(x))
        out, inner = denoise(x, step, cond, null, state.inner)
        return 0.5 * out, State(inner=inner)


def test_all_rows_go_down_in_one_batch_also_through_a_guard(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, rows = replace(SMALL, levels=2, steps=2), 2 * 2 * 2  # prompts, restarts, samples
    asked: list[int] = []
    predict = type(w.model).predict

    def spy(self, x, u, cond):  # type: ignore[no-untyped-def]
        asked.append(len(x))
        return predict(self, x, u, cond)

    monkeypatch.setattr(type(w.model), "predict", spy)
    plain = list(told(attack.search(w.model, CAT, PROMPTS), nobody))
    assert asked == [rows] * 4
    guard = Halved()
    with w.model.hooked([guard], key="guard"):
        guarded = list(told(attack.search(w.model, CAT, PROMPTS), nobody))
    assert guard.rows == [rows] * 4  # one level a step, so one batch
    assert asked == [rows] * 4  # and never around the guard
    assert len(guarded) == len(plain)


def test_what_fell_is_left_alone(w: World) -> None:
    attack = replace(SMALL, steps=1)
    seen: list[tuple[Request, ...]] = []

    def second(many: tuple[Request, ...]) -> tuple[bool, ...]:
        seen.append(many)
        return (False, len(seen) == 2)

    before = w.model.costs
    list(told(attack.search(w.model, CAT, PROMPTS), second))
    assert all(many[1] is seen[1][1] for many in seen[1:])
    assert seen[0][1] is not seen[1][1]
    # The first level with both prompts, the other two with one.
    assert (w.model.costs - before).gradients == 2 * 2 * 2 + 2 * 2 * 2
    assert len(list(told(attack.search(w.model, CAT, PROMPTS), lambda m: (True,) * len(m)))) == 1


def test_the_framework_scores_what_it_found(w: World) -> None:
    found = run_attack(
        SMALL,
        w.model,
        Concept("cat"),
        PROMPTS,
        Nearest(w),
        select_seeds=(0, 1),
        score_seeds=(10, 11),
    )
    assert found.searched.gradients > 0
    assert not found.independent
    looks = (found.select >= found.threshold).float().mean(dim=2)
    assert all(looks[r, p] == looks[:, p].max() for p, r in enumerate(found.chosen))


def test_bad_values_are_refused() -> None:
    bad: list[Mapping[str, object]] = [
        {"restarts": 0}, {"steps": 0}, {"levels": 0}, {"tokens": 0}, {"lr": 0.0}, {"decay": -1.0},
    ]  # fmt: skip
    for change in bad:
        with pytest.raises(BadSetting, match="unlearn_diff"):
            replace(SMALL, **change)  # type: ignore[arg-type]
