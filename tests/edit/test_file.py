from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from tests.edit.fake import MADE, SHAPES, edits, model
from torch import Tensor

from excise import Concept
from excise.edit import BaseMatch, Edit, LowRank, Making, Recipe, Sparse, record_folder
from excise.errors import BadFile, UnknownName, UserError, WrongBase
from excise.hooks.adapter import Adapter
from excise.hooks.negative_prompt import NegativePrompt
from excise.store import load_tensors, read_meta, save_tensors
from excise.types import Hook

PLACE = "unet.down"


def adapter() -> Adapter:
    random = torch.Generator().manual_seed(1)
    return Adapter(
        down={PLACE: torch.randn(2, 10, generator=random)},
        up={PLACE: torch.randn(6, 2, generator=random)},
        activation="relu",
    )


def rich() -> Edit:
    random = torch.Generator().manual_seed(0)
    deltas = {
        "unet.down.weight": LowRank(
            torch.randn(6, 1, generator=random), torch.randn(1, 10, generator=random)
        ),
        "unet.conv.weight": torch.randn(SHAPES["unet.conv.weight"], generator=random),
        "text_encoder.text_model.weight": torch.eye(8)[:, :5],
        "unet.down.bias": torch.zeros(6),
    }
    hooks = (NegativePrompt(text="a cat", place="prediction", strength=0.5), adapter())
    recipe = Recipe.of(
        adapterless(), (Concept("cat", synonyms=("kitten",)),), seed=3, verified=True
    )
    return Edit.of(model(), deltas, hooks, recipe=recipe)


@dataclass(frozen=True, kw_only=True)
class Method:
    name: ClassVar[str] = "a_method"
    steps: int = 200
    layers: tuple[str, ...] = ("mid", "up.0")


def adapterless() -> Method:
    return Method()


def test_everything_comes_back(tmp_path: Path) -> None:
    edit = rich()
    edit.save(tmp_path / "a.safetensors")
    back = Edit.load(tmp_path / "a.safetensors")
    assert back == edit
    assert back.base == edit.base
    assert back.recipe.to_json() == edit.recipe.to_json()
    assert back.recipe.settings == {"steps": 200, "layers": ["mid", "up.0"]}
    assert back.recipe.concept_names == ("cat",)
    assert (back.recipe.seed, back.recipe.verified, back.kind) == (3, True, "edit")
    assert {n: type(d) for n, d in back.deltas.items()} == {
        n: type(d) for n, d in edit.deltas.items()
    }
    negative, bottleneck = back.hooks
    assert isinstance(negative, NegativePrompt)
    assert (negative.text, negative.place, negative.strength) == ("a cat", "prediction", 0.5)
    assert isinstance(bottleneck, Adapter)
    assert torch.equal(bottleneck.up[PLACE], adapter().up[PLACE])
    with back.applied(model()):
        pass


@given(edits())
def test_any_edit_comes_back_with_the_same_bytes(edit: Edit) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, "one.safetensors"), Path(folder, "two.safetensors")
        edit.save(one)
        back = Edit.load(one)
        back.save(two)
        assert one.read_bytes() == two.read_bytes()
        assert back == edit
        for name in edit.deltas:
            assert torch.equal(back.dense(name), edit.dense(name))


def test_a_file_holds_what_the_format_says(tmp_path: Path) -> None:
    rich().save(tmp_path / "a.safetensors")
    tensors, meta = load_tensors(tmp_path / "a.safetensors")
    assert set(tensors) == {
        "unet.down.weight#up",
        "unet.down.weight#down",
        "unet.conv.weight",
        "text_encoder.text_model.weight#index",
        "text_encoder.text_model.weight#value",
        f"hook/1/down/{PLACE}",
        f"hook/1/up/{PLACE}",
    }
    assert meta["format"] == "excise.edit/1"
    assert meta["kind"] == "edit"
    assert set(meta["base"]["tensors"]) == set(rich().deltas)
    assert meta["hooks"][0] == {
        "name": "negative_prompt",
        "settings": {"text": "a cat", "place": "prediction", "strength": 0.5},
        "tensors": [],
    }
    header = (tmp_path / "a.safetensors").read_bytes()
    raw = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])["__metadata__"]
    assert list(raw) == ["excise"]


