from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.erasers.working import work_on
from tests.trained import World, world
from torch import Tensor

from excise.erasers import stereo
from excise.erasers import stereo_targets as targets
from excise.erasers.stereo import Stereo
from excise.errors import BadSetting
from excise.primitives.denoising import Bank, concept_loss
from excise.primitives.finetune import finetune
from excise.primitives.healing import Lesson
from excise.types import Concept, Condition

CAT = Concept("cat", templates=("{a}", "a picture of {a}"), anchor="dog")
TREE = Concept("tree", templates=("red {}",), anchor="dog")


def small(**settings: Any) -> Stereo:
    tiny: dict[str, Any] = {"rounds": 2, "steps": 4, "batch": 2, "trajectories": 4}
    tiny |= {"sampling_steps": 4, "pictures": 4, "inversion_steps": 3, "inputs": 2}
    return Stereo(**{**tiny, **settings})


@pytest.fixture(scope="module")
def two() -> World:
    return world()


@torch.no_grad()
def told(two: World, lesson: Lesson, cond: Condition) -> Tensor:
    """The model's predictions at a lesson's points, under one condition, or each its own."""
    points = lesson.points
    rows = cond[points.row] if len(cond) > 1 else cond.expand(len(points))
    return two.model.predict(points.x, points.u, rows)


def same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("eta", [0.0, 1.5])
def test_a_round_erases_as_esd_does(two: World, eta: float) -> None:
    work = work_on(two.model, CAT)
    lesson = targets.in_search(small(eta=eta), work, 0, None)
    null = told(two, lesson, two.model.encode(""))
    given = told(two, lesson, lesson.conditions)
    assert not same(given, null)
    assert same(lesson.target, null - eta * (given - null))
    texts = two.model.encode(CAT.prompts()).hidden
    for row in lesson.conditions.hidden:
        assert any(torch.allclose(row, text, atol=1e-4) for text in texts)


def test_the_next_round_erases_what_was_found(two: World) -> None:
    work = work_on(two.model, CAT, TREE)
    method = small()
    found = method.search(work).found
    assert [[len(one) for one in row] for row in found] == [[2, 2], [2, 2]]
    assert not torch.equal(found[0][0].values["text_encoder"], found[1][0].values["text_encoder"])
    # A round searches the model that it has just erased, and so each another one.
    assert found[0][0].edits != found[1][0].edits
    lesson = targets.in_search(method, work, 1, found[0])
    tokens = [one.conditions(two.model).hidden for one in found[0]]
    for i, row in enumerate(lesson.conditions.hidden):
        assert any(torch.allclose(row, token, atol=1e-4) for token in tokens[i % 2])


@pytest.mark.parametrize(("anchor_scale", "erase_scale"), [(1.0, 1.0), (0.5, 2.0)])
def test_the_last_stage_is_the_composition(
    two: World, anchor_scale: float, erase_scale: float
) -> None:
    work = work_on(two.model, CAT)
    method = small(anchor_scale=anchor_scale, erase_scale=erase_scale, trajectories=8)
    # One sentence, so that it is known which anchor a point has.
    one = Concept("cat", templates=("{a}",), anchor="dog")
    work = work_on(two.model, one)
    found = method.search(work).found
    lesson = targets.at_last(method, work, found)
    tokens = [prompt for row in found for prompt in row[0].prompts()]
    assert len(tokens) == 2 * 2
    every = [two.model.encode(e) for e in ("a cat", *tokens)]
    null = told(two, lesson, two.model.encode(""))
    anchor = told(two, lesson, two.model.encode("a dog"))
    pulls = torch.stack([told(two, lesson, e) - null for e in every])
    expected = null + anchor_scale * (anchor - null) - erase_scale * pulls.mean(dim=0)
    assert same(lesson.target, expected)
    # Each of them is trained on, and equally often.
    rows = lesson.conditions.hidden[lesson.points.row]
    counts = [sum(torch.allclose(row, e.hidden[0], atol=1e-4) for row in rows) for e in every]
    assert sum(counts) == len(rows)
    assert max(counts) - min(counts) <= 1 + len(rows) // 5
    assert min(counts) >= 1


