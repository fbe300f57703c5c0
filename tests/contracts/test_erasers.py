"""What every eraser must do; a new one is found by its file, and brings its smallest settings."""

from __future__ import annotations

import dataclasses
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny

from excise import registry
from excise.edit import BaseMatch, Edit, LowRank
from excise.erasers.base import BUDGETS, Eraser
from excise.erasers.declared import SAID, lacking
from excise.errors import BadSetting, Unsupported, WrongBase
from excise.models.load import of_pipeline
from excise.progress import Silent
from excise.registry import build, recipe
from excise.rng import generator, noise
from excise.store import Stages
from excise.types import Concept, digest

CAT = Concept("cat", synonyms=("x",), templates=("{a}",), neighbours=("dog",), anchor="tree")
DOG = Concept("dog", templates=("{a}",), neighbours=("tree",))


@pytest.fixture(scope="module", params=registry.names("eraser"))
def kind(request: pytest.FixtureRequest) -> type[Eraser]:
    found: type[Eraser] = registry.get("eraser", request.param)
    return found


@pytest.fixture(scope="module")
def method(kind: type[Eraser]) -> Eraser:
    assert kind.smallest, f"say {kind.name}.smallest: settings for a run of a second or two"
    return build(kind, kind.smallest)


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


@pytest.fixture(scope="module")
def edit(method: Eraser, model: Any) -> Edit:
    return method.run(model, CAT, seed=1)


def snapshot(model: Any) -> dict[str, Any]:
    """Everything of a pipeline that must be as it was."""
    scheduler = model.pipeline.scheduler
    state: dict[str, Any] = {
        "weights": model.fingerprint(),
        "hooks": model.hooks,
        "edits": model.edits,
        "scheduler": (id(scheduler), {name: repr(v) for name, v in vars(scheduler).items()}),
    }
    for part, component in model.components.items():
        for name, value in component.named_parameters():
            state[f"{part}.{name}"] = (value.data_ptr(), value.dtype, value.requires_grad)
            state[f"{part}.{name}.grad"] = value.grad is None
        for name, value in component.named_buffers():
            state[f"{part}.{name}"] = (value.data_ptr(), value.dtype, digest(value))
        for name, module in component.named_modules():
            state[f"{part}.{name}.processor"] = id(getattr(module, "processor", None))
            hooks = (len(module._forward_hooks), len(module._forward_pre_hooks))
            state[f"{part}.{name}()"] = (module.training, hooks, "forward" in module.__dict__)
    return state


def spoiled(model: Any) -> dict[str, Any]:
    """By what it would be, something that a method might leave behind."""
    unet = model.components["unet"]
    attention = unet.mid_block.attentions[0].transformer_blocks[0].attn2
    scheduler = model.pipeline.scheduler

    def frozen() -> None:
        unet.conv_out.bias.requires_grad_(not unet.conv_out.bias.requires_grad)

    return {
        "an edit": lambda: setattr(model, "_edits", ("left",)),
        "a scheduler": lambda: setattr(model.pipeline, "scheduler", deepcopy(scheduler)),
        "its steps": lambda: scheduler.set_timesteps(7),
        "a processor": lambda: setattr(attention, "processor", deepcopy(attention.processor)),
        "a buffer": lambda: next(model.components["text_encoder"].buffers()).add_(1),
        "a hook": lambda: unet.register_forward_hook(lambda *_: None),
        "a mode": lambda: unet.train(),
        "a weight": lambda: unet.conv_out.bias.data.add_(1),
        "a gradient": lambda: setattr(unet.conv_out.bias, "grad", torch.ones(4)),
        "what takes gradients": frozen,
    }


SPOILED = (
    "an edit", "a scheduler", "its steps", "a processor", "a buffer", "a hook", "a mode",
    "a weight", "a gradient", "what takes gradients",
)  # fmt: skip


@pytest.mark.parametrize("what", SPOILED)
def test_what_a_method_leaves_behind_is_seen(what: str) -> None:
    model = of_pipeline(tiny.stable_diffusion(), "tiny")
    before = snapshot(model)
    assert snapshot(model) == before
    spoiled(model)[what]()
    assert snapshot(model) != before


