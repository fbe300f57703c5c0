from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.models.load import of_pipeline
from excise.primitives import kernels
from excise.primitives.kernels import for_gradients


def plain_only() -> bool:
    return not torch.backends.cuda.flash_sdp_enabled() and torch.backends.cuda.math_sdp_enabled()


@pytest.mark.parametrize("autocast", [True, False])
def test_in_bfloat16_small_pictures_on_a_cpu_use_plain_attention(
    monkeypatch: pytest.MonkeyPatch, autocast: bool
) -> None:
    model: Any = of_pipeline(tiny.stable_diffusion(), "tiny")
    model.autocast = autocast
    before = plain_only()
    with for_gradients(model):
        assert plain_only() == (autocast or before)
    assert plain_only() == before
    monkeypatch.setattr(kernels, "PLAIN_UP_TO", 63)
    with for_gradients(model):
        assert plain_only() == before
