"""Fixed prompts and seeds that models are compared on: drawn once a model, read once a judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.errors import BadFile, UserError
from excise.primitives import prompts
from excise.primitives.panel import Sheet, label_of, read
from excise.primitives.vision import Extractor
from excise.progress import SILENT, Progress, stage
from excise.rng import seed_of
from excise.stats import Interval, wilson
from excise.store import Artefact, hash_json
from excise.types import Concept, Judge, Prompt, Request, TextToImage

CHUNK = 64  # pictures from one request; a multiple of every batch that a model cuts
THUMB = 64  # largest side of what is remembered of a picture
FORMAT = "excise.look/1"
FEATURES = "features/"


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One picture to be drawn.

    label: what a judge is asked about it. group: what rates are counted by. guidance: None is the
    model's own.
    """

    prompt: Prompt
    seed: int
    label: str
    group: str
    guidance: float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Probe:
    """A list of shots. Two models that draw it differ in nothing but themselves."""

    shots: tuple[Shot, ...]

    def __len__(self) -> int:
        return len(self.shots)

    def __add__(self, other: Probe) -> Probe:
        return Probe(shots=self.shots + other.shots)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, in order of appearance."""
        return tuple(dict.fromkeys(shot.group for shot in self.shots))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in order of appearance."""
        return tuple(dict.fromkeys(shot.label for shot in self.shots))

    def rows(self, group: str) -> list[int]:
        """The numbers of a group's shots."""
        return [i for i, shot in enumerate(self.shots) if shot.group == group]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what is drawn; what is asked about it does not count."""
        return hash_json([[s.prompt.key, s.seed, s.guidance] for s in self.shots])

    def look(
        self,
        model: TextToImage,
        judge: Judge | None = None,
        *,
        extractors: Mapping[str, Extractor] | None = None,
        progress: Progress | None = None,
    ) -> Look:
        """Draw all shots with the model as it is now, and have them read.

        Pictures of one guidance are drawn in the order of the shots, `CHUNK` at a time. They are
        not kept: of each there remain its scores, what extractors say of it, and a thumbnail.
        """
        if not self.shots:
            raise UserError("expected a probe with at least one shot, got none")
        order: list[int] = []
        sheets, thumbs = [], []
        vectors: dict[str, list[Tensor]] = {name: [] for name in extractors or {}}
        with stage(progress or SILENT, "draw and judge", len(self), "picture") as told:
            for scale in dict.fromkeys(shot.guidance for shot in self.shots):
                rows = [i for i, shot in enumerate(self.shots) if shot.guidance == scale]
                for start in range(0, len(rows), CHUNK):
                    part = rows[start : start + CHUNK]
                    request = Request(
                        prompts=tuple(self.shots[i].prompt for i in part),
                        seeds=tuple(self.shots[i].seed for i in part),
                        guidance=scale,
                    )
                    pictures = model.generate(request).uint8()
                    sheets.append(read(judge, pictures, self.labels))
                    thumbs.append(thumbnails(pictures))
                    for name, one in (extractors or {}).items():
                        vectors[name].append(one.features(pictures))
                    order += part
                    told.advance(len(part))
        back = torch.tensor(order).argsort()
        sheet = Sheet.cat(sheets).take(back.tolist())
        features = {name: torch.cat(rows)[back] for name, rows in vectors.items()}
        return Look(probe=self, sheet=sheet, thumbs=torch.cat(thumbs)[back], features=features)


@dataclass(frozen=True, eq=False, kw_only=True)
class Look:
    """What one model made of a probe.

    sheet: a judge's scores, one row a shot; without columns if there was no judge.
    thumbs: uint8 (n, 3, h, w), the pictures, averaged down to 64 pixels a side if larger.
    features: float32 (n, d) by name, of the pictures as they were drawn.
    """

    probe: Probe
    sheet: Sheet
    thumbs: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.probe)

    @cached_property
    def hits(self) -> Tensor:
        """Bool (n,): does each picture show its shot's label? Raises UnknownName."""
        return self.sheet.hits([shot.label for shot in self.probe.shots])

    def rate(self, groups: str | Iterable[str] | None = None, level: float = 0.95) -> Interval:
        """The share of hits in some groups, or in all, with Wilson's interval."""
        rows = self.rows(groups)
        return wilson(int(self.hits[rows].sum()), len(rows), level)

    def rows(self, groups: str | Iterable[str] | None = None) -> list[int]:
        """The numbers of the shots of some groups, or of all."""
        wanted = self.probe.groups if groups is None else groups
        names = {wanted} if isinstance(wanted, str) else set(wanted)
        return [i for i, shot in enumerate(self.probe.shots) if shot.group in names]

    def take(self, rows: Sequence[int]) -> Look:
        """Some of the shots."""
        some = torch.tensor(list(rows), dtype=torch.int64)
        return Look(
            probe=Probe(shots=tuple(self.probe.shots[i] for i in rows)),
            sheet=self.sheet.take(rows),
            thumbs=self.thumbs[some],
            features={name: vectors[some] for name, vectors in self.features.items()},
        )

    def relabelled(self, probe: Probe) -> Look:
        """The same pictures, asked other questions. Raises UserError for other pictures."""
        if probe.digest != self.probe.digest:
            raise UserError("expected a probe of the same pictures, got another; draw it instead")
        return replace(self, probe=probe)

    def artefact(self) -> Artefact:
        """Scores, features and thumbnails, to be kept."""
        record = {"format": FORMAT, "probe": self.probe.digest, "sheet": self.sheet.record()}
        vectors = {FEATURES + name: rows for name, rows in self.features.items()}
        tensors = {"values": self.sheet.values, "thumbs": self.thumbs, **vectors}
        return Artefact(tensors=tensors, record=record)

    @staticmethod
    def of(probe: Probe, artefact: Artefact) -> Look:
        """What `artefact` wrote of this probe. Raises BadFile for anything else."""
        record, tensors = artefact.record, artefact.tensors
        wanted = {"format": FORMAT, "probe": probe.digest}
        if not isinstance(record, dict) or {k: record.get(k) for k in wanted} != wanted:
            raise BadFile("expected what was kept of this probe, got other contents; draw it again")
        sheet = Sheet.of(tensors["values"], record["sheet"])
        features = {
            name.removeprefix(FEATURES): rows
            for name, rows in tensors.items()
            if name.startswith(FEATURES)
        }
        return Look(probe=probe, sheet=sheet, thumbs=tensors["thumbs"], features=features)


