from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests import tiny
from tests.trained import World, world
from torch import Tensor

from excise.errors import BadFile, BadSetting, NumericalError, UserError
from excise.models.load import of_pipeline
from excise.primitives.carrying import carry, replay
from excise.primitives.denoising import Bank, concept_loss
from excise.primitives.inversion import Inversion, Inverter
from excise.primitives.spaces import SOFT, Name
from excise.primitives.vocabulary import vocabulary
from excise.progress import Silent
from excise.store import Stages
from excise.types import Denoise, Hook, State, Step

QUICK = Inverter(steps=30, samples=2, warmup=3, bank=16, template="a <1>")


class Killed(Silent):
    """Stops the run from outside after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, n: int = 1) -> None:
        self.left -= n
        if n and self.left <= 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@pytest.fixture(scope="module")
def found(w: World) -> dict[str, Inversion]:
    """One search a rung, on equal terms."""
    rungs: dict[str, tuple[Name, int]] = {
        "1": ("token", 1), "4": ("token", 4),
        "condition": ("condition", 1), "step_condition": ("step_condition", 1),
    }  # fmt: skip
    return {
        name: replace(QUICK, space=space, tokens=k, bands=4, samples=4).run(
            w.model, w.latents["cat"], restarts=4
        )
        for name, (space, k) in rungs.items()
    }


def same(a: Inversion, b: Inversion) -> bool:
    return (
        a.digest == b.digest
        and torch.equal(a.losses, b.losses)
        and torch.equal(a.curves, b.curves)
        and dict(a.settings) == dict(b.settings)
    )


def test_the_loss_goes_down_to_that_of_the_word(w: World, found: dict[str, Inversion]) -> None:
    bank = Bank.of(w.latents["cat"], 16)
    words = w.model.encode(["a cat", "a dog"]).detach()
    own, other = concept_loss(w.model, w.latents["cat"], words, bank).mean(dim=1).tolist()
    assert own < 0.5 * other
    for name, inversion in found.items():
        first, last = inversion.curves[:, :5].mean(), inversion.curves[:, -5:].mean()
        assert last < first, name
        assert (inversion.loss < 1.1 * own).all(), name


def test_a_higher_rung_reaches_no_less(found: dict[str, Inversion]) -> None:
    ladder = [float(found[name].loss.min()) for name in ("1", "condition", "step_condition")]
    assert ladder[1] < 1.05 * ladder[0]
    assert ladder[2] < 1.05 * ladder[1]
    assert found["4"].loss.min() < 1.05 * found["1"].loss.min()


def test_what_is_found_draws_the_thing(w: World, found: dict[str, Inversion]) -> None:
    cat = w.latents["cat"].mean(0).flatten()
    for name, inversion in found.items():
        row = int(inversion.loss.argmin())
        request = replace(inversion.request(w.model, row, seeds=range(4)), steps=6, guidance=1.0)
        drawn = w.model.generate(request).latents
        assert drawn is not None
        assert (torch.cosine_similarity(drawn.flatten(1), cat[None]) > 0.5).all(), name


def test_norms_stay_within_the_vocabulary_s(w: World) -> None:
    norms = vocabulary(w.model, "text_encoder").norm(dim=1)
    bound = replace(QUICK, tokens=2, lr=3.0, steps=10, norms=(0.2, 0.8)).run(
        w.model, w.latents["cat"], restarts=3
    )
    low, high = torch.quantile(norms, torch.tensor([0.2, 0.8]))
    got = bound.values["text_encoder"].norm(dim=-1)
    assert got.shape == (3, 2)
    assert (got >= low - 1e-4).all()
    assert (got <= high + 1e-4).all()
    assert got.max() > high - 1e-3  # such a rate would have left the range


def test_the_model_is_left_as_it_was(w: World) -> None:
    before = w.model.fingerprint()
    parameters = w.model.parameters(("unet", "text_encoder", "vae"))
    flag = next(iter(parameters))
    parameters[flag].requires_grad_(True)
    try:
        replace(QUICK, steps=2).run(w.model, w.latents["cat"])
        assert [n for n, p in parameters.items() if p.requires_grad] == [flag]
    finally:
        parameters[flag].requires_grad_(False)
    assert all(p.grad is None for p in parameters.values())
    assert w.model.fingerprint() == before
    assert w.model.edits == ()


def test_the_same_seed_gives_the_same_bytes(w: World, tmp_path: Path) -> None:
    for name in ("a", "b"):
        replace(QUICK, steps=4).run(w.model, w.latents["cat"], restarts=2, seed=5).save(
            tmp_path / name
        )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    other = replace(QUICK, steps=4).run(w.model, w.latents["cat"], restarts=2, seed=6)
    assert other.digest != Inversion.load(tmp_path / "a").digest


def test_a_row_does_not_depend_on_its_neighbours(w: World) -> None:
    inverter = replace(QUICK, steps=5, warmup=0)
    few = inverter.run(w.model, w.latents["cat"], restarts=2)
    many = inverter.run(w.model, w.latents["cat"], restarts=5)
    cut = replace(inverter, batch=2).run(w.model, w.latents["cat"], restarts=5)
    for name, value in few.values.items():
        assert torch.allclose(value, many.values[name][:2], rtol=1e-3, atol=1e-3)
        assert torch.allclose(many.values[name], cut.values[name], rtol=1e-3, atol=1e-3)
    assert torch.allclose(few.curves, many.curves[:2], rtol=1e-3)
    assert many.values["text_encoder"].std(dim=0).min() > 0  # and rows are different


@pytest.mark.parametrize("space", ["token", "step_condition"])
def test_a_killed_search_ends_with_the_same_bytes(w: World, tmp_path: Path, space: Name) -> None:
    inverter = replace(QUICK, steps=6, space=space, bands=2)
    latents = w.latents["cat"]
    whole = inverter.run(w.model, latents, restarts=2)
    stages = Stages(tmp_path, every_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        inverter.run(w.model, latents, restarts=2, stages=stages, progress=Killed(3))
    assert [p.name.endswith(".part.safetensors") for p in tmp_path.iterdir()] == [True]
    evaluations = w.model.costs.gradients
    resumed = inverter.run(w.model, latents, restarts=2, stages=stages)
    assert w.model.costs.gradients - evaluations == 3 * 2 * 2  # three steps were left
    assert same(whole, resumed)
    evaluations = w.model.costs.evaluations
    again = inverter.run(w.model, latents, restarts=2, stages=stages)
    assert w.model.costs.evaluations == evaluations  # found, not searched
    assert same(whole, again)


def test_gradients_reach_the_soft_tokens_alone(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    original = type(w.model).encode_soft

    def spy(self, text, soft):  # type: ignore[no-untyped-def]
        seen.extend(soft[SOFT].values())
        return original(self, text, soft)

    monkeypatch.setattr(type(w.model), "encode_soft", spy)
    replace(QUICK, steps=1).run(w.model, w.latents["cat"])
    assert any(value.requires_grad for value in seen)
    assert all(p.grad is None for p in w.model.parameters("text_encoder").values())


def test_saved_and_loaded_it_is_the_same(found: dict[str, Inversion], tmp_path: Path) -> None:
    for name, inversion in found.items():
        inversion.save(tmp_path / name)
        assert same(inversion, Inversion.load(tmp_path / name))
    with pytest.raises(BadFile):
        (tmp_path / "junk").write_bytes(b"junk")
        Inversion.load(tmp_path / "junk")


def test_prompts_and_conditions_say_the_same(w: World, found: dict[str, Inversion]) -> None:
    tokens = found["4"]
    prompts = tokens.prompts("a photo of <1>")
    assert len(prompts) == 4
    assert prompts[0] != prompts[1]
    assert torch.allclose(
        w.model.encode(tokens.prompts()).hidden, tokens.conditions(w.model).hidden, atol=1e-5
    )
    with pytest.raises(UserError, match="conditions"):
        found["condition"].prompts()


def test_losses_are_paired_by_the_bank(w: World, found: dict[str, Inversion]) -> None:
    assert len({inversion.bank for inversion in found.values()}) == 1
    again = replay(w.model, found["1"], w.latents["cat"])
    assert torch.allclose(again.losses, found["1"].losses, rtol=1e-4)
    other = replay(w.model, found["1"], w.latents["dog"], Bank.of(w.latents["dog"], 16))
    assert other.loss.mean() > found["1"].loss.mean()
    assert other.pictures != found["1"].pictures


def test_carrying_mends_what_an_edit_broke(w: World, found: dict[str, Inversion]) -> None:
    start = found["condition"]
    name = "unet.conv_out.bias"
    shift = {name: 0.3 * torch.ones_like(w.model.parameters(name)[name])}
    with w.model.swapped(shift, key="shifted"):
        screen = replay(w.model, start, w.latents["cat"])
        carried = carry(w.model, start, w.latents["cat"], 10)
    assert carried.loss.mean() < screen.loss.mean()
    assert carried.edits == ("shifted",)
    assert carried.curves.shape == (4, 10)


class Rescaled(Hook):
    """A guard that changes every prediction, and remembers at which steps it was asked."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def prediction(self, model, denoise: Denoise, x, step, cond, null, state):  # type: ignore[no-untyped-def]
        self.steps.append(step)
        assert null is not None
        assert len(null) == len(cond) == len(x)
        out, inner = denoise(x, step, cond, null, state.inner)
        return 0.5 * out, State(inner=inner)


