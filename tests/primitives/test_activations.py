from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests import tiny

from excise.errors import BadSetting
from excise.models.load import of_pipeline
from excise.primitives.activations import column_norms
from excise.types import Request

MODULES = tuple(
    f"unet.{block}.attentions.0.transformer_blocks.0.ff.net.2"
    for block in ("down_blocks.1", "mid_block")
)
REQUEST = Request(prompts=("a cat", "a dog", "red"), seeds=(1, 2, 3), steps=4, guidance=3.0)


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def test_norms_are_those_of_what_the_layers_read(model: Any) -> None:
    read: dict[str, list[torch.Tensor]] = {name: [] for name in MODULES}
    live = model.modules(MODULES)
    handles = [
        live[name].register_forward_hook(lambda _, x, __, name=name: read[name].append(x[0]))
        for name in MODULES
    ]
    try:
        model.generate(REQUEST)
    finally:
        for handle in handles:
            handle.remove()
    found = column_norms(model, REQUEST, 3, MODULES)
    assert list(found) == [0, 1, 2]
    for name in MODULES:
        assert len(read[name]) == 4
        for step in found:
            rows = F.normalize(read[name][step].flatten(0, 1), dim=1)  # (2 * 3 * pixels, i)
            assert torch.allclose(found[step][name], rows.norm(dim=0), rtol=1e-4)
    assert not torch.allclose(found[0][MODULES[0]], found[2][MODULES[0]])


def test_nothing_of_it_stays(model: Any) -> None:
    before = model.generate(REQUEST).latents
    column_norms(model, REQUEST, 1, MODULES)
    assert model.hooks == ()
    assert torch.equal(model.generate(REQUEST).latents, before)


def test_steps_out_of_range_are_refused(model: Any) -> None:
    for first in (0, 4):
        with pytest.raises(BadSetting, match="first < 4"):
            column_norms(model, REQUEST, first, MODULES)
