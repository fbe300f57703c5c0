"""What inversion found: a value that can be drawn from, saved and carried to another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor

from excise.errors import BadFile, UserError
from excise.primitives.bands import BANDS
from excise.primitives.spaces import SOFT, Name, Space, space_for
from excise.store import Artefact, hash_tensors, load_tensors, save_tensors
from excise.types import Condition, Prompt, Request, TextToImage

FORMAT = "excise.inversion/1"


@dataclass(frozen=True, eq=False, kw_only=True)
class Inversion:
    """K inputs that make a model show what some pictures show.

    values: float32, on the CPU, one row a restart. In the token space by encoder (K, k, d); in the
        condition space by tensor of `Condition`, such as ``hidden`` (K, L, d), with a band axis
        (K, bands, L, d) in the space of one conditioning a step; on the simplex ``words``
        (K, k, W), one-hot over the model's `Lexicon`.
    losses: (K, B), the denoising loss of each row at each entry of a fixed bank.
    curves: (K, steps), the loss of each row at each step of the search, on its own draws.
    settings: of the `Inverter`, as JSON. seed: of the search. pictures: digest of the latents.
    bank: digest of the bank. edits: what was applied to the model.
    """

    values: Mapping[str, Tensor]
    losses: Tensor
    curves: Tensor
    settings: Mapping[str, Any]
    seed: int
    pictures: str
    bank: str
    edits: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def loss(self) -> Tensor:
        """The mean over the bank, (K,)."""
        return self.losses.mean(dim=1)

    @property
    def digest(self) -> str:
        """SHA-256 of the values."""
        return hash_tensors(self.values)

    def take(self, rows: Sequence[int]) -> Inversion:
        """Some of the rows."""
        i = torch.tensor(list(rows), dtype=torch.int64)
        values = {name: value[i] for name, value in self.values.items()}
        return replace(self, values=values, losses=self.losses[i], curves=self.curves[i])

    def space(self, model: TextToImage, text: str | None = None) -> Space:
        """The space that was searched, for a model; with another text in the template's place."""
        low, high = self.settings["norms"]
        return space_for(
            model,
            cast(Name, self.settings["space"]),
            template=self.settings["template"] if text is None else text,
            tokens=self.settings["tokens"],
            bands=self.settings["bands"],
            norms=(low, high),
        )

    def prompts(self, text: str | None = None) -> tuple[Prompt, ...]:
        """One prompt a row, of the template or another text with ``<1>`` in it.

        Raises:
            UserError: what was found is no soft tokens; use `conditions`, or `request`.
        """
        if self.settings["space"] != "token":
            raise UserError(
                f"expected soft tokens, got those of the space {self.settings['space']!r}; "
                "use conditions(model) or request(model, row)"
            )
        words = self.settings["template"] if text is None else text
        return tuple(
            Prompt(words, {SOFT: {name: value[row] for name, value in self.values.items()}})
            for row in range(len(self))
        )

    def conditions(self, model: TextToImage, text: str | None = None) -> Condition:
        """One row of condition a row, on the model's device; with bands where there are any.

        text: for tokens, a text with ``<1>`` in it in the template's place.
        """
        values = {name: value.to(model.device) for name, value in self.values.items()}
        with torch.no_grad():
            return self.space(model, text).conditions(values)

    def request(
        self, model: TextToImage, row: int, text: str | None = None, seeds: Sequence[int] = (0,)
    ) -> Request:
        """A request that draws from one row.

        text: for tokens, a text with ``<1>`` in it in the template's place. A conditioning
            replaces every prompt, and its request holds none.
        """
        one = self.take([row])
        if self.settings["space"] == "token":
            return Request(prompts=one.prompts(text), seeds=tuple(seeds))
        if self.settings["space"] == "simplex":
            words = one.space(model, text).prompts(one.values)
            return Request(prompts=words, seeds=tuple(seeds))
        cond = one.conditions(model).to("cpu")
        edit = BANDS if self.settings["space"] == "step_condition" else None
        return Request(condition=cond, seeds=tuple(seeds), edit=edit)

    def artefact(self) -> Artefact:
        """The inversion as tensors and JSON."""
        tensors = {f"value/{name}": value for name, value in self.values.items()}
        tensors |= {"losses": self.losses, "curves": self.curves}
        names = ("settings", "seed", "pictures", "bank", "edits")
        record = {name: getattr(self, name) for name in names} | {"format": FORMAT}
        record |= {"settings": dict(self.settings), "edits": list(self.edits)}
        return Artefact(tensors=tensors, record=record)

    @staticmethod
    def of(artefact: Artefact) -> Inversion:
        """The inversion that `artefact` wrote."""
        record, tensors = artefact.record, artefact.tensors
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise BadFile(f"expected a file of {FORMAT}, got other contents; search again")
        return Inversion(
            values={
                name.removeprefix("value/"): value
                for name, value in tensors.items()
                if name.startswith("value/")
            },
            losses=tensors["losses"],
            curves=tensors["curves"],
            settings=record["settings"],
            seed=record["seed"],
            pictures=record["pictures"],
            bank=record["bank"],
            edits=tuple(record["edits"]),
        )

    def save(self, path: Path | str) -> None:
        """Write a safetensors file. It brings the concept back: keep it from who should not."""
        art = self.artefact()
        save_tensors(path, art.tensors, art.record)

    @staticmethod
    def load(path: Path | str) -> Inversion:
        """Read what `save` wrote."""
        tensors, record = load_tensors(path)
        return Inversion.of(Artefact(tensors=tensors, record=record))