def test_a_hooked_model_is_attacked_through_its_hooks(w: World) -> None:
    guard = Rescaled()
    inverter = replace(QUICK, steps=3, bank=4)
    plain = inverter.run(w.model, w.latents["cat"], restarts=2)
    with w.model.hooked([guard], key="guard"):
        hooked = inverter.run(w.model, w.latents["cat"], restarts=2)
    assert not torch.equal(plain.losses, hooked.losses)
    assert hooked.edits == ("guard",)
    assert {step.total for step in guard.steps} == {6}  # the model's own
    assert all(abs((1 - s.u) * 5 - s.index) <= 0.5 for s in guard.steps)


def test_texts_are_gone_through_in_turn_and_change_nothing_where_there_are_none(w: World) -> None:
    latents = w.latents["cat"]
    one = replace(QUICK, steps=2, warmup=0).run(w.model, latents, restarts=2)
    # The first step reads the template, the second the first of the texts.
    two = replace(QUICK, steps=2, warmup=0, texts=("a photo of a <1>",))
    both = two.run(w.model, latents, restarts=2)
    assert torch.equal(one.curves[:, 0], both.curves[:, 0])
    assert not torch.equal(one.curves[:, 1], both.curves[:, 1])
    assert one.settings["texts"] == []
    with pytest.raises(BadSetting, match="space token"):
        replace(QUICK, space="condition", texts=("a <1>",))
    with pytest.raises(BadSetting, match="once"):
        replace(QUICK, texts=("a cat",)).run(w.model, latents)


