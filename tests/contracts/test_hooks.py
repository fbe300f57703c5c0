"""What every hook must do; a new one needs an example here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise import registry
from excise.edit import Edit, Recipe
from excise.edit.packing import pack
from excise.hooks.adapter import Adapter
from excise.hooks.leace import LEACE
from excise.hooks.negative_prompt import NegativePrompt
from excise.hooks.places import places
from excise.hooks.safree import SAFREE
from excise.hooks.sld import SLD
from excise.models.load import of_pipeline
from excise.primitives.inversion import Inverter
from excise.rng import generator, noise
from excise.types import Gradient, Hook, Prompt, Request, State, Step


def adapter(model: Any) -> Hook:
    keys = {"unet": "unet.*attn2.to_k", "transformer": "transformer.*add_k_proj"}[model.denoiser]
    found = model.modules(keys).items()
    return Adapter(
        down={n: normal("down" + n, 2, m.in_features) for n, m in found},
        up={n: 0.1 * normal("up" + n, m.out_features, 2) for n, m in found},
    )


def leace(model: Any) -> Hook:
    cond = model.encode("a cat")
    width = {p.key: cond.tensors[p.feature].shape[-1] for p in places(model)}
    return LEACE(
        mean={key: normal("mean" + key, d) for key, d in width.items()},
        left={key: 0.1 * normal("left" + key, d, 2) for key, d in width.items()},
        right={key: 0.1 * normal("right" + key, 2, d) for key, d in width.items()},
    )


# One of each, strong enough to be seen on a random model.
EXAMPLES: dict[str, Callable[[Any], Hook]] = {
    "adapter": adapter,
    "leace": leace,
    "negative_prompt": lambda model: NegativePrompt(text="a dog", place="prediction", strength=0.5),
    "safree": lambda model: SAFREE(phrases=("cat", "dog"), middle=0.0),
    "sld": lambda model: SLD(text="a dog", warmup=1),
}


def normal(name: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(name))


@pytest.fixture(scope="module", params=["sd1", "sdxl", "sd3"])
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


@pytest.fixture(scope="module")
def sd() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "sd1")


@pytest.fixture(scope="module", params=["sd1", "sdxl", "sd3"])
def double(request: pytest.FixtureRequest) -> Any:
    pipeline = tiny.FAMILIES[request.param]().to(torch.float64)
    if request.param == "sd3":
        pipeline.text_encoder_3 = None  # T5 computes its norms in float32 whatever its weights are
    return of_pipeline(pipeline, request.param)


@pytest.fixture(params=sorted(EXAMPLES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def steps(n: int = 3, guidance: float = 3.0) -> list[Step]:
    return [Step(u=1 - (i + 1) / (n + 1), index=i, total=n, guidance=guidance) for i in range(n)]


def drawn(model: Any, *hooks: Hook, rows: tuple[int, ...] = (0, 1)) -> list[Tensor]:
    """The predictions of three steps, with the state carried on."""
    with model.hooked(hooks), torch.no_grad():
        cond, null = model.conditions(["a cat", "a red tree"])
        cond, null = cond[list(rows)], null[list(rows)]
        state, found = None, []
        for i, step in enumerate(steps()):
            x = noise([10 * i + row for row in rows], model.latent_shape, model.dtype)
            out, state = model.denoise(x, step, cond, null, state)
            found.append(out)
        return found


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


def test_there_is_an_example_of_every_hook() -> None:
    assert set(EXAMPLES) == set(registry.names("hook"))


def test_it_says_how_gradients_go_through(name: str) -> None:
    kind = registry.get("hook", name)
    assert vars(kind).get("gradient") in get_args(Gradient), "say it in the class itself"


def test_it_does_something_and_nothing_once_it_ends(model: Any, name: str) -> None:
    plain = drawn(model)
    hooked = drawn(model, EXAMPLES[name](model))
    assert not torch.allclose(hooked[-1], plain[-1], atol=1e-3)
    assert same(drawn(model), plain)
    assert model.hooks == ()


def test_rows_are_independent(double: Any, name: str) -> None:
    hook = EXAMPLES[name](double)
    both = drawn(double, hook)
    for row in (0, 1):
        for pair, one in zip(both, drawn(double, hook, rows=(row,)), strict=True):
            torch.testing.assert_close(pair[[row]], one, atol=1e-7, rtol=1e-7)


def test_what_it_remembers_is_in_the_state(model: Any, name: str) -> None:
    """Two drawings, a step of one after a step of the other, are the two drawings by themselves."""
    hook = EXAMPLES[name](model)
    before = pack(hook)
    alone = drawn(model, hook)
    with model.hooked([hook]), torch.no_grad():
        cond, null = model.conditions(["a cat", "a red tree"])
        other, empty = model.conditions(["a photo of a dog"])
        state: State | None = None
        aside: State | None = None
        for i, step in enumerate(steps()):
            x = noise([10 * i, 10 * i + 1], model.latent_shape)
            out, state = model.denoise(x, step, cond, null, state)
            assert torch.equal(out, alone[i])
            _, aside = model.denoise(noise([i], model.latent_shape), step, other, empty, aside)
    after = pack(hook)
    assert after.settings == before.settings
    assert all(torch.equal(after.tensors[n], t) for n, t in before.tensors.items())


def test_it_comes_back_from_an_edit_file(model: Any, name: str, tmp_path: Path) -> None:
    hook = EXAMPLES[name](model)
    edit = Edit.of(model, hooks=[hook], recipe=Recipe(method="test"))
    edit.save(tmp_path / "edit.safetensors")
    (again,) = Edit.load(tmp_path / "edit.safetensors").hooks
    assert type(again) is type(hook)
    assert same(drawn(model, again), drawn(model, hook))


def test_two_of_a_kind_get_along(model: Any, name: str) -> None:
    hook = EXAMPLES[name](model)
    assert all(out.isfinite().all() for out in drawn(model, hook, hook))
    drawn(model, hook, EXAMPLES["sld"](model), EXAMPLES["safree"](model))


def test_composition_terms_pass_through_it(model: Any, name: str) -> None:
    from excise.types import Term

    request = Request(
        prompts=("a cat",), seeds=(0,), steps=2, terms=(Term(prompts=("a tree",), weight=0.5),)
    )
    with model.hooked([EXAMPLES[name](model)]):
        assert model.generate(request).latents.isfinite().all()


# Gradients.


def soft_of(model: Any) -> dict[str, Tensor]:
    """One soft token for every encoder, of a word's size."""
    found = {}
    for encoder, width in model.encoders.items():
        table = model.components[encoder].get_input_embeddings().weight
        scale = table.detach().square().mean().sqrt()
        found[encoder] = scale * normal("soft" + encoder, 1, width).double()
    return found