def test_half_precision_is_written_down_and_half_the_size(tmp_path: Path) -> None:
    edit = Edit.of(model(), {"unet.conv.weight": torch.full((4, 3, 2, 2), 0.1)}, recipe=MADE)
    for name, kept in (("full", edit), ("half", edit.stored(torch.float16))):
        kept.save(tmp_path / f"{name}.safetensors")
        assert Edit.load(tmp_path / f"{name}.safetensors") == kept
    full, half = (tmp_path / f"{name}.safetensors" for name in ("full", "half"))
    assert read_meta(full)["dtype"] == "float32"
    assert read_meta(half)["dtype"] == "float16"
    assert load_tensors(half)[0]["unet.conv.weight"].dtype == torch.float16
    assert Edit.load(half).nbytes * 2 == Edit.load(full).nbytes


def test_its_size_counts_the_tensors_of_hooks_too(tmp_path: Path) -> None:
    rich().save(tmp_path / "a.safetensors")
    tensors, _ = load_tensors(tmp_path / "a.safetensors")
    assert rich().nbytes == sum(value.nbytes for value in tensors.values())
    assert rich().guard().nbytes == adapter().down[PLACE].nbytes + adapter().up[PLACE].nbytes


def test_a_file_from_before_hooks_knew_their_base_can_be_read(tmp_path: Path) -> None:
    rich().guard().save(tmp_path / "new.safetensors")
    tensors, meta = load_tensors(tmp_path / "new.safetensors")
    assert set(meta["base"].pop("read")) == {f"{PLACE}.weight", f"{PLACE}.bias"}
    save_tensors(tmp_path / "old.safetensors", tensors, meta)
    old = Edit.load(tmp_path / "old.safetensors")
    assert old == rich().guard()
    assert old.check(model(seed=1)) is BaseMatch.UNBOUND
    with pytest.raises(WrongBase, match=PLACE):
        Edit.load(tmp_path / "new.safetensors").check(model(seed=1))


def test_a_file_without_fitted_hooks_is_as_it_always_was(tmp_path: Path) -> None:
    Edit(hooks=(NegativePrompt(text="a cat"),), recipe=MADE).save(tmp_path / "a.safetensors")
    assert set(read_meta(tmp_path / "a.safetensors")["base"]) == {"name", "family", "tensors"}


def test_others_may_read_it_as_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    rich().save(tmp_path / "a.safetensors")
    rich().save(tmp_path / "a.safetensors")  # over the first
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert len(list(tmp_path.iterdir())) == 2


def test_the_record_lies_beside_the_edit(tmp_path: Path) -> None:
    assert record_folder(tmp_path / "no-cat.safetensors") == tmp_path / "no-cat.record"


def test_what_was_just_made_keeps_its_record_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "no-cat.safetensors"
    tensors = {"choose/0/x": torch.ones(2)}
    edit = rich().made(Making(record={"costs": {}}, tensors=tensors))
    assert edit == rich()
    edit.save(path)
    rich().save(tmp_path / "alone.safetensors")
    assert path.read_bytes() == (tmp_path / "alone.safetensors").read_bytes()
    assert {one.name for one in tmp_path.iterdir()} == {
        "no-cat.safetensors", "no-cat.record", "alone.safetensors",
    }  # fmt: skip
    read = Edit.load(path)
    for one in (edit, read):
        assert one.making is not None
        assert one.making.record == {"costs": {}}
        assert torch.equal(one.making.tensors["choose/0/x"], tensors["choose/0/x"])
    # What brings it back goes nowhere by itself, and is not that of another edit.
    read.save(tmp_path / "release" / "no-cat.safetensors")
    assert [one.name for one in (tmp_path / "release").iterdir()] == ["no-cat.safetensors"]
    changed = (edit + edit, read.guard(), replace(edit, recipe=MADE))
    assert [one.making for one in changed] == [None] * len(changed)


