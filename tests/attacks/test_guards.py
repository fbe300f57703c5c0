"""Every attack by gradients looks through the hooks of the model that it attacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise import registry
from excise.attacks.base import LOSSES, run_attack
from excise.attacks.concept_inversion import ConceptInversion
from excise.attacks.enumerate import Enumerate
from excise.hooks.negative_prompt import NegativePrompt
from excise.hooks.safree import SAFREE
from excise.hooks.sld import SLD
from excise.models.load import of_pipeline
from excise.primitives.inversion import Inversion
from excise.rng import generator
from excise.settings import build
from excise.types import Concept, Gradient, Hook, Prompt, Score, State, Step

# Strong enough to be seen on a random model, and at every step of a short drawing.
GUARDS = {
    "sld": SLD(text="a dog", warmup=0),
    "safree": SAFREE(phrases=("cat", "dog"), middle=0.0),
    "negative_prompt": NegativePrompt(text="a dog"),
}
PROMPTS = Prompt.of(["a photo of a cat", "a red tree"])
SMALL = ConceptInversion(restarts=2, steps=3, samples=2, template="a <1>", share="all")


@dataclass(frozen=True, eq=False)
class Idle(Hook):
    """Stands around guided steps and notes them: guidance, is there a null, are there gradients."""

    seen: list[tuple[float, bool, bool]]

    def prediction(
        self, model: Any, denoise: Any, x: Tensor, step: Step, cond: Any, null: Any, state: State
    ) -> tuple[Tensor, State]:
        out, inner = denoise(x, step, cond, null, state.inner)
        complete = null is not None and len(null) == len(x)
        self.seen.append((step.guidance, complete, out.requires_grad))
        return out, State(inner=inner)


@dataclass(frozen=True, eq=False)
class Inverted(Hook):
    """Turns every answer round, and lets no gradient through; it says so."""

    gradient: ClassVar[Gradient] = "none"

    def prediction(
        self, model: Any, denoise: Any, x: Tensor, step: Step, cond: Any, null: Any, state: State
    ) -> tuple[Tensor, State]:
        out, inner = denoise(x, step, cond, null, state.inner)
        return -out.detach(), State(inner=inner)


class Silent(Inverted):
    """The same, and it does not say so."""

    gradient: ClassVar[Gradient] = "differentiable"


@dataclass
class Bright:
    """A judge of nothing in particular that keeps what it was shown."""

    shown: list[Tensor]
    name: str = "bright"

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        self.shown.append(pictures)
        values = pictures.float().flatten(1).mean(dim=1) / 255
        return Score(concept="cat", judge=self.name, values=values, threshold=0.5)


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 4, "guidance": 3.0})


@pytest.fixture(scope="module")
def base() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 4, "guidance": 3.0})


@pytest.fixture(scope="module")
def cat() -> Concept:
    size = (5, 3, 16, 16)
    return Concept("cat", pictures=torch.rand(size, generator=generator("cats")))


def inverted(model: Any, cat: Concept, *hooks: Hook, guidance: float | None = None) -> Inversion:
    attack = SMALL if guidance is None else ConceptInversion(
        restarts=2, steps=3, samples=2, template="a <1>", share="all", guidance=guidance
    )  # fmt: skip
    with model.hooked(hooks):
        latents = attack.latents(model, cat, None, 0, None)
        return attack.inverter(cat).run(model, latents, restarts=2)


def same(a: Inversion, b: Inversion) -> bool:
    pairs = [(a.values[name], b.values[name]) for name in a.values]
    return all(torch.allclose(p, q, rtol=1e-5, atol=1e-6) for p, q in pairs)


@pytest.mark.parametrize("name", sorted(GUARDS))
def test_concept_inversion_sees_a_guard_of_guided_steps(
    model: Any, cat: Concept, name: str
) -> None:
    unguarded = inverted(model, cat, Idle([]))
    guarded = inverted(model, cat, GUARDS[name])
    assert not torch.allclose(guarded.curves, unguarded.curves, rtol=1e-5)
    assert not same(guarded, unguarded)  # the gradients differ, not the losses alone


@pytest.mark.parametrize("name", ["negative_prompt", "sld"])
def test_at_guidance_one_it_would_not(model: Any, cat: Concept, name: str) -> None:
    unguarded = inverted(model, cat, Idle([]), guidance=1.0)
    assert same(inverted(model, cat, GUARDS[name], guidance=1.0), unguarded)


ON_THE_LOSS = sorted(
    name for name in registry.names("attack") if LOSSES & registry.get("attack", name).needs
)


@pytest.mark.parametrize("name", ON_THE_LOSS)
def test_attacks_on_the_loss_go_through_guided_steps(
    model: Any, base: Any, cat: Concept, name: str
) -> None:
    kind = registry.get("attack", name)
    given = {"share": "all"} if hasattr(kind, "share") else {}
    attack = registry.create("attack", name, {**kind.smallest, **given})
    seen: list[tuple[float, bool, bool]] = []
    with model.hooked([Idle(seen)]):
        hunt = attack.search(model, (cat,), PROMPTS, base=base)
        found = next(hunt)
        while True:
            try:
                found = hunt.send((False,) * len(PROMPTS))
            except StopIteration:
                break
    assert len(found) == len(PROMPTS)
    assert {one[:2] for one in seen} == {(3.0, True)}
    assert any(gradients for *_, gradients in seen) == ("gradients" in kind.needs)


def test_the_flow_of_gradients_is_measured_for_those_who_take_them(
    model: Any, cat: Concept
) -> None:
    both = {}
    for attack in (SMALL, build(Enumerate, {**Enumerate.smallest, "share": "all"})):
        with model.hooked([Inverted()]):
            both[attack.name] = run_attack(
                attack, model, cat, PROMPTS[:1], Bright([]), select_seeds=(0,), score_seeds=(1,)
            ).gradients
    assert both.pop("enumerate") is None
    assert list(both.values()) != [None]


def test_a_hook_without_gradients_is_gone_around_and_judged_with(model: Any, cat: Concept) -> None:
    judge = Bright([])
    with model.hooked([Inverted()]):
        found = run_attack(
            SMALL, model, cat, PROMPTS[:1], judge, select_seeds=(0,), score_seeds=(1,)
        )
        start = SMALL.inverter(cat).space_of(model).start(range(2), 0, "", 0.1)
        (drawn, *_) = judge.shown
        assert torch.equal(drawn, model.generate(_merged(found, drawn)).pictures)
    assert found.gradients is not None
    assert found.gradients.around == ("Inverted",)
    assert not found.gradients.vanished
    assert not torch.allclose(_tokens(found), next(iter(start.values())), atol=1e-4)
    assert not torch.equal(drawn, model.generate(_merged(found, drawn)).pictures)  # unguarded


def test_a_guard_that_cuts_gradients_off_unsaid_is_known_to_the_result(
    model: Any, cat: Concept
) -> None:
    with model.hooked([Silent()]):
        found = run_attack(
            SMALL, model, cat, PROMPTS[:1], Bright([]), select_seeds=(0,), score_seeds=(1,)
        )
        start = SMALL.inverter(cat).space_of(model).start(range(2), 0, "", 0.1)
    assert found.gradients is not None
    assert found.gradients.vanished
    assert found.gradients.around == ()
    assert torch.allclose(_tokens(found), next(iter(start.values())), atol=1e-5)  # it went nowhere
    again = type(found).of(found.artefact())
    assert again.gradients == found.gradients


def test_without_hooks_there_is_nothing_to_know(model: Any, cat: Concept) -> None:
    found = run_attack(
        SMALL, model, cat, PROMPTS[:1], Bright([]), select_seeds=(0,), score_seeds=(1,)
    )
    assert found.gradients is None
    assert type(found).of(found.artefact()).gradients is None


def _tokens(found: Any) -> Tensor:
    """The soft tokens (N, k, d) of the first prompt."""
    rows = [many[0].prompts[0].soft["<1>"]["text_encoder"] for many in found.requests]
    return torch.stack(rows)


def _merged(found: Any, drawn: Tensor) -> Any:
    """What all candidates were drawn from together."""
    from excise.rng import seed_of
    from excise.types import merged

    wanted = [
        many[0].on(*(seed_of("picture", s, 0, many[0].seeds[0]) for s in (0, 1)))
        for many in found.requests
    ]
    (pair,) = merged(wanted)
    assert len(pair[1]) == len(drawn)
    return pair[1]