def loss(model: Any, hook: Hook, soft: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """A weighted sum of the predictions of two steps, under a prompt with a soft token."""
    with model.hooked([hook]):
        cond, null = model.conditions([Prompt("a cat <1> tree", {"<1>": soft})])
        state, total = None, torch.zeros((), dtype=torch.float64)
        for i, step in enumerate(steps(2)):
            out, state = model.denoise(x, step, cond, null, state)
            total = total + (out * normal(f"weights {i}", *out.shape)).sum()
        return total


def leaves(model: Any) -> tuple[dict[str, Tensor], Tensor]:
    soft = {n: v.requires_grad_() for n, v in soft_of(model).items()}
    return soft, normal("x", 1, *model.latent_shape).double().requires_grad_()


def test_finite_differences_agree_where_it_is_differentiable(double: Any, name: str) -> None:
    hook = EXAMPLES[name](double)
    if hook.gradient != "differentiable":
        return  # the test below is about these
    soft, x = leaves(double)
    inputs = [*soft.values(), x]
    with double.trainable(()):
        grads = torch.autograd.grad(loss(double, hook, soft, x), inputs)
        assert all(grad.isfinite().all() and grad.abs().sum() > 0 for grad in grads)
        for which in range(len(inputs)):
            way = normal(f"way {which}", *inputs[which].shape).double()
            ends = []
            for h in (1e-6, -1e-6):
                moved = [v + h * way if i == which else v for i, v in enumerate(inputs)]
                with torch.no_grad():
                    parts = dict(zip(soft, moved[:-1], strict=True))
                    ends.append(loss(double, hook, parts, moved[-1]))
            slope = (ends[0] - ends[1]) / 2e-6
            torch.testing.assert_close((grads[which] * way).sum(), slope, rtol=1e-4, atol=1e-5)


def test_gradients_come_back_as_it_says(double: Any, name: str) -> None:
    hook = EXAMPLES[name](double)
    soft, x = leaves(double)
    with double.trainable(()):
        total = loss(double, hook, soft, x)
        with torch.no_grad():
            assert torch.equal(total, loss(double, hook, soft, x))
        # Also where it is ``none``: then they come around the hook.
        grads = torch.autograd.grad(total, [*soft.values(), x])
    assert all(grad.isfinite().all() and grad.abs().sum() > 0 for grad in grads)


@pytest.mark.parametrize("space", ["token", "step_condition"])
def test_an_attack_goes_through_it(sd: Any, name: str, space: Any) -> None:
    latents = normal("latents", 2, *sd.latent_shape)
    search = Inverter(space=space, steps=2, samples=1, bank=2, guidance=3.0)
    with sd.hooked([EXAMPLES[name](sd)]):
        start = search.run(sd, latents, restarts=2)
        found = search.run(sd, latents, restarts=2, start=start)
    assert found.losses.isfinite().all()
    for key, value in found.values.items():
        assert (value != start.values[key]).flatten(1).any(dim=1).all()


def test_a_hook_that_calls_itself_differentiable_and_is_not_is_caught(double: Any) -> None:
    class Rounds(NegativePrompt):
        def prediction(self, *args: Any) -> tuple[Tensor, State]:
            out, state = super().prediction(*args)
            return out + (10 * out.detach()).sin(), state

    with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError, match="close"):
        patch.setitem(EXAMPLES, "rounds", lambda model: Rounds(text="a dog", place="prediction"))
        test_finite_differences_agree_where_it_is_differentiable(double, "rounds")
