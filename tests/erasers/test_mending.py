"""What a concept is held down to, and under which words, by its kind."""

from __future__ import annotations

import pytest
import torch
from tests.erasers.working import work_on
from tests.suite import two

from excise.erasers.mending import _elsewhere, _pinned, target_of
from excise.erasers.task_vector import TaskVector
from excise.errors import BadSetting
from excise.types import Concept

STYLE, MARK = Concept("sketch", kind="style"), Concept("mark", kind="implicit")
SMALL = TaskVector(anywhere=3, pinned=20)


def test_a_style_goes_its_own_way_unless_it_is_told_to() -> None:
    assert [target_of(TaskVector(), one) for one in (two.CAT, STYLE, MARK)] == [
        "hard", "away", "hard",
    ]  # fmt: skip
    assert target_of(TaskVector(pin_to="away"), MARK) == "away"
    assert target_of(TaskVector(pin_to="hard"), STYLE) == "hard"
    with pytest.raises(BadSetting, match="pin_to"):
        TaskVector(pin_to="nowhere")  # type: ignore[arg-type]


@pytest.mark.slow
def test_words_of_other_things_are_for_what_is_no_object() -> None:
    work = work_on(two.model(), two.CAT)
    usual = TaskVector()
    assert _elsewhere(usual, work, two.CAT) is None
    assert len(_elsewhere(usual, work, STYLE) or ()) == 256
    assert len(_elsewhere(SMALL, work, two.CAT) or ()) == 3


@pytest.mark.slow
def test_what_is_said_elsewhere_is_asked_for_as_often_as_anything_else() -> None:
    model = two.model()
    work, name = work_on(model, two.CAT), next(iter(model.parameters("denoiser")))
    hard = {name: torch.ones_like(model.parameters("*")[name])}
    latents = torch.zeros(1, *model.latent_shape)
    inputs, others = model.encode(["a cat", "the cat"]), model.encode(["a dog"] * 3)

    def lesson(**settings: object) -> tuple[torch.Tensor, torch.Tensor]:
        method = TaskVector(pinned=20, **settings)  # type: ignore[arg-type]
        found = _pinned(method, work, 0, latents, inputs, others, hard)
        assert [int((found.points.row == row).sum()) for row in range(5)] == [4] * 5
        beside = found.points.row >= len(inputs)
        with torch.no_grad():
            said = model.predict(found.points.x, found.points.u, found.conditions[found.points.row])
        return (found.target - said)[~beside], (found.target - said)[beside]

    away, beside = lesson(pin_to="away")
    assert float(away.abs().max()) > 1e-3
    assert float(beside.abs().max()) < 1e-4  # what the unedited model says itself
    assert all(float(part.abs().max()) > 1e-3 for part in lesson(pin_to="hard"))
