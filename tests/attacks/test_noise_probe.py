from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.attacks.noise_probe import NoiseProbe
from excise.errors import BadSetting, Unsupported
from excise.models.load import of_pipeline
from excise.types import Concept, Prompt, Request

CAT = Concept("cat")


def fresh(family: str) -> Any:
    return of_pipeline(tiny.FAMILIES[family](), "tiny", {"steps": 4, "guidance": 1.0})


@pytest.fixture(scope="module")
def model() -> Any:
    return fresh("sd1")


def requests(model: Any, attack: NoiseProbe) -> list[Request]:
    return [r for (r,) in attack.search(model, (CAT,), Prompt.of(["a cat"]))]


def test_the_authors_24_variants(model: Any) -> None:
    attack = NoiseProbe().at("thorough")
    found = requests(model, attack)
    assert len({(r.eta, r.eta_scale) for r in found}) == len(found) == 24
    assert {r.steps for r in found} == {50}
    assert max(r.eta or 0 for r in found) == 1.85
    assert len({r.seeds for r in found}) == 24  # each on fresh noise
    assert len({(r.eta, r.eta_scale) for r in requests(model, NoiseProbe())}) == 24


def test_more_noise_moves_a_picture_further_from_its_noiseless_path(model: Any) -> None:
    def distance(eta: float, scale: float = 1.0) -> float:
        (request,) = requests(model, NoiseProbe(etas=(eta,), scales=(scale,), steps=4))
        still = Request(prompts="a cat", scheduler="ddim", eta=0.0, seeds=range(8))
        moved = model.generate(request.on(*range(8))).latents - model.generate(still).latents
        return float(moved.square().mean())

    assert 0 == distance(0.0) < distance(0.3) < distance(1.0) < distance(1.0, 2.0)


def test_every_variant_can_be_drawn(model: Any) -> None:
    for request in requests(model, NoiseProbe(etas=(0.5, 1.85), scales=(1.04,), steps=8)):
        latents = model.generate(request).latents
        assert latents is not None
        assert torch.isfinite(latents).all()


def test_who_has_no_steps_has_no_ddim(model: Any) -> None:
    with pytest.raises(Unsupported, match="DDIM"):
        requests(fresh("sd3"), NoiseProbe())
    with pytest.raises(BadSetting, match="etas"):
        NoiseProbe(etas=(-1.0,))