def thumbnails(pictures: Tensor) -> Tensor:
    """uint8 (n, 3, h, w), averaged down to at most 64 a side; on the CPU."""
    small = pictures.cpu()
    height, width = small.shape[-2:]
    if max(height, width) <= THUMB:
        return small
    factor = THUMB / max(height, width)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return F.interpolate(small.float(), size=size, mode="area").round().to(torch.uint8)


def shots(
    texts: Sequence[Prompt],
    label: str,
    group: str,
    each: int = 1,
    *,
    seed: int = 0,
    guidance: float | None = None,
) -> tuple[Shot, ...]:
    """Each prompt on ``each`` seeds of its own, which the group and the guidance do not change."""
    return tuple(
        Shot(
            prompt=text,
            seed=seed_of("probe", seed, text.key, i),
            label=label,
            group=group,
            guidance=guidance,
        )
        for i in range(each)
        for text in texts
    )


def plain_probe(
    model: TextToImage,
    concept: Concept,
    each: int = 2,
    *,
    seed: int = 0,
    judge: Judge | None = None,
    ladder: Sequence[float] = (),
    unnamed: bool = True,
) -> Probe:
    """Plain use: every name in ten templates, on ``each`` seeds a prompt.

    Groups: the names; with `unnamed` the words that no eraser may read, as "held back: word";
    with a ladder "guidance s" for each scale, of the concept's first name.
    """
    full = prompts.completed(model, concept)
    label = label_of(judge, full)
    found: tuple[Shot, ...] = ()
    for name in full.names if full.kind != "implicit" else (full.name,):
        found += shots(prompts.naming(model, full, (name,)), label, name, each, seed=seed)
    for name in full.held_back if unnamed else ():
        texts = prompts.naming(model, full, (name,))
        found += shots(texts, label, f"held back: {name}", each, seed=seed)
    first = prompts.naming(model, full, (full.name,))
    for scale in ladder:
        group = f"guidance {scale:g}"
        found += shots(first, label, group, each, seed=seed, guidance=float(scale))
    return Probe(shots=found)
