from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from tests.suite import two
from tests.suite.test_evaluate import SMALL

from excise.edit import Edit, Recipe
from excise.primitives.arithmetic import guidance
from excise.primitives.data import empty
from excise.primitives.denoising import Bank
from excise.rng import generator
from excise.suite.arms import Arm
from excise.suite.bench import Bench
from excise.suite.held_out import HeldOut
from excise.suite.pull import ENTRIES, projected, pull_of
from excise.types import Concept, Hook

MADE = Recipe(method="staged")


def bench(edit: Edit | None, concept: Concept = two.CAT, model: Any = None) -> Bench:
    base = Arm(key="base", label="before", role="base", model=two.model())
    own = Arm(key="edit", label="after", role="edit", model=model or two.model(), edit=edit)
    arms = {arm.key: arm for arm in (base, own)}
    return Bench(arms=arms, concept=concept, judge=two.Two(), sizes=SMALL)


@pytest.fixture(scope="module")
def held() -> HeldOut:
    latents = two.trained.world().latents["cat"][:8]
    return HeldOut(latents=latents, hashes=("a",) * 8, bank=Bank.of(latents, 8))


def some(scale: float = 0.02) -> dict[str, torch.Tensor]:
    """Changes of a few weights."""
    live = two.model().parameters("unet")
    return {
        name: scale * torch.randn(live[name].shape, generator=generator("some", name))
        for name in sorted(live)[:12]
    }


def test_it_is_that_of_the_deltas_for_an_edit_and_for_a_model_that_has_them_in_it(
    held: HeldOut,
) -> None:
    model, deltas = two.model(), some()
    bank = Bank.of(held.latents, ENTRIES)
    want = guidance(model, deltas, held.latents, model.encode("a cat"), empty(model), bank)
    edit = Edit.of(model, deltas, recipe=MADE)
    baked = two.model().copied()
    with torch.no_grad():
        for name, delta in deltas.items():
            baked.parameters("unet")[name] += delta
    before = model.fingerprint()
    for own in (bench(edit), bench(None, model=baked)):
        pull = pull_of(own, held)
        assert pull is not None
        assert pull.found is not None
        assert pull.found.null == pytest.approx(want.null, abs=1e-4)
        assert pull.found.concept == pytest.approx(want.concept, abs=1e-4)
    assert abs(want.null) > 1e-3
    assert model.fingerprint() == before


def test_an_edit_whose_predictions_do_without_the_caption_has_taken_it_all_away() -> None:
    caption, null = (torch.randn(6, 4, 2, 2, generator=generator(n)) for n in ("c", "n"))
    found = projected((caption, null), (null, null))
    assert (found.concept, found.null) == (pytest.approx(-1, abs=1e-5), 0)
    same = projected((caption, null), (caption, null))
    assert (same.concept, same.null) == (0, 0)
    # What raises both by the same is undone at any scale: (1 - s) d + s d = d.
    both = projected((caption, null), (2 * caption - null, caption))
    assert both.net(4.0) == pytest.approx(1, abs=1e-5)


@dataclass(frozen=True, eq=False, kw_only=True)
class Idle(Hook):
    """Does nothing."""

    name: ClassVar[str] = "idle"


def test_what_cannot_be_measured_is_said_and_what_nobody_asked_for_is_not(held: HeldOut) -> None:
    guard = pull_of(bench(Edit.of(two.model(), hooks=(Idle(),), recipe=MADE)), held)
    mark = replace(two.CAT, kind="implicit")
    stamp = pull_of(bench(Edit.of(two.model(), some(), recipe=MADE), mark), held)
    broken = {"unet.conv_out.bias": torch.full((4,), 1e38)}
    black = pull_of(bench(Edit.of(two.model(), broken, recipe=MADE)), held)
    for pull, why in ((guard, "hooks"), (stamp, "no prompt"), (black, "finite")):
        assert pull is not None
        assert pull.found is None
        assert why in pull.why
    assert pull_of(bench(Edit.of(two.model(), some(), recipe=MADE)), None) is None
    alone = bench(Edit.of(two.model(), some(), recipe=MADE))
    del alone.arms["base"]  # type: ignore[attr-defined]
    assert pull_of(alone, held) is None
