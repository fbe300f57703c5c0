from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.edit import BaseMatch, Edit, LowRank, Recipe
from excise.errors import BadFile, Unsupported, UserError, WrongBase
from excise.hooks.adapter import Adapter
from excise.hooks.leace import LEACE
from excise.hooks.negative_prompt import NegativePrompt
from excise.hooks.places import places
from excise.models.load import load, of_pipeline
from excise.models.quiet import quietly
from excise.rng import generator, noise
from excise.store import load_tensors
from excise.types import Hook, Step

MADE = Recipe(method="test")
STEP = Step(u=0.5, guidance=3.0)


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


@pytest.fixture
def sd1() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "sd1")


def random_edit(model: Any, selector: str = "cross_attention_kv", seed: int = 0) -> Edit:
    deltas: dict[str, Tensor | LowRank] = {}
    for name, weight in model.parameters(selector).items():
        random = generator(name, seed)
        deltas[name] = 0.1 * torch.randn(weight.shape, generator=random)
        if weight.dim() == 2:
            up = torch.randn(weight.shape[0], 1, generator=random)
            deltas[name] = LowRank(0.1 * up, torch.randn(1, weight.shape[1], generator=random))
    return Edit.of(model, deltas, recipe=MADE)


@torch.no_grad()
def drawn(model: Any) -> Tensor:
    """One guided step of two rows."""
    cond, null = model.conditions(["a cat", "a dog"])
    x = noise([0, 1], model.latent_shape).to(model.dtype)
    out: Tensor = model.denoise(x, STEP, cond, null)[0]
    return out.float()


def test_an_edit_changes_what_is_drawn_and_leaves_the_model_as_it_was(model: Any) -> None:
    edit, before, print_before = random_edit(model), drawn(model), model.fingerprint()
    with edit.applied(model) as match:
        assert match is BaseMatch.EXACT
        assert model.edits == (edit.digest,)
        assert not torch.allclose(drawn(model), before, atol=1e-3)
    assert model.edits == ()
    assert model.fingerprint() == print_before
    assert torch.equal(drawn(model), before)


def test_after_an_error_too(model: Any) -> None:
    before, edit = model.fingerprint(), random_edit(model)
    with pytest.raises(ZeroDivisionError), edit.applied(model):
        raise ZeroDivisionError
    assert (model.fingerprint(), model.edits) == (before, ())


def test_algebra_is_behaviour(model: Any) -> None:
    a, b = random_edit(model), random_edit(model, "text_encoder", seed=1)
    with a.applied(model), b.applied(model, transfer=True):
        both = drawn(model)
    for same in (a + b, b + a, 0.5 * a + b + 0.5 * a, a - -b):
        with same.applied(model):
            assert torch.allclose(drawn(model), both, atol=1e-3)
    with (a - a).applied(model) as match:
        assert match is BaseMatch.EXACT
    with (2 * a + b).applied(model):
        assert not torch.allclose(drawn(model), both, atol=1e-3)


def test_successive_edits_each_know_their_base(sd1: Any, tmp_path: Path) -> None:
    first = random_edit(sd1)
    with first.applied(sd1):
        second = random_edit(sd1, "unet.*attn2.to_k.weight", seed=1)
        with second.applied(sd1):
            both = drawn(sd1)
    for edit in (first, second):
        edit.save(tmp_path / f"{edit.digest}.safetensors")
    first, second = (Edit.load(tmp_path / f"{e.digest}.safetensors") for e in (first, second))
    with first.applied(sd1), second.applied(sd1) as match:
        assert match is BaseMatch.EXACT
        assert torch.equal(drawn(sd1), both)
    with pytest.raises(WrongBase, match=r"a\.then\(b\)"), second.applied(sd1):
        pass
    with first.then(second).applied(sd1):
        assert torch.allclose(drawn(sd1), both, atol=1e-3)