class StopAt(Silent):
    """Is stopped from outside after so many units of work."""

    def __init__(self, units: int) -> None:
        self.left = units

    def advance(self, n: int = 1) -> None:
        self.left -= n
        if n and self.left <= 0:
            raise KeyboardInterrupt


def test_it_is_a_value_that_says_where_it_comes_from(kind: type[Eraser], method: Eraser) -> None:
    assert kind.__module__.rpartition(".")[2] == kind.name
    assert kind.paper.startswith("arXiv:")
    assert dataclasses.is_dataclass(method)
    assert build(kind, recipe(method)) == method
    field = next(iter(recipe(method)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(method, field, None)
    with pytest.raises(TypeError):
        kind(recipe(method)[field])  # type: ignore[call-arg]


def test_settings_by_model_and_budget_can_be_built(kind: type[Eraser]) -> None:
    for settings in kind.measured.values():
        build(kind, settings)
    for budget in BUDGETS:
        scaled = build(kind, {}).at(budget)
        changed = {n for n, v in recipe(scaled).items() if v != recipe(build(kind, {}))[n]}
        assert changed <= {*kind.scaled, *kind.budgeted.get(budget, {})}
    sizes = [[getattr(build(kind, {}).at(b), n) for n in kind.scaled] for b in BUDGETS]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] or not kind.scaled  # a closed form has nothing to do longer


@pytest.mark.parametrize("name", ["ablating", "salun", "stereo", "few_shot"])
def test_a_quick_run_draws_hardly_more_pictures_than_it_goes_through(name: str) -> None:
    """Drawing takes longer than training: what is not looked at is not to be drawn."""
    quick: Any = build(registry.get("eraser", name), {}).at("quick")
    full: Any = build(registry.get("eraser", name), {})
    seen = quick.steps * quick.batch
    if name == "stereo":
        seen = quick.rounds * quick.inversion_steps * quick.inversion_samples
        assert quick.trajectories <= full.trajectories / 4 + 1
    assert max(quick.pictures, getattr(quick, "retained", 0)) <= 1.25 * seen
    if full.pictures > 100:
        assert quick.pictures <= full.pictures / 4


@pytest.mark.parametrize("name", ["ablating", "esd", "gradient_ascent"])
def test_a_rank_is_that_of_what_is_changed(name: str, model: Any) -> None:
    kind = registry.get("eraser", name)
    edit = build(kind, {**kind.smallest, "rank": 1}).run(model, CAT)
    assert edit.deltas
    for delta in edit.deltas.values():
        assert isinstance(delta, LowRank)
        assert delta.up.shape[1] == 1


SELECTING = [
    name
    for name in registry.names("eraser")
    if "selector" in {one.name for one in dataclasses.fields(registry.get("eraser", name))}
]


@pytest.mark.parametrize("name", SELECTING)
@pytest.mark.parametrize("part", ["text_encoder", "vae"])
def test_weights_that_the_training_does_not_depend_on_are_refused(
    name: str, model: Any, part: str
) -> None:
    kind, before = registry.get("eraser", name), snapshot(model)
    with pytest.raises(BadSetting, match=f"'{part}'.*choose weights of the denoiser"):
        build(kind, {**kind.smallest, "selector": part}).run(model, CAT)
    assert snapshot(model) == before


def test_the_model_is_as_it_was(method: Eraser, model: Any) -> None:
    before = snapshot(model)
    method.run(model, CAT)
    assert snapshot(model) == before


def test_the_model_is_as_it_was_after_an_interrupt(method: Eraser, model: Any) -> None:
    before = snapshot(model)
    with pytest.raises(KeyboardInterrupt):
        method.run(model, CAT, progress=StopAt(1))
    assert snapshot(model) == before


def test_the_edit_does_something_and_nothing_once_it_ends(edit: Edit, model: Any) -> None:
    assert edit.deltas or edit.hooks
    drawn = model.generate(["a cat"]).latents
    with edit.applied(model):
        assert not torch.equal(model.generate(["a cat"]).latents, drawn)
    assert torch.equal(model.generate(["a cat"]).latents, drawn)


def test_the_same_seed_gives_the_same_bytes(method: Eraser, edit: Edit, tmp_path: Path) -> None:
    with torch.no_grad():  # whatever the caller's mode, on a model of its own
        again = method.run(of_pipeline(tiny.stable_diffusion(), "tiny"), (CAT,), seed=1)
    edit.save(tmp_path / "a.safetensors")
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_an_edit_comes_back_from_its_file(edit: Edit, method: Eraser, tmp_path: Path) -> None:
    edit.save(tmp_path / "edit.safetensors")
    again = Edit.load(tmp_path / "edit.safetensors")
    assert again == edit
    assert again.recipe == edit.recipe
    assert again.recipe.method == method.name
    assert build(type(method), again.recipe.settings) == method
    assert again.recipe.concept_names == ("cat",)


def test_another_base_is_refused(edit: Edit, model: Any) -> None:
    """Of the same family, which a guard that nothing was fitted for may go on, and of another."""
    other = model.copied()
    with torch.no_grad():
        for weight in other.parameters("*").values():
            weight.mul_(1.01)
    if edit.check(model) is BaseMatch.EXACT:
        with pytest.raises(WrongBase, match="that the edit was made for"):
            edit.check(other)
    else:
        assert edit.check(model) is edit.check(other) is BaseMatch.UNBOUND
        assert edit.nbytes == 0  # no delta, and no tensor of a hook
    with pytest.raises(WrongBase, match="family"):
        edit.check(of_pipeline(tiny.sdxl(), "sdxl"))


def test_a_run_that_was_stopped_ends_with_the_same_bytes(
    method: Eraser, edit: Edit, model: Any, tmp_path: Path
) -> None:
    for stop in (1, 2, 3, 5):
        try:
            stages = Stages(tmp_path, every_seconds=0)
            method.run(model, CAT, seed=1, progress=StopAt(stop), stages=stages)
        except KeyboardInterrupt:
            continue
        break
    assert method.run(model, CAT, seed=1, stages=Stages(tmp_path, every_seconds=0)) == edit


@pytest.mark.parametrize("kind_of", ["object", "implicit"])
def test_pictures_count_where_it_says_so_and_nowhere_else(
    method: Eraser, model: Any, kind_of: Any
) -> None:
    """What no prompt names has to be shown; of what is named, pictures may say more, or nothing."""
    sees, height = method.sees(kind_of), model.picture_size[0]
    if kind_of == "implicit" and "pictures" not in method.given:
        return
    edits = []
    for seed in (1, 2):
        pictures = torch.rand(8, 3, height, height, generator=generator("shown", seed))
        concept = replace(CAT, kind=kind_of, synonyms=(), pictures=pictures)
        edits.append(method.run(model, concept))
    assert (edits[0].digest != edits[1].digest) == sees


def test_several_concepts_are_taken(method: Eraser, model: Any) -> None:
    found = method.erase(model, (CAT, DOG))
    assert found.edit.recipe.concept_names == ("cat", "dog")
    assert found.record["costs"]["seconds"] > 0


@pytest.mark.parametrize("family", sorted(set(tiny.FAMILIES) - {"sd1"}))
def test_it_serves_the_families_that_have_what_it_declares(method: Eraser, family: str) -> None:
    model = of_pipeline(tiny.FAMILIES[family](), family)
    if lacks := lacking(model, method.needed):
        with pytest.raises(Unsupported, match=SAID[lacks[0]]):
            method.run(model, CAT)
        return
    before = model.fingerprint()
    # Settings of the family's own, where the paper's name weights that it has not.
    fitted = build(type(method), {**recipe(type(method).fitted(model)), **method.smallest})
    edit = fitted.run(model, CAT)
    assert edit.deltas or edit.hooks
    drawn = model.generate(["a cat"]).latents
    with edit.applied(model), torch.no_grad():
        assert not torch.equal(model.generate(["a cat"]).latents, drawn)
        x = noise([1], model.latent_shape)
        assert model.predict(x, 0.5, model.encode("a cat")).isfinite().all()
    assert model.fingerprint() == before
