"""Canonical names: ``component.path`` as in the component's file in the diffusers layout.

What the live module calls a weight changes: an adapter of PEFT moves it to ``base_layer``,
``torch.compile`` puts it under ``_orig_mod``, and transformers 5 dropped the ``text_model.`` of
CLIP's text model, which published files have. A canonical name is none of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

# Where a wrapper keeps what it wraps; everything else in a wrapper is an adapter's own.
_INNER = ("base_layer", "original_module", "base_model", "model", "_orig_mod")


def unwrapped(module: nn.Module) -> nn.Module:
    """The module itself, without adapters and compilation around it."""
    while _is_wrapper(module):
        inner = next((name for name in _INNER if name in module._modules), None)
        found = module._modules[inner] if inner is not None else None
        if found is None:
            return module
        module = found
    return module


def _is_wrapper(module: nn.Module) -> bool:
    home = type(module).__module__
    return home.startswith("peft.") or "_orig_mod" in module._modules


def walk(component: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Canonical name and live module (with its adapters) of a component and all below it."""
    root = unwrapped(module)
    prefix = component
    if type(root).__name__ == "CLIPTextModel" and "text_model" not in root._modules:
        prefix += ".text_model"
    yield component, module
    yield from _below(prefix, root)


def _below(path: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module._modules.items():
        if child is not None:
            yield f"{path}.{name}", child
            yield from _below(f"{path}.{name}", unwrapped(child))


def named_modules(components: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Every module of the components by canonical name, an adapter's wrapper for what it wraps."""
    return {name: live for part, module in components.items() for name, live in walk(part, module)}


def named_parameters(components: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Every parameter by canonical name, in the order of the modules; no adapter's.

    A parameter that stands in two places is named once, as in the file: at its first place.
    """
    found: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for part, component in components.items():
        for path, live in walk(part, component):
            for name, parameter in unwrapped(live)._parameters.items():
                if parameter is not None and id(parameter) not in seen:
                    seen.add(id(parameter))
                    found[f"{path}.{name}"] = parameter
    return found
