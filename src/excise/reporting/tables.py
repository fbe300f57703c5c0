"""The table of scores beside a report: one row for each look of a judge at a picture.

It is a safetensors file: the scores, and for each factor a column of numbers that stand for the
texts in the metadata. With it every rate can be found again at any threshold. Beside them are the
raw scores of every class (`excise.reporting.sheets`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from excise.errors import BadFile
from excise.reporting.attempts import Attempts
from excise.reporting.figures import Rate
from excise.reporting.sheets import ScoreSheet, packed, unpacked
from excise.store import Json, load_tensors, save_tensors
from excise.types import Score

FORMAT = "excise.scores/1"
FACTORS = ("group", "arm", "judge", "label", "prompt", "seed")

Texts = NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Scores and what they belong to.

    values: float32 (n,). factors: by name, (n,) texts: those of `FACTORS`, and any others, such as
        "restart". A group is what a figure of the report is about: the ``key`` of a row of rates
        or of what was kept, or "attack/rung", "attack/null", "inverted/label".
    thresholds: by judge, by label, where a picture begins to show it.
    clusters: factors whose levels pictures share, so that intervals reckon with it.
    sheets: the scores of every class, by section and model; no rows of the table. attempts: what
    attacks reached, value by value; None without any.
    """

    values: NDArray[np.float32]
    factors: Mapping[str, Texts]
    thresholds: Mapping[str, Mapping[str, float]]
    clusters: tuple[str, ...] = field(default=())
    sheets: tuple[ScoreSheet, ...] = field(default=())
    attempts: Attempts | None = None

    def __post_init__(self) -> None:
        missing = [name for name in FACTORS if name not in self.factors]
        wrong = {k: v.shape for k, v in self.factors.items() if v.shape != self.values.shape}
        if missing or wrong:
            raise ValueError(
                f"expected columns {FACTORS} of length {len(self.values)}, got none for {missing} "
                f"and other lengths for {wrong}"
            )

    def __len__(self) -> int:
        return len(self.values)

    @staticmethod
    def of(
        score: Score,
        *,
        group: str,
        arm: str,
        prompts: Sequence[str],
        seeds: Sequence[int],
        others: Mapping[str, Sequence[str | int]] | None = None,
    ) -> Scores:
        """One look of a judge at n pictures; prompts, seeds and the columns `others` have n."""
        n = len(score)
        same = {"group": group, "arm": arm, "judge": score.judge, "label": score.concept}
        rows = {"prompt": prompts, "seed": seeds, **(others or {})}
        return Scores(
            values=score.values.detach().cpu().numpy().astype(np.float32),
            factors={
                **{name: np.full(n, text) for name, text in same.items()},
                **{name: np.asarray([str(x) for x in column]) for name, column in rows.items()},
            },
            thresholds={score.judge: {score.concept: score.threshold}},
        )

    @staticmethod
    def concat(parts: Sequence[Scores], clusters: Sequence[str] = ()) -> Scores:
        """All rows of at least one table; a column that one of them lacks is empty there."""
        names = list(dict.fromkeys(name for part in parts for name in part.factors))
        thresholds: dict[str, dict[str, float]] = {}
        for part in parts:
            for judge, labels in part.thresholds.items():
                thresholds.setdefault(judge, {}).update(labels)
        return Scores(
            values=np.concatenate([part.values for part in parts]),
            factors={
                name: np.concatenate(
                    [part.factors.get(name, np.full(len(part), "")) for part in parts]
                )
                for name in names
            },
            thresholds=thresholds,
            clusters=tuple(clusters),
            sheets=tuple(sheet for part in parts for sheet in part.sheets),
        )

    def where(self, **factors: str) -> Scores:
        """The rows with these levels, such as ``where(group="plain", arm="edit")``."""
        keep = np.ones(len(self), dtype=bool)
        for name, level in factors.items():
            keep &= self.factors[name] == level
        return Scores(
            values=self.values[keep],
            factors={name: column[keep] for name, column in self.factors.items()},
            thresholds=self.thresholds,
            clusters=self.clusters,
        )

    def hits(self, threshold: float | None = None) -> NDArray[np.bool_]:
        """(n,): does the picture show the label, at `threshold` or at each label's own?"""
        if threshold is not None:
            return np.asarray(self.values >= np.float32(threshold))
        own = [
            self.thresholds[judge][label]
            for judge, label in zip(self.factors["judge"], self.factors["label"], strict=True)
        ]
        return np.asarray(self.values >= np.asarray(own, dtype=np.float32))

    def rate(self, threshold: float | None = None) -> Rate | None:
        """The rate over all rows, its interval across `clusters`; None without rows."""
        hits = self.hits(threshold)
        if not len(hits):
            return None
        shared = {k: self.factors[k].tolist() for k in self.clusters if k in self.factors}
        return Rate.across(hits.tolist(), shared)

    def save(self, path: Path | str) -> None:
        """Write a safetensors file. Raises as `save_tensors`."""
        tensors: dict[str, Tensor] = {"score": torch.from_numpy(self.values.copy())}
        levels: dict[str, Json] = {}
        for name, column in self.factors.items():
            found, codes = np.unique(column, return_inverse=True)
            levels[name] = found.tolist()
            tensors[f"factor/{name}"] = torch.from_numpy(codes.reshape(-1).astype(_kind(found)))
        thresholds = {judge: dict(labels) for judge, labels in self.thresholds.items()}
        matrices, sheets = packed(self.sheets)
        if self.attempts is not None:
            held, attempts = self.attempts.packed()
            matrices |= held
        meta: Json = {
            **({} if self.attempts is None else {"attempts": attempts}),
            "sheets": sheets,
            "format": FORMAT,
            "levels": levels,
            "thresholds": thresholds,
            "clusters": list(self.clusters),
        }
        save_tensors(path, {**tensors, **matrices}, meta)

    @staticmethod
    def load(path: Path | str) -> Scores:
        """Read what `save` wrote. Raises BadFile."""
        tensors, meta = load_tensors(path)
        if not isinstance(meta, dict) or meta.get("format") != FORMAT:
            raise BadFile(
                f"expected a table of scores ({FORMAT}) in {path}, got other contents; name the "
                "report's own, or evaluate again"
            )
        try:
            return Scores(
                values=tensors["score"].numpy(),
                factors={
                    name: np.asarray(levels, dtype=np.str_)[tensors[f"factor/{name}"].long()]
                    for name, levels in meta["levels"].items()
                },
                thresholds=meta["thresholds"],
                clusters=tuple(meta["clusters"]),
                sheets=unpacked(tensors, meta.get("sheets", ())),
                attempts=Attempts.unpacked(tensors, found)
                if (found := meta.get("attempts")) is not None
                else None,
            )
        except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
            raise BadFile(f"{path} is damaged ({error!r}); evaluate again") from error


def _kind(levels: Texts) -> type[np.signedinteger] | type[np.unsignedinteger]:
    return np.uint8 if len(levels) < 2**8 else np.int16 if len(levels) < 2**15 else np.int32