def test_a_record_that_is_none_is_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "no-cat.safetensors"
    rich().made(Making(record={"costs": {}})).save(path)
    (tmp_path / "no-cat.record" / "record.json").write_text("[]")
    with pytest.raises(BadFile, match="record.json"):
        _ = Edit.load(path).making


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Mine(Hook):
        name: ClassVar[str] = "mine"

    @dataclass(frozen=True, kw_only=True)
    class Impostor(Hook):
        name: ClassVar[str] = "adapter"

    for hook in (Mine(), Impostor()):
        with pytest.raises(UserError, match="found by name"):
            Edit(hooks=(hook,), recipe=MADE).save(tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="dataclass"):
        _ = Edit(hooks=(Hook(),), recipe=MADE).digest
    with pytest.raises(BadFile, match="ends in"):
        rich().save(tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


Change = Callable[[dict[str, Tensor], dict[str, Any]], None]


def damage(path: Path, change: Change) -> Path:
    """A file of `rich` with something else in it."""
    rich().save(path)
    tensors, meta = load_tensors(path)
    change(tensors, meta)
    save_tensors(path, tensors, meta)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t, m: t.pop("unet.conv.weight"), "1 missing"),
        (lambda t, m: t.pop("unet.down.weight#up"), "unet.down.weight"),
        (lambda t, m: t.update({"unet.up.weight": torch.ones(1)}), "1 more"),
        (lambda t, m: t.update({"unet.conv.weight": torch.ones(2)}), "shape"),
        (lambda t, m: t.update({"unet.conv.weight": t["unet.conv.weight"] / 0}), "finite"),
        (lambda t, m: t.pop(f"hook/1/up/{PLACE}"), "1 missing"),
        (lambda t, m: t.update({"hook/0/more": torch.ones(1)}), "1 more"),
        (lambda t, m: t.update({"hook/7/more": torch.ones(1)}), "1 more"),
        (lambda t, m: m["hooks"][0]["settings"].update({"place": "nowhere"}), "place"),
        (lambda t, m: m["hooks"][0]["settings"].update({"volume": 1}), "volume"),
        (lambda t, m: m["hooks"][0]["settings"].pop("text"), "text"),
        (lambda t, m: m.pop("recipe"), "recipe"),
        (lambda t, m: m.update({"recipe": "none"}), "damaged"),
        (lambda t, m: m["base"].update({"tensors": []}), "more"),
        (lambda t, m: m["base"].update({"read": {"unet.down.weight": 1}}), "damaged"),
        (lambda t, m: m["base"]["tensors"]["unet.conv.weight"].update({"shape": "x"}), "damaged"),
        (lambda t, m: m.update({"kind": "guard"}), "guard"),
        (lambda t, m: m.update({"format": "excise.edit/2"}), "version of Excise"),
        (lambda t, m: m.clear(), r"Edit\.between"),
    ],
)
def test_damage_is_explained(tmp_path: Path, change: Change, said: str) -> None:
    with pytest.raises(BadFile, match=said) as caught:
        Edit.load(damage(tmp_path / "a.safetensors", change))
    assert "\n" not in str(caught.value)


def test_an_unknown_hook_is_named(tmp_path: Path) -> None:
    def rename(tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        meta["hooks"][0]["name"] = "negative_promt"

    with pytest.raises(UnknownName, match="install") as caught:
        Edit.load(damage(tmp_path / "a.safetensors", rename))
    assert "did you mean 'negative_prompt'" in str(caught.value)


def test_files_of_others_and_half_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"unet.conv.weight": torch.ones(2)})
    with pytest.raises(BadFile, match="holds other tensors"):
        Edit.load(path)
    rich().save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(BadFile):
            Edit.load(path)
    with pytest.raises(BadFile, match="found none"):
        Edit.load(tmp_path / "none.safetensors")


def test_sparse_deltas_stay_sparse(tmp_path: Path) -> None:
    edit = rich()
    assert isinstance(edit.deltas["text_encoder.text_model.weight"], Sparse)
    assert "unet.down.bias" not in edit.deltas
