"""Maps of the attention from pictures to text, read off while the network runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from excise.errors import unknown
from excise.types import Selector


@contextmanager
def recorded(modules: Mapping[str, nn.Module], layers: Selector) -> Iterator[dict[str, Tensor]]:
    """Yields a dict that fills with maps (n, heads, pixels, tokens), by the layer's name.

    The maps are computed beside the layer from the same queries and keys, so that whatever
    processor the pipeline uses stays in its place; gradients flow through them.
    """
    reading = {name: module for name, module in modules.items() if _reads_text(name, module)}
    patterns = [layers] if isinstance(layers, str) else list(layers)
    chosen = {n: m for n, m in reading.items() if any(fnmatchcase(n, p) for p in patterns)}
    if not chosen:
        raise unknown("attention layer that reads text", str(layers), reading)
    maps: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name, module in chosen.items():
            handle = module.register_forward_pre_hook(_recorder(name, maps), with_kwargs=True)
            stack.callback(handle.remove)
        yield maps


def _reads_text(name: str, module: nn.Module) -> bool:
    joint = getattr(module, "add_k_proj", None) is not None
    return hasattr(module, "to_q") and (joint or (name.endswith(".attn2") and _is_cross(module)))


def _is_cross(module: Any) -> bool:
    return bool(getattr(module, "is_cross_attention", True))


def _recorder(name: str, maps: dict[str, Tensor]) -> Any:
    def record(attn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        x = args[0] if args else kwargs["hidden_states"]
        text = args[1] if len(args) > 1 else kwargs.get("encoder_hidden_states")
        if text is not None:
            maps[name] = _map(attn, x, text)

    return record


def _map(attn: Any, x: Tensor, text: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt d) at the text's keys; in joint attention, over both kinds of keys.

    x: (n, pixels, d). text: (n, tokens, d').
    """
    joint = getattr(attn, "add_k_proj", None) is not None
    q = _heads(attn, attn.to_q(x), "norm_q")  # (n, heads, pixels, d / heads)
    if not joint:
        if attn.norm_cross:
            text = attn.norm_encoder_hidden_states(text)
        k = _heads(attn, attn.to_k(text), "norm_k")  # (n, heads, tokens, d / heads)
        return torch.softmax(attn.scale * q @ k.transpose(-1, -2), dim=-1)
    k_text = _heads(attn, attn.add_k_proj(text), "norm_added_k")
    k = torch.cat([_heads(attn, attn.to_k(x), "norm_k"), k_text], dim=2)
    weights = torch.softmax(attn.scale * q @ k.transpose(-1, -2), dim=-1)
    return weights[..., x.shape[1] :]


def _heads(attn: Any, value: Tensor, norm: str) -> Tensor:
    n, length, _ = value.shape
    split = value.view(n, length, attn.heads, -1).transpose(1, 2)  # (n, heads, L, d / heads)
    layer = getattr(attn, norm, None)
    normed: Tensor = split if layer is None else layer(split)
    return normed