def test_what_cannot_be_searched_is_refused(w: World) -> None:
    latents = w.latents["cat"]
    for bad in ({"steps": 0}, {"lr": -1.0}, {"norms": (0.9, 0.1)}, {"space": "picture"}):
        with pytest.raises(BadSetting):
            replace(QUICK, **bad)
    with pytest.raises(BadSetting, match="template"):
        replace(QUICK, template="a cat").run(w.model, latents)
    with pytest.raises(UserError, match="restarts"):
        QUICK.run(w.model, latents, restarts=0)
    with pytest.raises(NumericalError, match="step 1 of 30"):
        QUICK.run(w.model, latents * float("nan"))


@pytest.mark.parametrize("family", ["sdxl", "sd3"])
def test_families_with_several_encoders_are_searched_in_every_space(family: str) -> None:
    model = of_pipeline(tiny.FAMILIES[family](), family)
    latents = torch.randn(2, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    spaces: tuple[Name, ...] = ("token", "condition", "step_condition")
    for space in spaces:
        found = Inverter(
            space=space, steps=2, samples=2, warmup=0, bands=2, bank=2, weighting="min_snr"
        ).run(model, latents, restarts=2)
        assert found.losses.isfinite().all()
        expected = {"hidden", "pooled"} if space != "token" else set(model.encoders)
        assert set(found.values) == expected
        drawn = model.generate(replace(found.request(model, 1), steps=2, guidance=3.0))
        assert drawn.pictures.shape == (1, 3, *model.picture_size)
