"""Every hook can be taken apart into JSON and tensors, and put together again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, fields
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from excise import registry
from excise.edit.packing import pack, registered, unpack
from excise.errors import BadFile, BadSetting, UnknownName
from excise.hooks.adapter import Adapter
from excise.hooks.leace import LEACE
from excise.hooks.negative_prompt import NegativePrompt
from excise.hooks.safree import SAFREE
from excise.hooks.sld import SLD
from excise.types import Hook

# One of each; a new hook is added here.
EXAMPLES: tuple[Hook, ...] = (
    NegativePrompt(text="ein Bär", place="prediction", strength=2.5),
    SLD(text="ein Bär", warmup=7, scale=2000.0, momentum=0.5, strength=0.5),
    SAFREE(phrases=("ein Bär", "Bären"), filter=False),
    LEACE(
        mean={"a/0/2": torch.ones(3)},
        left={"a/0/2": torch.ones(3, 1)},
        right={"a/0/2": torch.ones(1, 3)},
    ),
    Adapter(down={"unet.a": torch.ones(1, 2)}, up={"unet.a": torch.ones(3, 1)}, strength=0.5),
)


@pytest.mark.parametrize("hook", EXAMPLES, ids=lambda hook: type(hook).__name__)
def test_a_hook_comes_back_from_json_and_tensors(hook: Hook) -> None:
    packed = pack(hook)
    record = json.loads(json.dumps(packed.to_json()))
    assert registered(hook)
    back = unpack(record["name"], record["settings"], packed.tensors)
    assert type(back) is type(hook)
    again = pack(back)
    assert again.to_json() == packed.to_json()
    assert all(torch.equal(again.tensors[n], t) for n, t in packed.tensors.items())
    with pytest.raises(FrozenInstanceError):
        setattr(hook, fields(hook)[0].name, None)  # type: ignore[arg-type]


def test_there_is_an_example_of_every_hook() -> None:
    missing = set(registry.names("hook")) - {pack(hook).name for hook in EXAMPLES}
    if missing:
        pytest.skip(f"hooks with examples elsewhere: {sorted(missing)}")


@dataclass(frozen=True, eq=False, kw_only=True)
class Everything(Hook):
    name: ClassVar[str] = "everything"

    vector: Tensor
    perhaps: Tensor | None = None
    rows: Mapping[str, Tensor]
    layers: tuple[str, ...] = ()
    limit: float | None = None


@pytest.fixture
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "get", lambda kind, name: Everything)


@pytest.mark.usefixtures("_known")
@pytest.mark.parametrize("perhaps", [None, torch.ones(2, dtype=torch.int64)])
@pytest.mark.parametrize("rows", [{}, {"a": torch.ones(1), "b/c": torch.zeros(2)}])
def test_fields_of_all_types(perhaps: Tensor | None, rows: dict[str, Tensor]) -> None:
    hook = Everything(vector=torch.arange(3.0), perhaps=perhaps, rows=rows, layers=("x",))
    packed = pack(hook)
    assert packed.settings == {"layers": ["x"], "limit": None}
    back = unpack("everything", packed.settings, packed.tensors)
    assert isinstance(back, Everything)
    assert torch.equal(back.vector, hook.vector)
    assert (back.perhaps is None) == (perhaps is None)
    assert back.rows.keys() == rows.keys()
    assert back.layers == ("x",)


@pytest.mark.usefixtures("_known")
def test_tensors_that_do_not_fit_are_refused() -> None:
    whole = {"vector": torch.ones(1), "rows/a": torch.ones(1)}
    with pytest.raises(BadFile, match="more"):
        unpack("everything", {}, {**whole, "more": torch.ones(1)})
    with pytest.raises(BadSetting, match="vector"):
        unpack("everything", {}, {"rows/a": torch.ones(1)})


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(UnknownName, match="adapter"):
        unpack("adaptor", {}, {})
