from __future__ import annotations

from collections import Counter

import pytest
import torch
from tests.suite import two
from torch import Tensor

from excise.primitives.healing import Lesson, kept_lesson, kept_texts, pinned_lesson
from excise.types import Concept

THINGS = tuple(
    Concept(name, synonyms=(f"{name}let",)) for name in ("hen", "oak", "pin", "rug", "sun", "tub")
)


class Sees:
    """Sees the concept in every picture, or in those at even places."""

    def __init__(self, every: int) -> None:
        self.every = every

    labels = ("cat", "dog", "nothing")
    things = ("cat", "dog")
    thresholds = dict.fromkeys(labels, 0.5)
    name = title = "sees"

    def scores(self, pictures: Tensor) -> Tensor:
        """Only the cat's column says anything."""
        shown = torch.arange(len(pictures)) % self.every == 0
        return torch.stack(
            [shown.float(), torch.zeros(len(pictures)), torch.zeros(len(pictures))], 1
        )


@pytest.fixture
def many() -> object:
    model = two.model()
    known = model.known
    model.known = (two.CAT, two.DOG, *THINGS)
    yield model
    model.known = known


@pytest.mark.slow
def test_every_class_comes_as_often_and_neighbours_twice(many: object) -> None:
    from excise.primitives import healing

    asked, texts = healing._asked(many, (two.CAT,), 240, 0, False, 2)  # type: ignore[arg-type]
    names = {"dog", *(row.name for row in THINGS)}
    single = [set(text.text.split()) for i, text in enumerate(texts) if i % 6 != 5]
    found = [names & {word.removesuffix("let") for word in words} for words in single]
    assert all(len(one) == 1 for one in found)
    seen = Counter(one.pop() for one in found)
    rest = [seen[row.name] for row in THINGS]
    mean = sum(rest) / len(rest)
    assert seen["dog"] == pytest.approx(2 * mean, rel=0.25)
    assert max(rest) - min(rest) <= 0.5 * mean
    assert not any("cat" in text.text.split() for text in texts)
    # Beside the concept something else is asked for, and that alone is drawn.
    beside = [i for i, (one, other) in enumerate(zip(asked, texts, strict=True)) if one != other]
    assert beside == list(range(2, 240, 6))
    for i in beside:
        words = set(asked[i].text.split())
        assert words & {*two.CAT.names}
        assert words & names == names & {w.removesuffix("let") for w in texts[i].text.split()}
    # With stand-ins other things are drawn for the concept alone, and many of them.
    asked, texts = healing._asked(many, (two.CAT,), 240, 0, True, 2)  # type: ignore[arg-type]
    stands = range(4, 240, 6)
    assert all(set(asked[i].text.split()) & {*two.CAT.names} for i in stands)
    assert all(not set(asked[i].text.split()) & names for i in stands)
    drawn = {word.removesuffix("let") for i in stands for word in texts[i].text.split()} & names
    assert len(drawn) >= 3


@pytest.mark.slow
def test_where_nothing_else_is_known_nothing_is_asked_for() -> None:
    texts = kept_texts(two.model(), (two.CAT, two.DOG), 3, 0)
    assert [text.text for text in texts] == ["", "", ""]


@pytest.mark.slow
def test_points_without_a_prompt_have_the_models_own_answer_without_one() -> None:
    model = two.model()
    lesson = kept_lesson(model, (two.CAT,), walks=12, keep=4, empty_share=0.25)
    blank = lesson.points.row == len(lesson.conditions) - 1
    assert 0.05 < float(blank.float().mean()) < 0.5
    with torch.no_grad():
        said = model.predict(
            lesson.points.x[blank],
            lesson.points.u[blank],
            model.encode("").expand(int(blank.sum())),
        )
    assert torch.allclose(said, lesson.target[blank], atol=1e-4)


@pytest.mark.slow
def test_what_a_judge_sees_the_concept_in_is_left_out() -> None:
    model = two.model()
    whole = kept_lesson(model, (two.CAT,), walks=12, keep=4)
    half = kept_lesson(model, (two.CAT,), walks=12, keep=4, judge=Sees(2))  # type: ignore[arg-type]
    none = kept_lesson(model, (two.CAT,), walks=12, keep=4, judge=Sees(1))  # type: ignore[arg-type]
    assert len(whole.points) == len(none.points) == 48  # with nothing left there is no lesson
    assert len(half.points) == 24


@pytest.mark.slow
def test_a_lesson_is_kept_as_tensors() -> None:
    model = two.model()
    latents = torch.zeros(2, *model.latent_shape)
    lesson = pinned_lesson(model, latents, model.encode(["a cat", ""]), 6)
    again = Lesson.of(lesson.tensors())
    assert torch.equal(again.target, lesson.target)
    assert torch.equal(again.points.row, torch.arange(6) % 2)
    other = pinned_lesson(model, latents, model.encode(["a cat", ""]), 6, seed=1)
    assert not torch.equal(other.points.x, lesson.points.x)


@pytest.mark.slow
def test_pins_may_hold_what_an_edit_says() -> None:
    model = two.model()
    latents = torch.zeros(1, *model.latent_shape)
    name = next(iter(model.parameters("denoiser")))
    edit = {name: torch.ones_like(model.parameters("*")[name])}
    plain = pinned_lesson(model, latents, model.encode("a cat"), 4, to={})
    moved = pinned_lesson(model, latents, model.encode("a cat"), 4, to=edit)
    assert torch.equal(plain.points.x, moved.points.x)
    assert not torch.allclose(plain.target, moved.target)


@pytest.mark.slow
def test_pins_may_lie_beyond_what_is_said_without_a_prompt() -> None:
    model = two.model()
    latents = torch.zeros(1, *model.latent_shape)
    inputs = model.encode(["a cat", ""])
    said = pinned_lesson(model, latents, inputs, 4, to={}).target
    null = pinned_lesson(model, latents, inputs, 4).target
    beyond = pinned_lesson(model, latents, inputs, 4, away=0.5)
    assert torch.allclose(beyond.target - null, 0.5 * (null - said), atol=1e-5)
    assert torch.allclose(beyond.target[1::2], null[1::2], atol=1e-4)  # without a prompt: stays


@pytest.mark.slow
def test_two_lessons_are_one() -> None:
    model = two.model()
    latents = torch.zeros(1, *model.latent_shape)
    one = pinned_lesson(model, latents, model.encode(["a cat", ""]), 5)
    other = pinned_lesson(model, latents, model.encode(["a dog"]), 3, to={})
    both = one.and_then(other)
    assert both.points.row.tolist() == [0, 1, 0, 1, 0, 2, 2, 2]
    assert torch.equal(both.target, torch.cat([one.target, other.target]))
    with torch.no_grad():  # each is under its own caption still
        said = model.predict(
            both.points.x[5:], both.points.u[5:], both.conditions[both.points.row[5:]]
        )
    assert torch.allclose(said, both.target[5:], atol=1e-4)
