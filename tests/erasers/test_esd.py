from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.trained import World, world

from excise.edit import Edit, LowRank
from excise.erasers import esd
from excise.erasers.esd import ESD, SELECTORS, Variant
from excise.errors import BadSetting, Unsupported
from excise.hooks.adapter import Adapter
from excise.models.load import of_pipeline
from excise.primitives.adapters import Adapters
from excise.primitives.data import parts
from excise.primitives.denoising import Bank, concept_loss
from excise.primitives.finetune import finetune
from excise.primitives.parametrise import Full
from excise.primitives.points import Points, towards
from excise.types import Concept, Prompt

CAT = Concept("cat", templates=("{a}", "a picture of {a}"))
TREE = Concept("tree", templates=("red {}", "{}"))


def small(**settings: Any) -> ESD:
    return ESD(steps=30, batch=8, lr=1e-3, trajectories=8, sampling_steps=8, **settings)


@pytest.fixture(scope="module")
def two() -> World:
    return world()


def loss(two: World, thing: str, prompt: str) -> float:
    """Denoising loss on a thing's pictures, where only the words can tell."""
    latents = two.latents[thing]
    bank = Bank.of(latents, 64, between=(0.7, 1.0))
    return float(concept_loss(two.model, latents, two.model.encode(prompt), bank).mean())


def test_the_word_no_longer_means_it_and_the_other_word_does(two: World) -> None:
    model = two.model
    unknown = loss(two, "cat", "")  # what the base says of a cat's picture without the word
    before = {thing: loss(two, thing, f"a {thing}") for thing in ("cat", "dog")}
    assert before["cat"] < 0.1 * unknown  # the word meant something, or there is nothing to erase
    edit = small(variant="x").run(model, CAT)
    with edit.applied(model):
        assert loss(two, "cat", "a cat") > (before["cat"] + unknown) / 2
        assert loss(two, "cat", "a picture of a cat") > (before["cat"] + unknown) / 2
        assert loss(two, "dog", "a dog") < before["dog"] + 0.02 * unknown
    assert loss(two, "cat", "a cat") == before["cat"]


@pytest.mark.parametrize("adapter", [False, True])
def test_it_also_erases_with_two_factors_of_each_weight_and_with_adapters(
    two: World, adapter: bool, tmp_path: Path
) -> None:
    model = two.model
    unknown = loss(two, "cat", "")
    before = {thing: loss(two, thing, f"a {thing}") for thing in ("cat", "dog")}
    method = replace(small(variant="x", rank=2, adapter=adapter), steps=100, lr=1e-2)
    edit = method.run(model, CAT)
    if adapter:
        (hook,) = edit.hooks
        assert isinstance(hook, Adapter)
        assert {len(down) for down in hook.down.values()} == {2}
    else:
        assert {type(delta) for delta in edit.deltas.values()} == {LowRank}
        assert {delta.up.shape[1] for delta in edit.deltas.values()} == {2}  # type: ignore[union-attr]
    assert edit.kind == ("guard" if adapter else "task_vector")
    edit.save(tmp_path / "edit.safetensors")
    with Edit.load(tmp_path / "edit.safetensors").applied(model):
        assert loss(two, "cat", "a cat") > (before["cat"] + unknown) / 2
        assert loss(two, "dog", "a dog") < before["dog"] + 0.1 * unknown
    assert loss(two, "cat", "a cat") == before["cat"]


def test_left_alone_every_entry_of_a_weight_is_trained(two: World) -> None:
    assert ESD().trained == Full()
    assert ESD(adapter=True).trained == Adapters()
    assert ESD(adapter=True, rank=3).trained == Adapters(rank=3)


@pytest.mark.parametrize("variant", sorted(SELECTORS))
def test_only_the_variants_weights_move(two: World, variant: Variant) -> None:
    edit = ESD(variant=variant, steps=2, trajectories=2, sampling_steps=2).run(two.model, CAT)
    names = set(edit.deltas)
    assert names <= set(two.model.parameters(SELECTORS[variant]))
    inside = [".attn2." in name for name in names]
    match variant:
        case "x":
            assert all(inside)
            assert any(".to_q." in name for name in names)
        case "x_strict":
            assert all(".attn2.to_k." in name or ".attn2.to_v." in name for name in names)
        case "u":
            assert not any(inside)
        case "all":
            assert any(inside)
            assert not all(inside)


@pytest.mark.parametrize(("kinds", "variant"), [(("style",), "x"), (("object",), "u"),
                                                (("style", "object"), "u")])  # fmt: skip
def test_auto_follows_the_kinds_of_the_concepts(
    two: World, kinds: tuple[Any, ...], variant: str
) -> None:
    concepts = [Concept(f"cat {kind}", kind=kind) for kind in kinds]
    found = ESD(steps=1, trajectories=2, sampling_steps=2).erase(two.model, concepts)
    assert found.record["variant"] == variant