def test_of_several_concepts_each_is_taken_out_at_its_own_points(two: World) -> None:
    work = work_on(two.model, CAT, TREE)
    method = small(anchor_scale=0.0)
    found = method.search(work).found
    lesson = targets.at_last(method, work, found)
    null = told(two, lesson, two.model.encode(""))
    for i, concept in enumerate((CAT, TREE)):
        every = (concept.prompts()[0], *(p for row in found for p in row[i].prompts()))
        pulls = [told(two, lesson, two.model.encode(e)) - null for e in every]
        expected = null - torch.stack(pulls).mean(dim=0)
        mine = lesson.points.row % 2 == i
        assert mine.any()
        assert same(lesson.target[mine], expected[mine])


def test_the_last_stage_starts_from_the_original(
    two: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def spy(model: Any, *args: Any, **kwargs: Any) -> Any:
        seen.update(fingerprint=model.fingerprint(), edits=model.edits)
        return finetune(model, *args, **kwargs)

    monkeypatch.setattr(stereo, "finetune", spy)
    before = two.model.fingerprint()
    found = small(search_lr=1e-2).erase(two.model, CAT)
    assert seen == {"fingerprint": before, "edits": ()}
    assert not any(".attn2." in name for name in found.edit.deltas)
    assert {name.split("/")[1] for name in found.tensors} == {"0", "1"}
    assert [len(row) for row in found.record["losses"]] == [1, 1]
    assert all(value.shape == (2, 1, 32) for value in found.tensors.values())


def test_neither_the_word_nor_what_was_found_brings_it_back(two: World) -> None:
    method = small(
        rounds=1,
        steps=40,
        batch=8,
        search_lr=1e-3,
        lr=2e-3,
        trajectories=12,
        sampling_steps=8,
        inversion_steps=60,
        inversion_samples=4,
        inversion_lr=0.1,
    )
    searched = method.search(work_on(two.model, CAT))
    latents = two.latents["cat"]
    bank = Bank.of(latents, 64, between=(0.7, 1.0))

    def loss(cond: Condition) -> float:
        return float(concept_loss(two.model, latents, cond, bank).min(dim=0).values.mean())

    word, tokens = two.model.encode("a cat"), searched.found[0][0].conditions(two.model)
    unknown = loss(two.model.encode(""))
    assert loss(word) < 0.1 * unknown
    with two.model.swapped(searched.deltas):
        erased, returned = loss(word), loss(tokens)
        assert erased > 0.3 * unknown
        assert returned < 0.7 * erased  # what it is for: the search finds what erasing has left
    with method.run(two.model, CAT).applied(two.model):
        assert loss(word) > 0.5 * unknown
        assert loss(tokens) > 0.5 * unknown


@pytest.mark.slow
def test_on_the_shipped_model_what_was_found_brings_the_concept_back() -> None:

    import excise
    from excise.judges.classifier import Classifier
    from excise.models.load import ASSETS
    from excise.types import Request

    model = excise.load("emoji")
    cat = next(concept for concept in model.known if concept.name == "cat")
    method = Stereo(
        rounds=1,
        steps=100,
        batch=8,
        search_lr=2e-4,
        selector=("cross_attention",),
        trajectories=24,
        sampling_steps=12,
        pictures=24,
        inputs=2,
        tokens=4,
        inversion_steps=150,
        inversion_samples=4,
        inversion_lr=0.1,
    )
    searched = method.search(work_on(model, cat))
    judge = Classifier(folder=str(ASSETS / "judge"))

    def rate(prompts: Any) -> float:
        request = Request(prompts=prompts, seeds=tuple(range(len(prompts))))
        return float(judge.score(model.generate(request).uint8(), "cat").rate)

    with model.swapped(searched.deltas):
        erased = rate(("a picture of a cat",) * 12)
        returned = rate(searched.found[0][0].prompts() * 6)
    assert erased <= 0.25
    assert returned >= erased + 0.4


def test_mistakes_are_said() -> None:
    for settings in ({"rounds": 0}, {"erase_scale": 0.0}, {"inversion_lr": -1.0}):
        with pytest.raises(BadSetting, match=f"stereo: expected {next(iter(settings))}"):
            Stereo(**settings)  # type: ignore[arg-type]