def test_another_base_is_refused_unless_transfer_is_asked_for(sd1: Any) -> None:
    edit = random_edit(sd1)
    tuned = of_pipeline(tiny.stable_diffusion(), "tuned")
    with torch.no_grad():
        for weight in tuned.parameters("*").values():
            weight.add_(1e-4)
    with pytest.raises(WrongBase, match=r"sd1.*tuned.*ask for transfer") as caught:
        edit.check(tuned)
    assert f"{len(edit.deltas)} of {len(edit.deltas)}" in str(caught.value)
    with edit.applied(tuned, transfer=True) as match:
        assert match is BaseMatch.TRANSFER


def test_another_architecture_is_refused_even_then(sd1: Any) -> None:
    edit, other = random_edit(sd1), of_pipeline(tiny.sdxl(), "sdxl")
    with pytest.raises(WrongBase, match="family"):
        edit.check(other)
    with pytest.raises(WrongBase, match=r"no such weight|shape"):
        edit.check(other, transfer=True)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_the_same_base_in_another_precision_is_accepted(sd1: Any, half: torch.dtype) -> None:
    edit = random_edit(sd1, "denoiser")
    pipeline = tiny.stable_diffusion().to(half)
    rounded = of_pipeline(pipeline, "half")
    assert edit.check(rounded) is BaseMatch.PRECISION
    back = random_edit(rounded, "denoiser")
    assert back.check(rounded) is BaseMatch.EXACT
    assert back.check(sd1) is BaseMatch.PRECISION
    name, weight = next(iter(rounded.parameters("denoiser").items()))
    before = weight.detach().clone()
    with edit.applied(rounded):
        assert weight.dtype == half
        assert torch.equal(weight, (before.float() + edit.dense(name)).to(half))
    assert torch.equal(weight, before)


# Guards.


def fitted(model: Any) -> LEACE:
    """To nothing in particular, at every place."""
    width = {p.key: model.encode("a").tensors[p.feature].shape[-1] for p in places(model)}
    random = {key: torch.randn(d, generator=generator(key)) for key, d in width.items()}
    return LEACE(
        mean=random,
        left={key: v[:, None] for key, v in random.items()},
        right={key: v[None] for key, v in random.items()},
    )


def tuned(model: Any, selector: str) -> Any:
    """The same model, some of it trained a little further."""
    other = model.copied()
    with torch.no_grad():
        for weight in other.parameters(selector).values():
            weight.mul_(1.01)
    return other


def test_a_guard_is_refused_where_what_it_was_fitted_to_has_changed(
    model: Any, tmp_path: Path
) -> None:
    made = Edit.of(model, hooks=(fitted(model),), recipe=MADE)
    made.save(tmp_path / "guard.safetensors")
    for edit in (made, Edit.load(tmp_path / "guard.safetensors"), 0.5 * made, made.guard()):
        assert edit.check(model) is BaseMatch.EXACT
        assert edit.check(tuned(model, "denoiser")) is BaseMatch.EXACT  # it reads texts alone
        for encoder in model.encoders:
            other = tuned(model, encoder)
            with pytest.raises(WrongBase, match=encoder), edit.applied(other):
                pass
            with edit.applied(other, transfer=True) as match:
                assert match is BaseMatch.TRANSFER
    assert made.task_vector().base.records == {}


def test_a_hook_was_fitted_to_what_it_is_handed(sd1: Any) -> None:
    place = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    beside = Adapter(down={place: torch.ones(2, 32)}, up={place: torch.ones(32, 2)})

    @dataclass(frozen=True, eq=False, kw_only=True)
    class Steering(Hook):
        way: Tensor

        def prediction(self, model: Any, denoise: Any, x: Tensor, *step: Any) -> Any:
            return super().prediction(model, denoise, x + self.way, *step)

    for hook, read in (
        (fitted(sd1), sd1.parameters("text_encoder")),
        (beside, [name for name in sd1.parameters("unet") if name.startswith(f"{place}.")]),
        (Steering(way=torch.ones(1)), sd1.parameters("unet")),
        (NegativePrompt(text="a cat"), ()),
    ):
        assert set(Edit.of(sd1, hooks=(hook,), recipe=MADE).base.read) == set(read)


