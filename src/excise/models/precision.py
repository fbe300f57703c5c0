"""In which precision a denoiser is evaluated, where its weights are kept in float32."""

from __future__ import annotations

import torch


def fast_bfloat16(device: torch.device, dtype: torch.dtype = torch.float32) -> bool:
    """Does this processor multiply bfloat16 matrices faster than float32 ones?

    Elsewhere bfloat16 is emulated, and slower. Graphics cards are left alone: there a model is
    loaded in the precision that it is to run in.
    """
    if device.type != "cpu" or dtype != torch.float32:
        return False
    return bool(torch.cpu._is_avx512_bf16_supported())
