from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.erasers.working import work_on
from tests.trained import World, world
from torch import Tensor

from excise.erasers.base import Work
from excise.erasers.salun import SalUn
from excise.errors import BadConcept, BadSetting
from excise.primitives.denoising import Bank
from excise.primitives.losses import prompt_captions
from excise.primitives.saliency import held
from excise.rng import seed_of
from excise.store import Stages, load_tensors
from excise.types import Concept

CAT = Concept("cat", templates=("{a}", "a picture of {a}"), anchor="dog")
SHARE = 0.1


def small(**settings: Any) -> SalUn:
    tiny = {"pictures": 6, "retained": 6, "steps": 5, "batch": 4, "share": SHARE, "lr": 1e-3}
    return SalUn(**{**tiny, **settings})


@pytest.fixture(scope="module")
def two() -> World:
    return world()


@contextmanager
def pictures_asked_for() -> Iterator[list[str]]:
    """What is asked of `Work.pictures` meanwhile, by split."""
    asked: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Work, "pictures", lambda work, n, split: asked.append(split))
        yield asked


def forget(two: World) -> tuple[Any, Tensor, Any]:
    work = work_on(two.model, CAT)
    (made,) = work.pictures(6, "tau")
    return work, made.latents, made.prompts


def test_the_mask_is_the_top_share_and_nothing_else_moves(two: World, tmp_path: Path) -> None:
    found = small().erase(two.model, CAT, stages=Stages(tmp_path))
    (path,) = tmp_path.glob("salun-mask-*")
    mask, _ = load_tensors(path)
    total = sum(w.numel() for w in two.model.parameters("denoiser").values())
    assert found.record["masked"] == {"held": round(SHARE * total), "of": total}
    assert held(mask) == round(SHARE * total)
    assert set(mask) == set(two.model.parameters("denoiser"))
    moved = 0
    for name in found.edit.deltas:
        delta = found.edit.dense(name)
        assert not delta[~mask[name]].any(), name
        moved += int((delta != 0).sum())
    assert moved > 0.9 * held(mask)


def test_the_mask_holds_the_largest_gradients_of_the_guided_loss(two: World) -> None:
    work, latents, prompts = forget(two)
    captions = prompt_captions(two.model, prompts)
    model, guidance = two.model, 4.0
    mask = small(mask_guidance=guidance).mask(work, latents, captions)
    bank = Bank.of(latents, 6, seed=seed_of("salun", 0))
    x = model.noise(latents[bank.picture], bank.eps, bank.u)
    target = model.target(latents[bank.picture], bank.eps, bank.u)
    with model.trainable("denoiser") as live, torch.enable_grad():
        given = model.predict(x, bank.u, model.encode([prompts[i] for i in bank.picture]).detach())
        null = model.predict(x, bank.u, model.encode([""] * 6).detach())
        # As the authors write it: (1 + w) given - w null, with w = guidance - 1.
        guided = guidance * given - (guidance - 1) * null
        (guided - target).square().mean().backward()
        size = {name: w.grad.abs().clone() for name, w in live.items()}
    inside = torch.cat([size[name][mask[name]] for name in mask])
    outside = torch.cat([size[name][~mask[name]] for name in mask])
    assert float(inside.min()) >= 0.999 * float(outside.max())
    plain = small(mask_guidance=1.0).mask(work, latents, captions)
    assert sum(int((plain[name] != mask[name]).sum()) for name in mask) > 0.05 * held(mask)


def test_the_mask_does_not_depend_on_how_the_pictures_are_batched(two: World) -> None:
    work, latents, prompts = forget(two)
    captions = prompt_captions(two.model, prompts)
    one, four = (small(mask_batch=b).mask(work, latents, captions) for b in (1, 4))
    assert held(one) == held(four)
    # Sums in another order differ in their last bits, which can only matter at the threshold.
    differ = sum(int((one[name] != four[name]).sum()) for name in one)
    assert differ <= 1e-4 * held(one)


def test_the_word_comes_to_mean_something_else_and_the_rest_stays(two: World) -> None:
    model, latents = two.model, two.latents["cat"]
    bank = Bank.of(latents, 32, between=(0.7, 1.0))

    @torch.no_grad()
    def told(prompt: str) -> Tensor:
        x = model.noise(latents[bank.picture], bank.eps, bank.u)
        return model.predict(x, bank.u, model.encode(prompt))

    cat, dog = told("a cat"), told("a dog")
    gap = float((cat - dog).square().mean())
    tried = small(share=0.5, steps=60, lr=3e-4, batch=8, pictures=12, retained=24)
    found = tried.erase(model, CAT)
    with found.edit.applied(model):
        assert float((told("a cat") - dog).square().mean()) < 0.3 * gap
        assert float((told("a dog") - dog).square().mean()) < 0.1 * gap
    record = found.record
    asked = record["pictures"][0]["prompts"]
    assert record["others"] == [text.replace("cat", "dog") for text in asked]
    assert set(record["curves"]) == {"forget", "retain"}


def test_a_concept_that_no_prompt_names_needs_an_anchor_and_hears_so_at_once(two: World) -> None:
    assert SalUn.given == {"words"}
    pictures = torch.rand(40, 3, 16, 16)
    mark = Concept("mark", kind="implicit", pictures=pictures)
    before = two.model.costs
    with pictures_asked_for() as asked, pytest.raises(BadConcept, match="an anchor"):
        small().run(two.model, (CAT, mark))
    assert not asked
    assert two.model.costs.evaluations == before.evaluations
    named = replace(mark, anchor="dog")
    record = small(pictures=4, steps=1).erase(two.model, named).record
    assert set(record["others"]) == {"dog"}


def test_mistakes_are_said() -> None:
    for settings in ({"share": 0.0}, {"alpha": -1.0}, {"mask_batch": 0}):
        with pytest.raises(BadSetting, match=f"salun: expected {next(iter(settings))}"):
            SalUn(**settings)  # type: ignore[arg-type]