def test_a_guard_without_tensors_may_go_on_any_model_of_the_family(sd1: Any) -> None:
    edit = Edit.of(sd1, hooks=(NegativePrompt(text="a cat"),), recipe=MADE)
    for model in (sd1, tuned(sd1, "*")):
        assert edit.check(model) is BaseMatch.UNBOUND
    with pytest.raises(WrongBase, match="family"):
        edit.check(of_pipeline(tiny.sdxl(), "sdxl"))
    both = edit + random_edit(sd1)
    assert both.check(sd1) is BaseMatch.EXACT


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_a_guard_goes_on_the_same_base_in_another_precision(sd1: Any, half: torch.dtype) -> None:
    edit = Edit.of(sd1, hooks=(fitted(sd1),), recipe=MADE)
    assert edit.check(of_pipeline(tiny.stable_diffusion().to(half), "half")) is BaseMatch.PRECISION


def test_a_guard_on_an_edit_of_the_text_encoder_knows_what_it_was_made_for(sd1: Any) -> None:
    words = random_edit(sd1, "text_encoder")
    early = Edit.of(sd1, hooks=(fitted(sd1),), recipe=MADE)
    with words.applied(sd1):
        late = Edit.of(sd1, hooks=(fitted(sd1),), recipe=MADE)
        assert late.check(sd1) is BaseMatch.EXACT
        with pytest.raises(WrongBase, match=r"a\.then\(b\)"):
            early.check(sd1)
    with pytest.raises(WrongBase, match="text_encoder"):
        late.check(sd1)
    assert words.then(late).check(sd1) is BaseMatch.EXACT
    assert (words + early).check(sd1) is BaseMatch.EXACT
    for wrong in (lambda: words + late, lambda: words.then(early)):
        with pytest.raises(WrongBase):
            wrong()


# Plain weights.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_baked_model_draws_as_the_edited_one(model: Any, tmp_path: Path, dtype: Any) -> None:
    if dtype == torch.float16:
        model = of_pipeline(tiny.FAMILIES[model.name]().to(dtype), "half")
    edit, before = random_edit(model, "*"), model.fingerprint()
    assert edit.bake(model, tmp_path / "baked") is BaseMatch.EXACT
    assert model.fingerprint() == before
    assert [path.name for path in tmp_path.iterdir()] == ["baked"]
    baked = load(tmp_path / "baked", dtype=dtype, device="cpu", autocast=False)
    with edit.applied(model):
        live = model.parameters("*")
        for name, weight in baked.parameters("*").items():
            assert torch.equal(weight, live[name]), name
        assert model.defaults == baked.defaults
        if dtype == torch.float32:
            assert torch.equal(drawn(baked), drawn(model))
    assert Edit.between(model, baked).deltas.keys() == edit.deltas.keys()


def test_a_baked_folder_opens_in_plain_diffusers(tmp_path: Path) -> None:
    import diffusers
    import transformers

    half = of_pipeline(tiny.stable_diffusion().to(torch.float16), "half")
    random_edit(half).bake(half, tmp_path / "baked")
    with quietly():
        pipeline = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "baked")
        pipeline.set_progress_bar_config(disable=True)
        (picture,) = pipeline("a cat", num_inference_steps=1, output_type="np").images
    assert picture.shape == (16, 16, 3)  # the encoder's precision fits the U-Net's
    folder = tmp_path / "baked" / "tokenizer"
    old = transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    assert (
        old("a photo of a cat")["input_ids"] == pipeline.tokenizer("a photo of a cat")["input_ids"]
    )
    names = load_tensors(tmp_path / "baked" / "text_encoder" / "model.safetensors")[0]
    assert all(name.startswith("text_model.") for name in names)


