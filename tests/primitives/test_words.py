"""The simplex space of inversion, and the search over words that attacks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import tiny
from tests.trained import World, world
from torch import Tensor

from excise.errors import NumericalError
from excise.models.load import of_pipeline
from excise.primitives.carrying import carry
from excise.primitives.denoising import Bank, concept_loss
from excise.primitives.inversion import Inversion, Inverter
from excise.primitives.vocabulary import Frame
from excise.primitives.wording import Wording
from excise.primitives.words import WORDS, NearestSpace, SimplexSpace
from excise.types import Condition, Denoise, Hook, State

QUICK = Inverter(space="simplex", steps=25, samples=2, warmup=0, bank=8, lr=0.05, template="a <1>")


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@pytest.fixture(scope="module")
def found(w: World) -> Inversion:
    return QUICK.run(w.model, w.latents["cat"], restarts=3)


def test_inversion_finds_words_that_explain_the_pictures(w: World, found: Inversion) -> None:
    bank = Bank.of(w.latents["cat"], 8)
    everything = w.model.encode([f"a {word}" for word in w.model.lexicon().words]).detach()
    table = concept_loss(w.model, w.latents["cat"], everything, bank).mean(dim=1)  # (W,)
    # Blind choice is at the median; no word is better than the best.
    assert found.loss.min() < table.quantile(0.25)
    assert found.loss.min() >= table.min() * (1 - 1e-4)


def test_what_is_found_is_a_text(w: World, found: Inversion) -> None:
    assert found.values[WORDS].shape == (3, 1, len(w.model.lexicon()))
    assert set(found.values[WORDS].unique().tolist()) == {0.0, 1.0}
    conds = found.conditions(w.model)
    for row in range(3):
        (prompt,) = found.request(w.model, row).prompts
        assert not prompt.soft
        assert prompt.text.startswith("a ")
        hidden = w.model.encode(prompt).hidden[0]
        torch.testing.assert_close(conds.hidden[row], hidden, atol=1e-5, rtol=1e-4)
    other = found.request(w.model, 0, "the <1> of a tree").prompts[0].text
    assert other == f"the {found.request(w.model, 0).prompts[0].text[2:]} of a tree"


def test_it_is_carried_saved_and_begun_at_words(w: World, found: Inversion, tmp_path: Any) -> None:
    found.save(tmp_path / "found")
    assert Inversion.load(tmp_path / "found").digest == found.digest
    again = carry(w.model, found, w.latents["cat"], 1)
    assert torch.equal(again.values[WORDS], found.values[WORDS])  # one step moves no corner
    space = SimplexSpace(w.model, [Frame.free(3)])
    start = space.start(range(2), 0, "cat dog", 0.1)[WORDS]
    assert [space.vectors.lexicon.words[i] for i in space.words({WORDS: start})[0]] == [
        "cat", "dog", "cat",
    ]  # fmt: skip
    torch.testing.assert_close(start.sum(-1), torch.ones(2, 3))


def test_the_same_seed_gives_the_same_words_and_rows_stand_alone(w: World) -> None:
    few = replace(QUICK, steps=4, tokens=2)
    a, b = (few.run(w.model, w.latents["cat"], restarts=2, seed=5) for _ in range(2))
    assert a.digest == b.digest
    assert torch.equal(a.curves, b.curves)
    more = replace(few, batch=2).run(w.model, w.latents["cat"], restarts=3, seed=5)
    torch.testing.assert_close(more.curves[:2], a.curves, rtol=1e-3, atol=1e-5)


def test_points_stay_on_the_simplex_and_rows_left_out_stay_where_they_were(w: World) -> None:
    space = SimplexSpace(w.model, [Frame.free(2, "a photo"), Frame.free(1), Frame.free(2)])
    hunt = Wording(w.model, space, space.start(range(3), 0, "", 0.0), steps=4, lr=0.1, decay=0.1)
    hunt.run(4, towards(w, "a cat"), [0, 2])
    points = hunt._descent.values[WORDS].detach()
    torch.testing.assert_close(points.sum(-1), torch.ones(3, 2), atol=1e-5, rtol=0)
    assert (points >= 0).all()
    assert (hunt.curves[[0, 2]] > 0).all()
    assert (hunt.curves[1] == 0).all()
    texts = [prompt.text.split() for prompt in hunt.prompts([0, 1, 2])]
    assert [len(text) for text in texts] == [4, 1, 2]
    assert texts[0][2:] == ["a", "photo"]


def towards(w: World, text: str) -> Any:
    """A loss without a denoiser: the distance to a text's conditioning."""
    aim = w.model.encode(text).hidden

    def loss(cond: Condition, null: Condition | None, rows: Sequence[int], step: int) -> Tensor:
        return (cond.hidden - aim).square().mean(dim=(1, 2))

    return loss


