"""What every attack must do; a new one is found by its file, and brings its smallest settings."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch
from tests import tiny
from tests.attacks.toy import told

from excise import registry
from excise.attacks.base import Attack, Need, Search
from excise.errors import Unsupported, UserError
from excise.method import Budget
from excise.models.load import of_pipeline
from excise.primitives.bands import BANDS
from excise.progress import Progress, Silent
from excise.registry import build, recipe
from excise.rng import generator
from excise.types import Concept, EditLike, Prompt, Request

PROMPTS = Prompt.of(["a cat", "a picture of a dog"])
BUDGETS: tuple[Budget, ...] = get_args(Budget)


def cat() -> Concept:
    """With pictures of its own, as many as can be cut into sets."""
    pictures = torch.rand(6, 3, 16, 16, generator=generator("cats"))
    return Concept("cat", synonyms=("x",), templates=("{a}",), neighbours=("dog",),
                   pictures=pictures)  # fmt: skip


@pytest.fixture(scope="module", params=registry.names("attack"))
def kind(request: pytest.FixtureRequest) -> type[Attack]:
    found: type[Attack] = registry.get("attack", request.param)
    return found


@pytest.fixture(scope="module")
def attack(kind: type[Attack]) -> Attack:
    assert kind.smallest or not dataclasses.fields(kind), (
        f"say {kind.name}.smallest: settings for a search of about a second"
    )
    return build(kind, kind.smallest)


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


@pytest.fixture(scope="module")
def base() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


@pytest.fixture(scope="module")
def found(attack: Attack, model: Any, base: Any) -> list[tuple[Request, ...]]:
    """What it yields on the model with seed 1 when no prompt ever falls."""
    return list(hunted(attack, model, base, seed=1))


def hunted(
    attack: Attack,
    model: Any,
    base: Any,
    *,
    prompts: tuple[Prompt, ...] = PROMPTS,
    seed: int = 0,
    fell: bool = False,
    progress: Progress | None = None,
    concept: Concept | None = None,
) -> Iterator[tuple[Request, ...]]:
    """Drive the search as the framework does, and tell it that all prompts fell, or none."""
    subject = (concept or cat(),)
    hunt: Search = attack.search(model, subject, prompts, base=base, seed=seed, progress=progress)
    return told(hunt, lambda many: (fell,) * len(many))


def snapshot(model: Any) -> dict[str, Any]:
    """Everything of a pipeline that must be as it was."""
    state: dict[str, Any] = {"weights": model.fingerprint(), "edits": model.edits}
    state["hooks"] = model.hooks
    for part, component in model.components.items():
        for name, value in component.named_parameters():
            state[f"{part}.{name}"] = (value.data_ptr(), value.dtype, value.requires_grad)
            state[f"{part}.{name}.grad"] = value.grad is None
        for name, module in component.named_modules():
            hooks = (len(module._forward_hooks), len(module._forward_pre_hooks))
            state[f"{part}.{name}()"] = (module.training, hooks, "forward" in module.__dict__)
    return state


def written(rounds: list[tuple[Request, ...]]) -> tuple[Any, dict[str, torch.Tensor]]:
    """The requests as JSON, with their tensors under names made from their bytes."""
    tensors: dict[str, torch.Tensor] = {}
    return [[one.to_json(tensors) for one in many] for many in rounds], tensors


class StopAt(Silent):
    """Is stopped from outside after so many units of work."""

    def __init__(self, units: int) -> None:
        self.left = units

    def advance(self, n: int = 1) -> None:
        self.left -= n
        if n and self.left <= 0:
            raise KeyboardInterrupt


def test_it_is_a_value_that_says_where_it_comes_from(kind: type[Attack], attack: Attack) -> None:
    assert kind.__module__.rpartition(".")[2] == kind.name
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|null", kind.paper)
    assert dataclasses.is_dataclass(attack)
    assert build(kind, recipe(attack)) == attack
    field = next(iter(recipe(attack)), "anything")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(attack, field, None)
    with pytest.raises(TypeError):
        kind(1)  # type: ignore[call-arg]


def test_its_threat_model_is_said_in_known_words(kind: type[Attack]) -> None:
    assert kind.needs
    assert kind.needs <= set(get_args(Need))
    assert kind.chooses in ("prompt", "restart")
    assert isinstance(kind.independent, bool)


def test_it_takes_gradients_if_it_says_so(attack: Attack, model: Any, base: Any) -> None:
    before = model.costs
    list(hunted(attack, model, base))
    taken = (model.costs - before).gradients > 0
    if "weights" not in attack.needs:  # who changes weights may train, or not
        assert taken == ("gradients" in attack.needs)


def test_budgets_can_be_built_and_grow(kind: type[Attack]) -> None:
    for settings in kind.measured.values():
        build(kind, settings)
    if not dataclasses.fields(kind):
        assert not kind.budgets
        return
    assert set(kind.budgets) == set(BUDGETS)
    plain = build(kind, {})
    assert len({recipe_text(plain.at(b)) for b in BUDGETS}) == len(BUDGETS)
    for name in {name for budget in kind.budgets.values() for name in budget}:
        sizes = [getattr(plain.at(budget), name) for budget in BUDGETS]
        if all(isinstance(size, int | float) for size in sizes):
            assert sizes == sorted(sizes), name


def recipe_text(attack: Attack) -> str:
    return repr(sorted(recipe(attack).items()))


def test_it_hands_over_one_candidate_a_prompt_for_one_picture_each(
    found: list[tuple[Request, ...]],
) -> None:
    assert found
    for many in found:
        assert isinstance(many, tuple)
        assert [len(one) for one in many] == [1] * len(PROMPTS)


def test_the_same_seed_gives_the_same_requests(
    attack: Attack, base: Any, found: list[tuple[Request, ...]]
) -> None:
    with torch.no_grad():  # whatever the caller's mode, on a model of its own
        fresh = of_pipeline(tiny.stable_diffusion(), "tiny")
        again = list(hunted(attack, fresh, base, seed=1))
    texts, tensors = written(found)
    other, others = written(again)
    assert texts == other
    assert tensors.keys() == others.keys()


def test_requests_can_be_replayed(found: list[tuple[Request, ...]], model: Any) -> None:
    texts, tensors = written(found[-1:])
    kept: dict[str, EditLike] = {BANDS.digest: BANDS}
    kept |= {one.edit.digest: one.edit for one in found[-1] if one.edit is not None}
    for one, text in zip(found[-1], texts[0], strict=True):
        again = Request.from_json(text, tensors, kept)
        drawn = [model.generate(dataclasses.replace(r, steps=2)).digest for r in (one, again)]
        assert drawn[0] == drawn[1]


def test_the_model_is_as_it_was_at_every_candidate(attack: Attack, model: Any, base: Any) -> None:
    before, other = snapshot(model), snapshot(base)
    for _ in hunted(attack, model, base):
        assert snapshot(model) == before
    for _ in hunted(attack, model, base, fell=True):
        break  # and where nobody asks for more
    assert snapshot(model) == before
    assert snapshot(base) == other


@pytest.mark.parametrize("units", [1, 2])
def test_the_model_is_as_it_was_after_an_interrupt(
    attack: Attack, model: Any, base: Any, units: int
) -> None:
    before, other = snapshot(model), snapshot(base)
    with contextlib.suppress(KeyboardInterrupt):
        list(hunted(attack, model, base, progress=StopAt(units)))
    assert snapshot(model) == before
    assert snapshot(base) == other


def test_it_ends_when_every_prompt_has_fallen(attack: Attack, model: Any, base: Any) -> None:
    told = list(hunted(attack, model, base, fell=True))
    alone = list(hunted(attack, model, base))
    assert len(told) <= len(alone)
    if "feedback" not in attack.needs:  # who does not ask cannot tell
        assert written(told)[0] == written(alone)[0]


def test_one_prompt_is_enough(attack: Attack, model: Any, base: Any) -> None:
    for many in hunted(attack, model, base, prompts=PROMPTS[:1]):
        assert [len(one) for one in many] == [1]


@pytest.mark.parametrize("family", sorted(set(tiny.FAMILIES) - {"sd1"}))
def test_every_family_is_served_or_refused(attack: Attack, family: str) -> None:
    model = of_pipeline(tiny.FAMILIES[family](), family)
    other = of_pipeline(tiny.FAMILIES[family](), family)
    before = model.fingerprint()
    try:
        last = list(hunted(attack, model, other))[-1]
    except Unsupported:
        return
    drawn = model.generate(dataclasses.replace(last[0], steps=2))
    assert drawn.pictures.shape == (1, 3, *model.picture_size)
    assert model.fingerprint() == before


def test_what_is_missing_is_a_user_s_mistake(attack: Attack, model: Any) -> None:
    bare = dataclasses.replace(cat(), pictures=None)
    if attack.needs & {"pictures", "base"}:
        with pytest.raises(UserError, match="expected"):
            list(hunted(attack, model, None, concept=bare))
    else:
        assert list(hunted(attack, model, None, concept=bare))
