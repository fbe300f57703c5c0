from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.errors import BadSetting
from excise.models.load import of_pipeline
from excise.primitives.finetune import Draw
from excise.primitives.points import answers, noised, on_the_way, towards
from excise.rng import noise
from excise.types import Request


@pytest.fixture(scope="module", params=["sd1", "sd3"])
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


REQUEST = Request(prompts=("a cat", "a dog", "a tree"), seeds=(1, 2, 3), steps=4, guidance=3.0)


def test_points_are_what_the_sampler_passes(model: Any) -> None:
    points = on_the_way(model, REQUEST, 99)
    assert points.row.tolist() == [0, 1, 2] * 4
    for step in range(4):
        x, level = model.partial(REQUEST, step)
        assert torch.equal(points.x[3 * step : 3 * step + 3], x)
        assert points.u[3 * step : 3 * step + 3].tolist() == pytest.approx([level] * 3)
    assert not model.hooks


def test_each_picture_lends_as_many_steps_as_are_asked_for(model: Any) -> None:
    everything = on_the_way(model, REQUEST, 99)
    points = on_the_way(model, REQUEST, 2, seed=5)
    assert sorted(points.row.tolist()) == [0, 0, 1, 1, 2, 2]
    known = {(int(r), float(u)): x for x, u, r in zip(*everything.tensors().values(), strict=True)}
    for x, u, row in zip(*points.tensors().values(), strict=True):
        assert torch.equal(x, known[int(row), float(u)])
    assert torch.equal(on_the_way(model, REQUEST, 2, seed=5).x, points.x)
    other = [on_the_way(model, REQUEST, 1, seed=s).u.tolist() for s in range(4)]
    assert len({tuple(levels) for levels in other}) > 1
    with pytest.raises(BadSetting, match="at least one step"):
        on_the_way(model, REQUEST, 0)


def test_answers_are_the_predictions_under_each_points_caption(model: Any) -> None:
    points = on_the_way(model, REQUEST, 2)
    cond = model.encode(["a cat", "a dog", "a tree"])
    found = answers(model, points, cond)
    with torch.no_grad():
        for i in range(len(points)):
            row = int(points.row[i])
            alone = model.predict(points.x[i : i + 1], points.u[i : i + 1], cond[[row]])
            assert torch.allclose(found[i], alone[0], atol=1e-4)
    same = answers(model, points, model.encode("a cat"))
    firsts = points.row == 0
    assert torch.allclose(same[firsts], found[firsts], atol=1e-4)
    assert not torch.allclose(same[~firsts], found[~firsts], atol=1e-3)


def test_the_way_towards_a_target_ends_at_it(model: Any) -> None:
    points = on_the_way(model, REQUEST, 2)
    cond = model.encode(["a cat", "a dog", "a tree"])
    target = answers(model, points, cond)
    draw = Draw(seed=0, term="hold", step=0)
    assert towards(model, points, cond, target, batch=6)(draw) < 1e-8
    away = towards(model, points, cond, target + 1, batch=6)(draw)
    assert float(away.detach()) == pytest.approx(1.0, abs=1e-3)


def test_noised_pictures_span_the_window(model: Any) -> None:
    latents = noise(range(3), model.latent_shape)
    points = noised(model, latents, 60, seed=1, window=(0.5, 0.9))
    assert points.row.bincount().tolist() == [20, 20, 20]
    assert points.u.min() >= 0.5
    assert points.u.max() <= 0.9
    assert points.u.sort().values.diff().max() < 0.02  # evenly
    assert len(set(points.u[points.row == 0].gt(0.7).tolist())) == 2  # and apart from pictures
    least = noised(model, latents, 3, window=(0.0, 1e-6))
    assert torch.nn.functional.cosine_similarity(least.x.flatten(1), latents.flatten(1)).min() > (
        0.99
    )