@pytest.mark.parametrize(
    ("family", "variant", "lr"),
    [
        *(("sd1", variant, 5e-5) for variant in ("x", "x_strict", "u", "all")),
        *(("sdxl", variant, 2e-4) for variant in ("x", "x_strict")),
        *(("sdxl", variant, 1e-5) for variant in ("u", "all")),
    ],
)
def test_the_rate_is_the_authors_for_the_model_and_variant(
    monkeypatch: pytest.MonkeyPatch, family: str, variant: Any, lr: float
) -> None:
    seen: list[Any] = []

    def spy(*args: Any, optimiser: Any, **rest: Any) -> Any:
        seen.append(optimiser)
        return finetune(*args, optimiser=optimiser, **rest)

    monkeypatch.setattr(esd, "finetune", spy)
    model = of_pipeline(tiny.FAMILIES[family](), family)
    few = {"variant": variant, "steps": 1, "trajectories": 1, "sampling_steps": 1}
    ESD.fitted(model, few).run(model, CAT)
    ESD.fitted(model, {**few, "lr": 1e-3}).run(model, CAT)
    assert [one.lr for one in seen] == [lr, 1e-3]
    assert [one.clip for one in seen] == [None, None]


@pytest.mark.parametrize("erase_from", [None, "a dog"])
@pytest.mark.parametrize("concepts", [(CAT,), (CAT, TREE)])
def test_the_target_is_the_bases_mixture(
    two: World,
    monkeypatch: pytest.MonkeyPatch,
    erase_from: str | None,
    concepts: tuple[Concept, ...],
) -> None:
    seen: dict[str, Any] = {}

    def spy(model: Any, points: Points, cond: Any, target: Any, *, batch: int) -> Any:
        seen.update(points=points, cond=cond, target=target)
        return towards(model, points, cond, target, batch=batch)

    monkeypatch.setattr(esd, "towards", spy)
    model = two.model
    found = small(variant="x", eta=1.5, erase_from=erase_from).erase(model, concepts)
    points, row = seen["points"], seen["points"].row
    prompts = [found.record["prompts"][i] for i in row]
    texts = [p.text for concept in concepts for p in concept.prompts()]
    assert {text: prompts.count(text) for text in prompts} == dict.fromkeys(
        texts, len(points) // len(texts)
    )
    trained = prompts if erase_from is None else [erase_from] * len(points)
    with torch.no_grad():
        concept = model.predict(points.x, points.u, model.encode(prompts))
        null = model.predict(points.x, points.u, model.encode([""] * len(points)))
        start = model.predict(points.x, points.u, model.encode(trained))
    assert torch.allclose(seen["target"], start - 1.5 * (concept - null), atol=1e-3)
    used = seen["cond"].hidden
    used = used.expand(len(points), -1, -1) if len(used) == 1 else used[row]
    assert torch.allclose(used, model.encode(trained).hidden, atol=1e-4)


def test_more_eta_erases_more(two: World) -> None:
    after = []
    for eta in (1e-6, 0.5, 2.0):
        with small(variant="x", eta=eta).run(two.model, CAT).applied(two.model):
            after.append(loss(two, "cat", "a cat"))
    assert after[0] == pytest.approx(loss(two, "cat", "a cat"), rel=0.1)
    assert after == sorted(after)


def test_every_point_is_used_once_if_there_are_enough(two: World) -> None:
    found = ESD(steps=5, batch=3, trajectories=4, sampling_steps=10).erase(two.model, CAT)
    assert 15 <= found.record["points"] < 15 + 4
    assert len(found.record["prompts"]) == 4
    assert len(found.record["curves"]["erase"]) == 5


def test_mistakes_are_said() -> None:
    for settings in ({"steps": 0}, {"eta": 0.0}, {"lr": -1.0}, {"variant": "y"}):
        with pytest.raises(BadSetting, match=f"esd: expected {next(iter(settings))}"):
            ESD(**settings)  # type: ignore[arg-type]


def test_without_words_or_pictures_there_is_nothing_to_erase(two: World) -> None:
    with pytest.raises(Unsupported, match="esd: expected concepts that prompts name or pictures"):
        small().run(two.model, Concept("mark", kind="implicit"))


def test_inputs_that_are_inverted_from_pictures_stand_for_words(
    two: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a search finds in a concept's own pictures is erased as its words would be."""
    seen: list[int] = []

    class Found:
        def prompts(self) -> tuple[Prompt, ...]:
            return Prompt.of(["a cat", "a photo of a cat"])

    def run(self: Any, model: Any, latents: Any, *, restarts: int, **given: Any) -> Found:
        seen.extend([len(latents), restarts])
        return Found()

    monkeypatch.setattr(esd.Inverter, "run", run)
    pictures = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mark = Concept("mark", kind="implicit", pictures=pictures)
    before = loss(two, "cat", "a cat")
    found = small(variant="x", inputs=3).erase(two.model, mark)
    assert seen == [len(parts(40)["find"]), 3]
    assert set(found.record["prompts"]) == {"a cat", "a photo of a cat"}
    with found.edit.applied(two.model):
        assert loss(two, "cat", "a cat") > 5 * before


@pytest.mark.slow
def test_a_concept_given_by_pictures_alone_can_be_erased(two: World) -> None:
    pictures = two.model.decode(two.latents["cat"]).detach()
    mark = Concept("mark", kind="implicit", pictures=pictures)
    tried = replace(small(), inputs=2, tokens=2, inversion_steps=20)
    found = tried.erase(two.model, mark)
    again = tried.erase(two.model, mark)
    assert all("<1>" in text for text in found.record["prompts"])
    assert found.edit.digest == again.edit.digest
