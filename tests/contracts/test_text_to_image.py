"""What every family of models behind the seam must do; new families are added to ``tiny``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tests import tiny
from torch import Tensor

from excise.errors import ExciseError
from excise.models.load import of_pipeline
from excise.models.quiet import quietly
from excise.models.sampler import DISCRETE
from excise.rng import noise
from excise.types import Concept, Condition, Hook, Prompt, Request, Start, State, Step, Term


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


def encoders_and_models() -> Iterator[tuple[str, str]]:
    for family, names in tiny.ENCODERS.items():
        yield from ((family, name) for name in names)


def latents(model: Any, n: int = 2, seed: int = 0) -> Tensor:
    return noise(range(seed, seed + n), model.latent_shape)


def soft_for(model: Any, encoder: str, k: int = 1, seed: int = 5) -> Tensor:
    return 0.1 * noise([seed], (k, model.encoders[encoder]))[0]


def snapshot(model: Any) -> dict[str, Any]:
    """Everything of a pipeline that must be as it was."""
    state: dict[str, Any] = {"scheduler": repr(model.pipeline.scheduler.__dict__)}
    for part, component in model.components.items():
        for name, value in component.named_parameters():
            where = (value.data_ptr(), value.dtype, value.device, value.requires_grad)
            state[f"{part}.{name}"] = (*where, value.grad, value.detach().clone())
        for name, module in component.named_modules():
            hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
            state[f"{part}.{name}()"] = (
                module.training,
                *(tuple(h) for h in hooks),
                module.__dict__.get("forward"),
                id(getattr(module, "processor", None)),
            )
    return state


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    for key, value in before.items():
        if isinstance(value, tuple) and isinstance(value[-1], Tensor):
            assert value[:-1] == after[key][:-1], key
            assert torch.equal(value[-1], after[key][-1]), key
        else:
            assert value == after[key], key


# Text.


def test_encodes_as_the_pipeline_does(model: Any) -> None:
    texts = ["a photo of a cat", "a dog, in the style of xyz"]
    with torch.no_grad():
        cond = model.encode(texts)
    arguments = {"prompt": texts, "device": "cpu", "num_images_per_prompt": 1}
    extra = {"prompt_2": None, "prompt_3": None} if model.family == "sd3" else {}
    with torch.no_grad(), quietly():
        theirs = model.pipeline.encode_prompt(
            **arguments, **extra, do_classifier_free_guidance=False
        )
    assert torch.equal(cond.hidden, theirs[0])
    if "pooled" in cond.tensors:
        assert torch.equal(cond.tensors["pooled"], theirs[2])


def test_equal_texts_are_encoded_once(model: Any) -> None:
    with torch.no_grad():
        few = model.encode(["a cat", "a dog"])
        many = model.encode(["a dog", "a cat", "a dog"] * 50)
        other = model.encode([f"a {i}" for i in range(70)])
    torch.testing.assert_close(many.hidden[:3], few[[1, 0, 1]].hidden)
    assert many.tokens["text_encoder"].spans[:2] == few[[1, 0]].tokens["text_encoder"].spans
    assert len(other) == 70


def test_null_is_the_pipelines(model: Any) -> None:
    arguments = {"prompt": ["a cat"], "device": "cpu", "num_images_per_prompt": 1}
    extra = {"prompt_2": None, "prompt_3": None} if model.family == "sd3" else {}
    with torch.no_grad(), quietly():
        theirs = model.pipeline.encode_prompt(
            **arguments, **extra, do_classifier_free_guidance=True
        )
        null = model.null(2)
    assert torch.equal(null.hidden[:1], theirs[1])
    assert len(null) == 2
    assert torch.equal(null.hidden[0], null.hidden[1])


@pytest.mark.parametrize(("family", "encoder"), list(encoders_and_models()))
def test_soft_tokens_reach_one_encoder_alone(family: str, encoder: str) -> None:
    model = of_pipeline(tiny.FAMILIES[family](), family)
    vectors = {name: soft_for(model, name).requires_grad_() for name in model.encoders}
    alone = vectors[encoder]
    prompt = Prompt("a photo of <1> in the tree", {"<1>": {encoder: alone}})
    with model.trainable():
        cond = model.encode(prompt)
        x = latents(model, 1)
        model.predict(x, 0.5, cond).square().sum().backward()
    assert alone.grad is not None
    assert alone.grad.abs().sum() > 0
    assert all(v.grad is None for n, v in vectors.items() if n != encoder)
    plain = model.encode("a photo of " + model.encoding.encoders[encoder].cutter.placeholder)
    start, stop = cond.tokens[encoder].find(0, "<1>")
    assert (start, stop) == plain.tokens[encoder].find(0, plain_word(model, encoder))


def plain_word(model: Any, encoder: str) -> str:
    return str(model.encoding.encoders[encoder].cutter.placeholder)


def test_the_placeholders_own_embedding_changes_nothing(model: Any) -> None:
    for name, encoder in model.encoding.encoders.items():
        word = encoder.cutter.placeholder
        plain = model.encode(f"a photo of {word} {word} in the tree")
        start, stop = plain.tokens[name].find(0, f"{word} {word}")
        ids = plain.tokens[name].ids[0, start:stop]
        own = encoder.module.get_input_embeddings().weight[ids].detach()
        cond = model.encode(Prompt("a photo of <1> in the tree", {"<1>": {name: own}}))
        assert torch.equal(cond.hidden, plain.hidden)
        other = model.encode(Prompt("a photo of <1> in the tree", {"<1>": {name: own + 0.1}}))
        assert not torch.equal(other.hidden, plain.hidden)


def test_each_row_has_soft_vectors_of_its_own(model: Any) -> None:
    name = next(iter(model.encoders))
    one, two = (soft_for(model, name, 2, seed) for seed in (1, 2))
    text = "a <1>, in <1b>"
    rows = [
        Prompt(text, {"<1>": {name: one}, "<1b>": {name: two}}),
        Prompt("a photo of a cat"),
        Prompt(text, {"<1>": {name: two}, "<1b>": {name: one}}),
    ]
    together = model.encode(rows)
    for i, row in enumerate(rows):
        torch.testing.assert_close(together.hidden[i : i + 1], model.encode(row).hidden)
    assert together.tokens[name].find(0, "<1>") == together.tokens[name].find(2, "<1>")


def test_a_batch_of_soft_vectors_equals_its_rows(model: Any) -> None:
    text, k = "a photo of <1> in <2>", 3
    soft = {
        word: {
            name: torch.stack([soft_for(model, name, 2, seed + i) for i in range(k)])
            for name in model.encoders
        }
        for word, seed in (("<1>", 10), ("<2>", 20))
    }
    with torch.no_grad():
        batch = model.encode_soft(text, soft)
        rows = model.encode(
            [
                Prompt(text, {w: {n: v[i] for n, v in by.items()} for w, by in soft.items()})
                for i in range(k)
            ]
        )
    assert torch.equal(batch.hidden, rows.hidden)
    assert (
        batch.tokens[next(iter(model.encoders))].spans
        == rows.tokens[next(iter(model.encoders))].spans
    )


def test_spans_say_which_tokens_a_word_became(model: Any) -> None:
    cond = model.encode(["a photo of a cat, kitten", ""])
    for name, encoder in model.encoding.encoders.items():
        tokens, tokenizer = cond.tokens[name], encoder.cutter._tokenizer
        start, stop = tokens.find(0, "Kitten")
        assert tokenizer.decode(tokens.ids[0, start:stop]).strip() == "kitten"
        assert tokens.last(0) == stop - 1
        assert tokens.find(0, "kit") is None
        assert tokens.spans[1] == ()


def test_a_soft_token_beyond_the_limit_is_refused(model: Any) -> None:
    name = next(n for n in model.encoders if n != "text_encoder_3")
    prompt = Prompt("a cat " * 20 + "<1>", {"<1>": {name: soft_for(model, name)}})
    with pytest.raises(ExciseError, match="first 16 tokens"):
        model.encode(prompt)
    with pytest.raises(ExciseError, match="width"):
        model.encode(Prompt("<1>", {"<1>": {name: torch.zeros(1, 7)}}))
    with pytest.raises(ExciseError, match="text_encoder_9"):
        model.encode(Prompt("<1>", {"<1>": {"text_encoder_9": torch.zeros(1, 7)}}))


# One evaluation.


@pytest.mark.parametrize("u", [0.1, 0.5, 0.9])
def test_prediction_data_and_noise_are_affine_in_one_another(model: Any, u: float) -> None:
    x0, eps = latents(model), latents(model, seed=7)
    x, target = model.noise(x0, eps, u), model.target(x0, eps, u)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(model.to_x0(x, target, u), x0, **close)
    torch.testing.assert_close(model.to_eps(x, target, u), eps, **close)
    other = latents(model, seed=3)
    for to in (model.to_x0, model.to_eps):
        mixed = to(x, 1.7 * target - 0.7 * other, u)
        torch.testing.assert_close(
            mixed, 1.7 * to(x, target, u) - 0.7 * to(x, other, u), rtol=1e-4, atol=1e-3
        )
    rows = torch.tensor([u, 0.3])
    assert torch.equal(model.noise(x0, eps, rows)[:1], x[:1])
    torch.testing.assert_close(model.noise(x0, eps, rows)[1:], model.noise(x0[1:], eps[1:], 0.3))


def test_the_ends_are_data_and_noise(model: Any) -> None:
    x0, eps = latents(model), latents(model, seed=7)
    torch.testing.assert_close(model.noise(x0, eps, 0.0), x0, atol=0.2, rtol=0)
    torch.testing.assert_close(model.noise(x0, eps, 1.0), eps, atol=0.4, rtol=0)
    if model.levels is not None:
        x = latents(model)
        cond = model.encode(["a cat"] * 2)
        i = 400
        out = model.predict(x, i / (model.levels - 1), cond)
        assert torch.equal(out, model.network(x, torch.full((2,), float(i)), cond))


def test_guidance_one_is_the_conditional_prediction(model: Any) -> None:
    x, cond, null = latents(model), model.encode(["a cat", "a dog"]), model.null(2)
    alone, _ = model.denoise(x, Step(u=0.5), cond, null)
    assert torch.equal(alone, model.predict(x, 0.5, cond))
    guided, _ = model.denoise(x, Step(u=0.5, guidance=3.0), cond, null)
    unconditional = model.predict(x, 0.5, null)
    torch.testing.assert_close(
        guided, unconditional + 3 * (alone - unconditional), rtol=1e-4, atol=1e-4
    )
    nothing, _ = model.denoise(x, Step(u=0.5, guidance=0.0), cond, null)
    torch.testing.assert_close(nothing, unconditional, rtol=1e-4, atol=1e-5)
    with pytest.raises(ExciseError, match="null"):
        model.denoise(x, Step(u=0.5, guidance=2.0), cond, None)


def test_terms_pull_and_push(model: Any) -> None:
    x, cond, null = latents(model), model.encode("a cat"), model.null()
    term = model.encode("a dog")
    step = Step(u=0.4, guidance=2.0, terms=((term, -1.5),))
    out, _ = model.denoise(x, step, cond, null)
    parts = [model.predict(x, 0.4, c.expand(2)) for c in (null, cond, term)]
    expected = parts[0] + 2 * (parts[1] - parts[0]) - 1.5 * (parts[2] - parts[0])
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


# Drawing.


REQUEST = Request(prompts=("a cat", "a dog", "a red tree"), seeds=(3, 4, 5), steps=3)


def test_the_same_request_draws_the_same_bytes(model: Any) -> None:
    first, second = model.generate(REQUEST), model.generate(REQUEST)
    assert first.digest == second.digest
    assert torch.equal(first.latents, second.latents)
    assert first.pictures.shape == (3, 3, *model.picture_size)
    assert first.digest != model.generate(replace(REQUEST, seeds=(3, 4, 6))).digest
    assert first.request.guidance is not None
    assert model.generate(first.request).digest == first.digest


def test_what_was_encoded_before_changes_no_bytes(model: Any) -> None:
    before = model.generate(REQUEST)
    model.encode(["a cat"])
    model.encode(["a dog", "a cat"])
    model.encoding._memory.clear()
    assert model.generate(REQUEST).digest == before.digest


def test_a_picture_depends_on_its_own_row(model: Any) -> None:
    """Equal up to the last bits, which depend on the size of the batch."""
    together = model.generate(REQUEST)
    alone = model.generate(Request(prompts="a dog", seeds=(4,), steps=3))
    torch.testing.assert_close(together.latents[1:2], alone.latents, rtol=1e-3, atol=1e-3)
    moved = model.generate(
        replace(REQUEST, prompts=("a red tree", "a dog", "a cat"), seeds=(5, 4, 3))
    )
    torch.testing.assert_close(moved.latents, together.latents.flip(0), rtol=1e-3, atol=1e-3)


def test_a_condition_draws_what_its_prompts_draw(model: Any) -> None:
    by_condition = replace(REQUEST, prompts=(), condition=model.encode(REQUEST.prompts))
    assert model.generate(by_condition).digest == model.generate(REQUEST).digest
    tensors: dict[str, Tensor] = {}
    again = Request.from_json(by_condition.to_json(tensors), tensors)
    assert model.generate(again).digest == model.generate(REQUEST).digest


@pytest.mark.parametrize("name", ["default", "ddpm", "ddim", "dpm++", "euler", "euler_a", "lms",
                                  "pndm", "unipc"])  # fmt: skip
def test_schedulers(model: Any, name: str) -> None:
    if name not in ("default", *model.schedulers):
        with pytest.raises(ExciseError, match="euler"):
            model.generate(replace(REQUEST, scheduler=name))
        return
    assert model.schedulers is not DISCRETE or set(DISCRETE) < {
        "default", "ddpm", "ddim", "dpm++", "euler", "euler_a", "lms", "pndm", "unipc"
    }  # fmt: skip
    request = replace(REQUEST, scheduler=name, steps=4)
    state = torch.get_rng_state()
    samples = model.generate(request)
    assert torch.equal(state, torch.get_rng_state())
    assert samples.latents.isfinite().all()
    assert model.generate(request).digest == samples.digest


def test_a_start_is_kept_where_its_level_is_low(model: Any) -> None:
    x0 = 0.5 * latents(model, 1, seed=9)

    def distance(level: float) -> float:
        start = Start(latents=x0, level=level)
        drawn = model.generate(replace(REQUEST, start=start, steps=10, guidance=1.0))
        return float((drawn.latents - x0).square().mean())

    assert distance(0.05) < distance(0.5) < distance(1.0)


def test_a_mask_keeps_what_it_does_not_cover(model: Any) -> None:
    height, width = model.picture_size
    mask = torch.zeros(1, 1, height, width)
    mask[..., width // 2 :] = 1
    x0 = latents(model, 3, seed=9)
    for level in (0.6, 1.0):
        start = Start(latents=x0, level=level, mask=mask)
        drawn = model.generate(replace(REQUEST, start=start)).latents
        half = drawn.shape[-1] // 2
        assert torch.equal(drawn[..., :half], x0[..., :half])
        assert not torch.equal(drawn[..., half:], x0[..., half:])


def test_pictures_start_where_their_latents_do(model: Any) -> None:
    pictures = torch.rand(1, 3, *model.picture_size, generator=torch.Generator().manual_seed(0))
    by_latents = Start(latents=model.encode_pictures(pictures), level=0.5)
    by_pictures = Start(pictures=pictures, level=0.5)
    drawn = [model.generate(replace(REQUEST, start=s)) for s in (by_latents, by_pictures)]
    assert drawn[0].digest == drawn[1].digest


def test_partial_stops_on_the_way(model: Any) -> None:
    request = replace(REQUEST, steps=5)
    x, u = model.partial(request, 0)
    expected = noise(REQUEST.seeds, model.latent_shape)
    if request.scheduler is None:
        torch.testing.assert_close(x, expected, rtol=1e-2, atol=1e-2)
    levels = [model.partial(request, i)[1] for i in range(5)]
    assert levels == sorted(levels, reverse=True)
    assert u == levels[0] <= 1
    x, u = model.partial(request, 4)
    assert x.shape == expected.shape
    assert not x.requires_grad
    with pytest.raises(ExciseError, match="step"):
        model.partial(request, 5)
    late = replace(request, start=Start(latents=torch.zeros_like(x), level=0.3))
    with pytest.raises(ExciseError, match="step"):
        model.partial(late, 0)
    assert model.partial(late, 4)[1] == u


def test_gradients_flow_through_the_last_steps(model: Any) -> None:
    cond = model.encode("a cat").map(lambda value: value.detach().clone().requires_grad_())
    request = Request(condition=cond, seeds=(0, 1), steps=4, guidance=2.0)
    with model.trainable():
        before = model.costs
        out = model.rollout(request, last=2)
        spent = model.costs - before
        out.square().sum().backward()
    assert spent.evaluations == 4 * 2 * 2
    assert spent.gradients == 2 * 2 * 2
    gradient = cond.hidden.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
    torch.testing.assert_close(out.detach(), model.generate(request).latents)


def test_other_sizes(model: Any) -> None:
    height, width = model.picture_size
    drawn = model.generate(replace(REQUEST, size=(height, 2 * width)))
    assert drawn.pictures.shape == (3, 3, height, 2 * width)
    with pytest.raises(ExciseError, match="multiples"):
        model.generate(replace(REQUEST, size=(height + 1, width)))


def test_the_autoencoder_maps_back_and_forth(model: Any) -> None:
    pictures = torch.rand(2, 3, *model.picture_size, generator=torch.Generator().manual_seed(0))
    z = model.encode_pictures(pictures)
    assert z.shape == (2, *model.latent_shape)
    assert torch.equal(z, model.encode_pictures(pictures))
    out = model.decode(z)
    assert out.shape == pictures.shape
    assert 0 <= out.min() <= out.max() <= 1
    assert not out.requires_grad
    z.requires_grad_()
    model.decode(z).sum().backward()
    assert z.grad is not None


# Agreement with the pipelines.


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("scheduler", ["default", "dpm++", "euler", "pndm", "lms"])
def test_draws_what_the_pipeline_draws(model: Any, guidance: float, scheduler: str) -> None:
    if scheduler not in ("default", *model.schedulers):
        pytest.skip("not a scheduler of this family")
    request = replace(REQUEST, steps=4, guidance=guidance, scheduler=scheduler)
    ours = model.generate(request)
    pipeline, own = model.pipeline, model.pipeline.scheduler
    fresh = model.schedule(request, request.seeds)._scheduler
    try:
        pipeline.scheduler = fresh.from_config(fresh.config)
        start = noise(request.seeds, model.latent_shape)
        with quietly():
            theirs = pipeline(
                prompt=[p.text for p in request.prompts],
                latents=start,
                num_inference_steps=4,
                guidance_scale=guidance,
                output_type="pt",
            ).images
    finally:
        pipeline.scheduler = own
    torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=0.6 / 255)


# Weights and names.


def test_canonical_names_are_those_of_the_files(model: Any, tmp_path: Any) -> None:
    with quietly():
        model.pipeline.save_pretrained(tmp_path)
    for part, component in model.components.items():
        (file,) = (tmp_path / part).glob("*.safetensors")
        with safe_open(file, "pt") as opened:
            keys = {f"{part}.{key}": opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        buffers = {f"{part}.{name}" for name, _ in component.named_buffers()}
        keys = {
            # transformers 5 writes no `text_model.` where published files have it
            k.replace(f"{part}.", f"{part}.text_model.")
            if type(component).__name__ == "CLIPTextModel" and "text_model." not in k
            else k: v
            for k, v in keys.items()
            if k not in buffers
        }
        ours = model.parameters(part)
        assert ours.keys() == keys.keys()
        assert all(torch.equal(ours[name], keys[name]) for name in keys)


def test_an_adapter_changes_no_name() -> None:
    from peft import LoraConfig

    for family, build in tiny.FAMILIES.items():
        model = of_pipeline(build(), family)
        before = {name: p.data_ptr() for name, p in model.parameters("*").items()}
        modules = list(model.modules("*"))
        config = LoraConfig(r=2, target_modules=["to_k", "to_v", "k_proj", "k"])
        for part in (model.denoiser, *model.encoders):
            component = model.components[part]
            if part != "text_encoder_3":
                component.add_adapter(config)
        assert any("base_layer" in n for n, _ in model.components[model.denoiser].named_modules())
        assert {name: p.data_ptr() for name, p in model.parameters("*").items()} == before
        assert list(model.modules("*")) == modules
        assert not any("lora" in name for name in before)


def test_blocks_partition_the_denoiser(model: Any) -> None:
    names, blocks = set(model.parameters("denoiser")), model.blocks()
    coarse = {b: set(m) for b, m in blocks.items() if re.fullmatch(r"[a-z]+(\.\d+)?", b)}
    assert sum(len(m) for m in coarse.values()) == len(names)
    assert set().union(*coarse.values()) == names
    for block, members in coarse.items():
        finer = [set(m) for b, m in blocks.items() if b.startswith(f"{block}.") and b not in coarse]
        if finer:
            assert sum(map(len, finer)) == len(members)
            assert set().union(*finer) == members


def test_selectors(model: Any) -> None:
    def select(*selector: str) -> set[str]:
        return set(model.parameters(selector))

    everything = select("denoiser")
    assert select(model.denoiser) == everything
    kv, cross = select("cross_attention_kv"), select("cross_attention")
    assert set() < kv < cross < everything
    assert select("not_cross_attention") == everything - cross
    assert not select("self_attention") & cross
    assert select("self_attention")
    assert select("feed_forward")
    assert select("denoiser", "!cross_attention") == select("not_cross_attention")
    assert select("!cross_attention") == select("not_cross_attention")
    assert select("*") >= select("text_encoder", "vae", "denoiser")
    name = next(iter(kv))
    assert select(name) == {name}
    assert model.parameters(()) == {}
    with pytest.raises(ExciseError, match="cross_attention"):
        select("cross_atention")


def test_text_projections_read_what_they_say(model: Any) -> None:
    cond = model.encode(["a cat", "a photo of a dog"])
    found = model.text_projections()
    assert {p.weight for p in found if p.kind in ("key", "value")} == {
        name for name in model.parameters("cross_attention_kv") if name.endswith(".weight")
    }
    read = [p for p in found if p.feature in cond.tensors]
    assert read
    for projection in read:
        weight, feature = model.parameters("*")[projection.weight], cond.tensors[projection.feature]
        assert weight.shape[1] >= feature.shape[-1]
        encoders = {part.encoder for part in projection.parts}
        assert encoders <= set(model.encoders)
        for part in projection.parts:
            assert part.columns[1] <= feature.shape[-1]
    for name in model.encoders:
        vector = soft_for(model, name, seed=3)
        changed = model.encode(Prompt("a <1>", {"<1>": {name: vector}}))
        plain = model.encode("a " + plain_word(model, name))
        delta = (changed.hidden - plain.hidden)[0].abs() > 0
        (part,) = (p for p in read[0].parts if p.encoder == name)
        assert delta[slice(*part.rows), slice(*part.columns)].any()
        delta[slice(*part.rows), slice(*part.columns)] = False
        assert not delta.any()


def test_swapped_weights_come_back(model: Any) -> None:
    before, plain = snapshot(model), model.generate(REQUEST)
    names = list(model.parameters("denoiser"))[::3]
    deltas = {n: 0.1 * torch.ones_like(model.parameters("*")[n]) for n in names}
    with model.swapped(deltas):
        assert model.generate(REQUEST).digest != plain.digest
        inner = snapshot(model)
        with pytest.raises(RuntimeError), model.swapped(deltas, strength=-2.0):
            raise RuntimeError
        assert_same(inner, snapshot(model))
    assert_same(before, snapshot(model))
    assert model.generate(REQUEST).digest == plain.digest
    for bad in ({"unet.nothing": torch.zeros(1)}, {names[0]: torch.zeros(1, 2, 3)}):
        with pytest.raises(ExciseError), model.swapped(bad):
            pass
    assert_same(before, snapshot(model))


@torch.no_grad()
def test_an_edited_encoder_encodes_afresh(model: Any) -> None:
    plain = model.encode("a cat")
    name = next(n for n in model.parameters("text_encoder") if n.endswith("fc1.weight"))
    deltas = {name: torch.ones_like(model.parameters("*")[name])}
    with model.swapped(deltas):
        edited = model.encode("a cat")
    assert not torch.equal(edited.hidden, plain.hidden)
    assert torch.equal(model.encode("a cat").hidden, plain.hidden)
    weight = model.parameters("*")[name]
    original = weight.clone()
    weight.add_(1)
    assert torch.equal(model.encode("a cat").hidden, edited.hidden)
    weight.copy_(original)
    assert torch.equal(model.encode("a cat").hidden, plain.hidden)


def test_training_leaves_no_trace(model: Any) -> None:
    parameter = next(iter(model.parameters("denoiser").values()))
    parameter.grad = torch.ones_like(parameter)
    before = snapshot(model)
    cond, x = model.encode("a cat"), latents(model)
    with pytest.raises(RuntimeError), model.trainable("cross_attention") as chosen:
        assert {id(p) for c in model.components.values() for p in c.parameters()
                if p.requires_grad} == {id(p) for p in chosen.values()}  # fmt: skip
        optimizer = torch.optim.Adam(chosen.values(), lr=0.1)
        model.predict(x, 0.5, cond).square().mean().backward()
        optimizer.step()
        assert all(p.grad is not None for p in chosen.values())
        raise RuntimeError
    after = snapshot(model)
    assert parameter.grad is not None
    parameter.grad = None
    assert_same(before, after)


def test_drawing_leaves_no_trace(model: Any) -> None:
    model.components[model.denoiser].train()
    before = snapshot(model)
    request = replace(REQUEST, terms=(Term(prompts=("a tree",), weight=1.0),), noise_scale=0.5)
    model.generate(request)
    model.attention(latents(model), 0.5, model.encode("a cat"))
    model.fingerprint()
    assert_same(before, snapshot(model))
    model.components[model.denoiser].eval()


def test_the_fingerprint_sees_every_weight(model: Any) -> None:
    plain = model.fingerprint()
    for name in (next(iter(model.parameters("vae"))), list(model.parameters("denoiser"))[-1]):
        with model.swapped({name: torch.full_like(model.parameters("*")[name], 1e-3)}):
            assert model.fingerprint() != plain
    assert model.fingerprint() == plain


# Hooks.


@dataclass(frozen=True)
class Trace(Hook):
    """Writes down when it is called."""

    name: str
    log: list[str]

    def condition(
        self, model: Any, prompts: Any, cond: Condition, null: Any
    ) -> tuple[Condition, Condition | None]:
        self.log.append(f"{self.name}: {[p.text for p in prompts]}")
        return cond.map(lambda value: 2 * value), null

    def prediction(
        self, model: Any, denoise: Any, x: Tensor, step: Step, cond: Any, null: Any, state: State
    ) -> tuple[Tensor, State]:
        seen = int(state.own.get("seen", torch.tensor(0)))
        self.log.append(f"> {self.name} {seen}")
        out, inner = denoise(x, step, cond, null, state.inner)
        self.log.append(f"< {self.name}")
        return out + 1, State(own={"seen": torch.tensor(seen + 1)}, inner=inner)


def test_hooks_stand_around_in_order(model: Any) -> None:
    log: list[str] = []
    before = snapshot(model)
    x, cond, null = latents(model, 1), model.encode("a cat"), model.null()
    plain, _ = model.denoise(x, Step(u=0.5, guidance=2.0), cond, null)
    with model.hooked([Trace("a", log), Hook(), Trace("b", log)]), model.hooked([Trace("c", log)]):
        assert len(model.edits) == 2
        out, state = model.denoise(x, Step(u=0.5, guidance=2.0), cond, null)
        assert log == ["> c 0", "> b 0", "> a 0", "< a", "< b", "< c"]
        torch.testing.assert_close(out, plain + 3)
        log.clear()
        model.denoise(x, Step(u=0.5), cond, null, state)
        assert log[:3] == ["> c 1", "> b 1", "> a 1"]
        log.clear()
        mapped, _ = model.conditions(["a cat"])
        assert log == [f"{name}: ['a cat']" for name in "abc"]
        torch.testing.assert_close(mapped.hidden, 8 * cond.hidden)
        assert torch.equal(model.predict(x, 0.5, cond), model.predict(x, 0.5, cond))
    assert model.hooks == ()
    assert model.edits == ()
    assert_same(before, snapshot(model))


@dataclass(frozen=True)
class Doubled(Hook):
    """Doubles what a module says, and writes down what it is told."""

    log: list[Any]
    modules: tuple[str, ...] = ()  # type: ignore[misc]

    def module(self, call: Any, forward: Any, args: Any, kwargs: Any) -> Any:
        self.log.append(call)
        out = forward(*args, **kwargs)
        return 2 * out


def test_a_module_is_wrapped_and_unwrapped(model: Any) -> None:
    name = next(n for n in model.modules("*") if n.startswith(model.denoiser) and "to_out.0" in n)
    before, log = snapshot(model), []
    x, cond, null = latents(model), model.encode(["a cat", "a dog"]), model.null(2)
    plain = model.predict(x, 0.5, cond)
    with pytest.raises(RuntimeError), model.hooked([Doubled(log, (name,))]):
        assert not torch.equal(model.predict(x, 0.5, cond), plain)
        (call,) = log
        assert call.module == name
        assert len(call.cond) == 2
        assert call.step is None
        torch.testing.assert_close(call.u, torch.full((2,), 0.5))
        log.clear()
        with model.hooked([Doubled(log, (name,))]):
            model.denoise(x, Step(u=0.5, guidance=2.0, index=1), cond, null)
        assert len(log) == 2
        assert len(log[0].cond) == 4
        assert log[0].step.index == 1
        raise RuntimeError
    assert_same(before, snapshot(model))
    assert torch.equal(model.predict(x, 0.5, cond), plain)
    with pytest.raises(ExciseError, match="no module"), model.hooked([Doubled(log, ("unet.x",))]):
        pass


def test_attention_maps_are_shares_of_text(model: Any) -> None:
    cond = model.encode(["a cat", "a photo of a dog"])
    x = latents(model)
    out, maps = model.attention(x, 0.5, cond)
    assert torch.equal(out, model.predict(x, 0.5, cond))
    assert maps
    for value in maps.values():
        assert value.shape[0] == 2
        assert value.shape[-1] == cond.hidden.shape[1]
        assert (value >= 0).all()
        total = value.sum(-1)
        if model.family == "sd3":  # the rest is on the picture itself
            assert (total < 1).all()
        else:
            torch.testing.assert_close(total, torch.ones_like(total))
    with model.trainable("cross_attention_kv") as chosen:
        _, maps = model.attention(x, 0.5, cond)
        sum(value[..., 3].sum() for value in maps.values()).backward()
        keys = [p for n, p in chosen.items() if "_k" in n and n.endswith("weight")]
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in keys)
    with pytest.raises(ExciseError, match="attention layer"):
        model.attention(x, 0.5, cond, "nothing")


def test_costs_are_counted_once(model: Any) -> None:
    before = model.costs
    model.generate(replace(REQUEST, guidance=2.0, scheduler="euler"))
    spent = model.costs - before
    assert spent.evaluations == 3 * 2 * 3
    assert spent.pictures == 3
    assert spent.gradients == 0
    assert spent.seconds > 0
    assert model.costs.peak_bytes > 0


def test_concept_prompts_can_be_drawn(model: Any) -> None:
    prompts = Concept("cat", synonyms=("kitten",)).prompts()
    assert len(model.generate(Request(prompts=prompts[:2], seeds=(0, 1), steps=1))) == 2