@pytest.mark.parametrize("kind", [SimplexSpace, NearestSpace])
def test_descent_over_words_gets_nearer(w: World, kind: type[Any]) -> None:
    frames = [Frame(("a", None))] * 6
    space = kind(w.model, frames)
    start = space.start(range(6), 1) if kind is NearestSpace else space.start(range(6), 1, "", 0.0)
    lr = 0.1 if kind is SimplexSpace else 0.05
    hunt = Wording(w.model, space, start, steps=60, lr=lr, decoupled=True, batch=4)
    loss = towards(w, "a cat")
    before = hunt.losses(loss, range(6), [0])
    hunt.run(60, loss, range(6))
    after = hunt.losses(loss, range(6), [0])
    everything = w.model.encode([f"a {word}" for word in w.model.lexicon().words])
    table = loss(everything, None, range(len(everything)), 0)
    assert after.mean() < before.mean()
    assert after.min() <= table.quantile(0.1)
    # The loss that is told is that of the texts that are handed over.
    told = w.model.encode(hunt.prompts(range(6)))
    torch.testing.assert_close(loss(told, None, range(6), 0), after, rtol=1e-3, atol=1e-6)


def test_gradients_of_the_nearest_words_move_the_vectors() -> None:
    model: Any = of_pipeline(tiny.FAMILIES["sdxl"](), "sdxl")
    space = NearestSpace(model, [Frame.free(2)])
    values = {n: v.requires_grad_() for n, v in space.start([0, 1], 3).items()}
    with torch.no_grad():
        for value in values.values():
            value.add_(0.01)
    tried = space.tried(values, 0, [0, 1], 0)
    words = space.words(values)
    for name, table in space.vectors.tables.items():
        assert torch.equal(tried[name], table[words])  # both encoders read the same word
    sum(value.sum() for value in tried.values()).backward()  # type: ignore[union-attr]
    for value in values.values():
        assert value.grad is not None
        assert torch.equal(value.grad, torch.ones_like(value))


class Reads(Hook):
    """A guard that writes down the prompts it is shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def condition(self, model, prompts, cond, null):  # type: ignore[no-untyped-def]
        self.seen += [prompt.text for prompt in prompts]
        return cond, null

    def prediction(self, model, denoise: Denoise, x, step, cond, null, state):  # type: ignore[no-untyped-def]
        out, inner = denoise(x, step, cond, null, state.inner)
        return 0.5 * out, State(inner=inner)


def test_a_guard_sees_the_words_that_are_tried(w: World) -> None:
    guard = Reads()
    with w.model.hooked([guard], key="guard"):
        replace(QUICK, steps=2, bank=2).run(w.model, w.latents["cat"], restarts=2)
    words = w.model.lexicon().words
    assert len(guard.seen) == 2 * 2  # at each step, one for each row
    assert all(text.startswith("a ") and text[2:] in words for text in guard.seen)


def test_a_loss_that_is_not_finite_is_told_with_its_row(w: World) -> None:
    space = SimplexSpace(w.model, [Frame.free(1)])
    hunt = Wording(w.model, space, space.start(range(4), 0, "", 0.0), steps=1, lr=0.1)

    def loss(cond: Condition, null: Condition | None, rows: Sequence[int], step: int) -> Tensor:
        return cond.hidden.sum(dim=(1, 2)) * torch.tensor([1.0, float("nan")])

    with pytest.raises(NumericalError, match="row 3"):
        hunt.run(1, loss, [1, 3])
    assert not w.model.edits
