from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests import tiny

from excise.attacks.completion import Completion, Hidden, mask
from excise.errors import BadConcept, BadSetting
from excise.models.load import of_pipeline
from excise.rng import generator
from excise.types import Concept, Prompt, Request, digest

PICTURES = torch.rand(8, 3, 16, 16, generator=generator("pictures"))
CAT = Concept("cat", pictures=PICTURES)
KINDS: tuple[Hidden, ...] = ("centre", "surround", "left", "right", "top", "bottom")


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 3, "guidance": 2.0})


def requests(model: Any, attack: Completion, concept: Concept = CAT) -> list[Request]:
    return [r for (r,) in attack.search(model, (concept,), Prompt.of(["a cat"]))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_visible_part_stays_and_the_rest_is_drawn(model: Any, kind: Hidden) -> None:
    (request,) = requests(model, Completion(restarts=1, hidden=(kind,), share="all"))
    drawn = model.generate(request.on(0, 1)).latents
    hidden = F.interpolate(mask(kind, (16, 16), 0.5), (8, 8), mode="area").expand_as(drawn)
    assert request.start is not None
    assert request.start.latents is not None
    kept = request.start.latents.expand_as(drawn)
    torch.testing.assert_close(kept[:1], model.encode_pictures(PICTURES[:1]))
    assert set(hidden.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(drawn[hidden == 0], kept[hidden == 0])
    assert not torch.isclose(drawn[hidden == 1], kept[hidden == 1]).any()
    assert not torch.equal(drawn[0], drawn[1])  # the hidden part has the seed's noise


def test_the_parts(model: Any) -> None:
    parts = {kind: mask(kind, (16, 12), 0.5)[0, 0] for kind in KINDS}
    assert parts["centre"].sum() == 8 * 6
    assert torch.equal(parts["centre"] + parts["surround"], torch.ones(16, 12))
    assert torch.equal(parts["left"] + parts["right"], torch.ones(16, 12))
    assert torch.equal(parts["top"] + parts["bottom"], torch.ones(16, 12))
    assert parts["centre"][4:12, 3:9].min() == 1
    assert parts["left"][:, 0].min() == 1


@pytest.mark.parametrize("pictures", [2, 3, 4])
def test_every_part_of_every_picture_comes_up(model: Any, pictures: int) -> None:
    concept = Concept("cat", pictures=PICTURES[:pictures])
    found = requests(model, Completion(restarts=4 * pictures, share="all"), concept)
    pairs = {(digest(r.start.latents), digest(r.start.mask)) for r in found}  # type: ignore[union-attr,arg-type]
    assert len(pairs) == 4 * pictures


def test_settings(model: Any) -> None:
    with pytest.raises(BadSetting, match="hidden"):
        Completion(hidden=())
    with pytest.raises(BadSetting, match="side"):
        Completion(side=1.0)
    with pytest.raises(BadConcept, match="pictures"):
        requests(model, Completion(), Concept("cat"))
