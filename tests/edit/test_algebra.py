from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.edit import fake
from tests.edit.fake import MADE, SHAPES, close, deltas, edits, effect, equal, model, values

from excise.edit import Edit, LowRank, Recipe
from excise.errors import NumericalError, UnknownName, UserError, WrongBase
from excise.types import Hook

ALL = {name: torch.full(shape, 0.25) for name, shape in SHAPES.items()}


@dataclass(frozen=True, eq=False, kw_only=True)
class Loud(Hook):
    name: ClassVar[str] = "loud"
    volume: float = 1.0

    def scaled(self, factor: float) -> Loud:
        return dataclasses.replace(self, volume=self.volume * factor)


@dataclass(frozen=True, eq=False, kw_only=True)
class Fixed(Hook):
    name: ClassVar[str] = "fixed"


def everywhere(*hooks: Hook) -> Edit:
    return Edit.of(model(), ALL, hooks, recipe=MADE)


def dense(edit: Edit) -> dict[str, torch.Tensor]:
    return {name: edit.dense(name) for name in edit.deltas}


@given(edits(), edits())
def test_applying_the_sum_is_applying_one_on_the_other(a: Edit, b: Edit) -> None:
    live = model()
    with a.applied(live):
        one_on_the_other = effect(b, live, transfer=True)
    assert close(effect(a + b, live), one_on_the_other)
    assert equal(values(live), values(model()))


@given(edits(), edits(), edits())
def test_edits_are_a_vector_space(a: Edit, b: Edit, c: Edit) -> None:
    live = model()
    assert a + b == b + a
    assert close(effect((a + b) + c, live), effect(a + (b + c), live))
    assert 0.5 * a + 0.5 * a == a == 1 * a == -1 * -a
    assert (a - a).deltas == {} == (0 * a).deltas
    assert close(effect(2 * (a + b), live), effect(2 * a + b * 2, live))
    assert equal(effect(a - a, live), values(live))


@given(deltas())
def test_an_edit_adds_its_deltas_and_nothing_else(found: dict[str, torch.Tensor]) -> None:
    live = model()
    after = effect(Edit.of(live, found, recipe=MADE), live)
    for name, before in values(live).items():
        assert torch.equal(after[name], before + found.get(name, torch.zeros(())))


@given(edits(), st.floats(-2, 2))
def test_norms_and_angles(a: Edit, factor: float) -> None:
    for name, norm in (factor * a).norm().items():
        assert norm == pytest.approx(abs(factor) * a.norm()[name], rel=1e-5)
    if a.deltas:
        assert a.cosine(3 * a) == pytest.approx(1)
        assert a.cosine(-a) == pytest.approx(-1)
    assert a.cosine(0 * a) == 0


def test_edits_of_different_weights_stand_at_right_angles() -> None:
    a = everywhere()
    assert a.masked("unet").cosine(a.masked("text_encoder")) == 0
    assert a.masked("unet").cosine(a) == pytest.approx(
        math.hypot(*a.masked("unet").norm().values()) / math.hypot(*a.norm().values())
    )


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ("unet", {"unet.down.weight", "unet.down.bias", "unet.conv.weight"}),
        ("*.weight", set(SHAPES) - {"unet.down.bias"}),
        (["unet.down.bias"], {"unet.down.bias"}),
        (["unet", "!*bias"], {"unet.down.weight", "unet.conv.weight"}),
        (["!unet"], {"text_encoder.text_model.weight"}),
        ("down.0", {"unet.down.weight"}),
        (["a.weight.of.the.model", "unet.down.bias"], {"unet.down.bias"}),
    ],
)
def test_a_part_of_an_edit(where: str | list[str], left: set[str]) -> None:
    edit = everywhere(Fixed())
    part = edit.masked(where, {"down.0": ["unet.down.weight", "unet.not.there"]})
    assert set(part.deltas) == set(part.base.tensors) == left
    assert part.hooks == edit.hooks
    rest = edit.masked([*(f"!{name}" for name in left)])
    assert (part + rest).task_vector() == edit.task_vector()


def test_masks_multiply() -> None:
    rows = torch.tensor([1, 0, 0, 1, 0, 0]).view(6, 1)
    part = everywhere().masked({"unet.down.weight": rows, "unet.down.bias": torch.zeros(6)})
    assert set(part.deltas) == {"unet.down.weight"}
    assert torch.equal(part.dense("unet.down.weight"), 0.25 * rows.expand(6, 10))


def test_factors_by_tensor_block_and_glob_multiply() -> None:
    edit = everywhere()
    groups = {"down.0": ["unet.down.weight", "unet.down.bias"], "mid": ["unet.mid.weight"]}
    found = edit.scaled({"down.0": 2.0, "*.bias": 3.0, "text_encoder": 0, "mid": 9}, groups)
    assert {name: float(value.max()) for name, value in dense(found).items()} == {
        "unet.down.weight": 0.5,
        "unet.down.bias": 1.5,
        "unet.conv.weight": 0.25,
    }
    assert edit.scaled(dict.fromkeys(SHAPES, 0.5)) == 0.5 * edit


def test_names_that_mean_nothing_are_refused() -> None:
    edit = everywhere()
    with pytest.raises(UnknownName, match=r"unet\.down\.weight"):
        edit.masked("unet.down.weigth")
    with pytest.raises(UnknownName):
        edit.masked(["nothing", "at", "all"])
    with pytest.raises(UnknownName):
        edit.masked({"nothing": torch.ones(1)})
    with pytest.raises(UnknownName, match="down.0"):
        edit.scaled({"down.1": 2.0}, {"down.0": []})
    with pytest.raises(UnknownName):
        edit.dense("unet.up.weight")
    with pytest.raises(UserError, match="broadcasts"):
        edit.masked({"unet.down.bias": torch.ones(5)})
    with pytest.raises(UserError, match="finite"):
        math.inf * edit