def test_hooks_cannot_be_baked(sd1: Any, tmp_path: Path) -> None:
    edit = random_edit(sd1) + Edit.of(sd1, hooks=[NegativePrompt(text="cat")], recipe=MADE)
    for write in (edit.bake, edit.export):
        with pytest.raises(Unsupported, match=r"negative_prompt.*edit's own file"):
            write(sd1, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []
    edit.task_vector().bake(sd1, tmp_path / "x")


def test_a_folder_is_written_whole_or_not_at_all(
    sd1: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = random_edit(sd1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(BadFile, match="new or empty"):
        edit.bake(sd1, tmp_path / "mine")
    monkeypatch.setattr(type(sd1.pipeline), "save_config", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        edit.bake(sd1, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert sd1.edits == ()


def test_a_baked_folder_may_be_read_as_any_new_one(sd1: Any, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    random_edit(sd1).bake(sd1, tmp_path / "baked")
    random_edit(sd1).export(sd1, tmp_path / "weights.safetensors")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 6
    assert {path.stat().st_mode for path in files} == {(tmp_path / "plain").stat().st_mode}


def test_adapters_of_others_cannot_be_saved(sd1: Any, tmp_path: Path) -> None:
    from peft import LoraConfig

    sd1.pipeline.unet.add_adapter(LoraConfig(r=1, target_modules=["to_k"]))
    with pytest.raises(Unsupported, match="unload_lora_weights"):
        random_edit(sd1).bake(sd1, tmp_path / "baked")
    assert list(tmp_path.iterdir()) == []


def test_exported_weights_are_those_of_the_edited_model(sd1: Any, tmp_path: Path) -> None:
    edit = random_edit(sd1)
    edit.export(sd1, tmp_path / "weights.safetensors")
    tensors, _ = load_tensors(tmp_path / "weights.safetensors")
    assert tensors.keys() == edit.deltas.keys()
    own = {name.removeprefix("unet."): tensor for name, tensor in tensors.items()}
    other = tiny.stable_diffusion()
    assert other.unet.load_state_dict(own, strict=False).unexpected_keys == []
    with edit.applied(sd1):
        assert torch.equal(drawn(of_pipeline(other, "other")), drawn(sd1))
    with pytest.raises(BadFile, match="ends in"):
        edit.export(sd1, tmp_path / "weights.pt")


# Somebody else's fine-tuned model.


def test_the_difference_of_two_models_is_an_edit(sd1: Any) -> None:
    made, tuned = random_edit(sd1), of_pipeline(tiny.stable_diffusion(), "tuned")
    with torch.no_grad():
        for name, weight in tuned.parameters(tuple(made.deltas)).items():
            weight.add_(made.dense(name))
    found = Edit.between(sd1, tuned)
    assert found.deltas.keys() == made.deltas.keys()
    assert found.cosine(made) == pytest.approx(1)
    assert found.recipe.settings == {"base": "sd1", "edited": "tuned"}
    with found.applied(sd1):
        assert torch.allclose(drawn(sd1), drawn(tuned), atol=1e-4)


def test_lost_precision_alone_is_no_edit(sd1: Any) -> None:
    for half in (torch.float16, torch.bfloat16):
        assert not Edit.between(sd1, of_pipeline(tiny.stable_diffusion().to(half), "half")).deltas


def test_models_that_differ_in_more_than_values_are_refused(sd1: Any) -> None:
    with pytest.raises(UserError, match="one family"):
        Edit.between(sd1, of_pipeline(tiny.sdxl(), "sdxl"))
    weights = {"unet.a": torch.ones(2), "unet.b": torch.ones(2)}
    with pytest.raises(UserError, match=r"1 are only in the base \['unet.b'\]"):
        Edit.from_weights(weights, {"unet.a": torch.ones(2)})
    with pytest.raises(UserError, match=r"\(2,\).*\(3,\)"):
        Edit.from_weights(weights, {**weights, "unet.b": torch.ones(3)})
