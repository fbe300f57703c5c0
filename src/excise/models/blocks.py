"""Named groups of weights, from which a subset is chosen: by selector, block or glob."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from excise.errors import unknown
from excise.types import Selector

Roles = Mapping[str, Callable[[str], bool]]

_JOINT_TEXT = (".add_q_proj.", ".add_k_proj.", ".add_v_proj.", ".to_add_out.", ".norm_added_")

# What a weight of a U-Net (SD 1, 2, XL) or of a joint transformer (SD 3) does, by its name. In
# joint attention the text's own projections play the part of cross-attention.
ROLES: Roles = {
    "cross_attention": lambda name: _any(name, ".attn2.", *_JOINT_TEXT) and not _joint_self(name),
    "self_attention": lambda name: ".attn1." in name or _joint_self(name),
    "feed_forward": lambda name: _any(name, ".ff.", ".ff_context."),
    "resnet": lambda name: ".resnets." in name,
}
_KV = ("attn2.to_k.", "attn2.to_v.", "attn.add_k_proj.", "attn.add_v_proj.")


def _any(name: str, *parts: str) -> bool:
    return any(part in name for part in parts)


def _joint_self(name: str) -> bool:
    """Of SD 3: the pictures' projections in ``attn``, and all of the second attention in 3.5."""
    if not name.startswith("transformer."):
        return False
    return ".attn2." in name or (".attn." in name and not _any(name, *_JOINT_TEXT))


def role(name: str) -> str:
    """Which of `ROLES` a weight has, or ``other``: norms, projections in and out, sampling."""
    return next((role for role, has in ROLES.items() if has(name)), "other")


def block_of(name: str) -> str:
    """The block of a denoiser's weight: in, down.0, ..., mid, up.0, ..., out; block.0 in SD 3."""
    path = name.split(".")[1:]
    match path[0]:
        case "down_blocks" | "up_blocks":
            return f"{path[0].split('_')[0]}.{path[1]}"
        case "transformer_blocks":
            return f"block.{path[1]}"
        case "mid_block":
            return "mid"
        case "conv_norm_out" | "conv_out" | "norm_out" | "proj_out":
            return "out"
        case _:
            return "in"


def blocks(names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Groups of a denoiser's weights, in the order of the network.

    Coarse ones (``mid``, ``down.1``) are a partition; each is followed by its roles
    (``mid.resnet``, ``down.1.cross_attention``, ``down.1.other``), a partition of it.
    """
    coarse: dict[str, list[str]] = {}
    for name in names:
        coarse.setdefault(block_of(name), []).append(name)
    found: dict[str, tuple[str, ...]] = {}
    for block, members in sorted(coarse.items(), key=lambda item: _order(item[0])):
        found[block] = tuple(members)
        roles: dict[str, list[str]] = {}
        for name in members:
            roles.setdefault(role(name), []).append(name)
        if len(roles) > 1:
            found |= {f"{block}.{r}": tuple(roles[r]) for r in (*ROLES, "other") if r in roles}
    return found


def _order(block: str) -> tuple[int, int]:
    kind, _, number = block.partition(".")
    return ["in", "down", "block", "mid", "up", "out"].index(kind), int(number or 0)


def select(selector: Selector, names: Sequence[str], denoiser: str) -> list[str]:
    """The canonical names that a selector means, in their order in ``names``.

    A selector is one of, or a sequence of (their union; those that start with ``!`` are taken out):
    a component (``text_encoder``, ``denoiser`` for the denoising network whatever it is called),
    a role in the denoiser (``cross_attention``, ``self_attention``, ``feed_forward``, ``resnet``,
    ``other``), ``cross_attention_kv`` (keys and values that read text), ``not_cross_attention``,
    a block (``mid``, ``down.1``, ``down.1.cross_attention``), a name or a glob of names.
    """
    wanted = [selector] if isinstance(selector, str) else list(selector)
    chosen: set[str] = set()
    if wanted and all(one.startswith("!") for one in wanted):
        chosen = {name for name in names if name.startswith(denoiser + ".")}
    for one in wanted:
        if not one.startswith("!"):
            chosen |= _one(one, names, denoiser)
    for one in wanted:
        if one.startswith("!"):
            chosen -= _one(one[1:], names, denoiser)
    return [name for name in names if name in chosen]


def _one(selector: str, names: Sequence[str], denoiser: str) -> set[str]:
    own = [name for name in names if name.startswith(denoiser + ".")]
    components = {name.split(".", 1)[0] for name in names}
    if selector in components or selector == "denoiser":
        part = denoiser if selector == "denoiser" else selector
        return {name for name in names if name.startswith(part + ".")}
    if selector in (*ROLES, "other"):
        return {name for name in own if role(name) == selector}
    if selector == "cross_attention_kv":
        return {n for n in own if role(n) == "cross_attention" and _any(n, *_KV)}
    if selector == "not_cross_attention":
        return {name for name in own if role(name) != "cross_attention"}
    groups = blocks(own)
    if selector in groups:
        return set(groups[selector])
    found = {name for name in names if fnmatchcase(name, selector)}
    if not found:
        special = {"denoiser", "other", "cross_attention_kv", "not_cross_attention"}
        raise unknown("weight, block or group", selector, {*components, *ROLES, *groups, *special})
    return found


def modules_matching(
    patterns: Sequence[str], modules: Mapping[str, nn.Module]
) -> dict[str, nn.Module]:
    """The modules that names or globs mean. Raises UnknownName for one that means none."""
    found: dict[str, nn.Module] = {}
    for pattern in patterns:
        matching = {name: m for name, m in modules.items() if fnmatchcase(name, pattern)}
        if not matching:
            raise unknown("module", pattern, modules)
        found |= matching
    return found