def test_hooks_are_put_in_order_and_scaled_where_they_can_be() -> None:
    live, a, b = model(), everywhere(Loud(volume=2)), everywhere(Fixed())
    with (a + b).applied(live):
        assert [type(hook) for hook in live.applied] == [Loud, Fixed]
    assert live.applied == ()
    (hook,) = (-0.5 * a).hooks
    assert isinstance(hook, Loud)
    assert hook.volume == -1
    with pytest.raises(UserError, match="Fixed"):
        2 * (a + b)
    assert 2 * b.task_vector() == 2 * a.task_vector()
    assert (a.kind, a.task_vector().kind, a.guard().kind) == ("edit", "task_vector", "guard")
    assert a.guard() + a.task_vector() == a != a.guard()


def test_an_edit_made_on_an_edited_model_follows_it() -> None:
    live, random = model(), torch.Generator().manual_seed(0)
    a = everywhere()
    with a.applied(live):
        step = {"unet.down.weight": torch.randn(6, 10, generator=random)}
        b = Edit.of(live, step, recipe=MADE)
        one_on_the_other = effect(b, live)
        with b.applied(live):
            c = Edit.of(live, step, recipe=MADE)
    with pytest.raises(WrongBase, match="then"):
        b.check(live)
    with pytest.raises(WrongBase, match="then"):
        a + b
    assert close(effect(a.then(b), live), one_on_the_other)
    assert a.then(b).then(c).check(live)
    for wrong in (everywhere(), 2 * a, b):
        with pytest.raises(WrongBase, match="with the first one applied"):
            wrong.then(a)
    assert a.then(everywhere().masked("unet.conv.weight") * 0) == a


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_edits_follow_one_another_in_half_precision(half: torch.dtype) -> None:
    live = model(dtype=half)
    a = Edit.of(live, ALL, recipe=MADE)
    with a.applied(live):
        b = Edit.of(live, ALL, recipe=MADE)
        one_on_the_other = effect(b, live)
    assert close(effect(a.then(b), live), one_on_the_other, within=0.05)


def test_edits_of_other_models_do_not_add() -> None:
    other = Edit.of(model(seed=1), ALL, recipe=MADE)
    with pytest.raises(WrongBase, match="of one model"):
        everywhere() + other


def test_what_came_of_what_is_written_down() -> None:
    recipe = Recipe(method="esd", concepts=({"name": "cat"},), verified=True)
    a = Edit.of(model(), ALL, recipe=recipe)
    b = Edit.of(model(), ALL, recipe=Recipe(method="uce", concepts=({"name": "dog"},)))
    made = (0.5 * a + b).masked("unet").recipe
    assert made.concept_names == ("cat", "dog")
    assert made.method == "mask"
    assert made.parts[0].method == "add"
    assert made.parts[0].parts[0].settings == {"factor": 0.5}
    assert not made.verified  # nobody has looked at the sum
    assert a.task_vector().recipe.verified


def test_equality_is_about_what_an_edit_does() -> None:
    a = everywhere()
    same = Edit.of(model(seed=1), dict(reversed(ALL.items())), recipe=Recipe(method="other"))
    assert a == same
    assert hash(a) == hash(same)
    assert a != 2 * a != a.masked("unet")
    assert everywhere(Loud(), Fixed()) != everywhere(Fixed(), Loud())
    assert everywhere(Loud()) == everywhere(Loud()) != everywhere(Loud(volume=2))
    assert a != "an edit"
    assert "test" in repr(a)


def test_a_low_rank_edit_behaves_as_its_dense_one() -> None:
    random = torch.Generator().manual_seed(3)
    factors = LowRank(torch.randn(6, 1, generator=random), torch.randn(1, 10, generator=random))
    a = Edit.of(model(), {"unet.down.weight": factors}, recipe=MADE)
    b = Edit.of(model(), {"unet.down.weight": factors.dense()}, recipe=MADE)
    assert a.nbytes < b.nbytes
    for one, two in [(a, b), (-2 * a, -2 * b), (a + a, b + b), (a + b, b + a)]:
        assert close(effect(one, model()), effect(two, model()))


def test_deltas_must_be_finite_and_fit() -> None:
    with pytest.raises(NumericalError, match=r"unet\.down\.bias"):
        Edit.of(model(), {"unet.down.bias": torch.full((6,), math.nan)}, recipe=MADE)
    with pytest.raises(WrongBase, match=r"\(7,\)"):
        Edit.of(model(), {"unet.down.bias": torch.ones(7)}, recipe=MADE)
    with pytest.raises(WrongBase, match="no such weight"):
        Edit.of(model(), {"unet.up.bias": torch.ones(7)}, recipe=MADE)
    with pytest.raises(NumericalError):
        1e30 * (1e30 * everywhere())
    with pytest.raises(NumericalError, match="too large"):
        (1e6 * everywhere()).stored(torch.float16)
    with pytest.raises(UserError, match="float16"):
        everywhere().stored(torch.bfloat16)
    with pytest.raises(UserError, match=r"Edit\.of"):
        Edit(deltas=everywhere().deltas, recipe=MADE)


def test_an_edit_does_not_change_with_what_it_was_made_from() -> None:
    given_ = {"unet.down.bias": torch.ones(6)}
    edit = Edit.of(model(), given_, recipe=MADE)
    given_["unet.down.bias"].zero_()
    edit.dense("unet.down.bias").zero_()
    assert torch.equal(edit.dense("unet.down.bias"), torch.ones(6))
    with pytest.raises(TypeError):
        edit.deltas["x"] = None  # type: ignore[index]
    assert fake.equal(effect(edit, model()), effect(edit, model()))
