from __future__ import annotations

import torch
from tests import tiny

from excise.models.load import load
from excise.models.precision import fast_bfloat16
from excise.types import Request

REQUEST = Request(prompts=("a cat", "a dog"), seeds=(0, 1), steps=4)


def test_bfloat16_is_only_taken_where_it_is_faster() -> None:
    assert not fast_bfloat16(torch.device("meta"))
    assert not fast_bfloat16(torch.device("cpu"), torch.float16)
    model = load(tiny.FAMILIES["sd1"]())
    assert model.autocast == fast_bfloat16(torch.device("cpu"))
    assert load(tiny.FAMILIES["sd1"](), autocast=False).precision == "float32"


def test_weights_latents_and_pictures_keep_their_precision() -> None:
    exact = load(tiny.FAMILIES["sd1"](), autocast=False)
    fast = load(exact.pipeline, autocast=True)
    assert fast.precision == "bfloat16 over float32"
    before = fast.fingerprint()
    one, other = exact.generate(REQUEST), fast.generate(REQUEST)
    assert fast.fingerprint() == before
    assert other.latents is not None
    assert other.latents.dtype == torch.float32
    apart = (one.uint8().float() - other.uint8().float()).abs().mean()
    assert 0 < float(apart) < 4  # of 255
