"""Pictures side by side, so that a person can look at what judges were asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from excise.emoji.questions import Question
from excise.store import atomic, write_text

Keep = Callable[[Sequence[Question], Tensor], None]
"""What is handed the questions of a section with their pictures, uint8 (n, 3, h, w)."""

COLUMNS, GAP = 24, 2


def grid(pictures: Tensor, columns: int = COLUMNS) -> Image.Image:
    """Pictures, uint8 (n, 3, h, w), in rows on white."""
    n, _, height, width = pictures.shape
    rows = -(-n // columns)
    canvas = np.full(
        (rows * (height + GAP) - GAP, min(n, columns) * (width + GAP) - GAP, 3), 255, np.uint8
    )
    for i, picture in enumerate(pictures.permute(0, 2, 3, 1).numpy()):
        top, left = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = picture
    return Image.fromarray(canvas)


@dataclass(frozen=True)
class Samples:
    """Collects the first picture of each object, plain and then in one style each."""

    found: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def keep(self, questions: Sequence[Question], pictures: Tensor) -> None:
        """Look through one section."""
        section = questions[0].section
        if section not in ("plain", "styled"):
            return
        rows = self.found.setdefault(section, {})
        styles = list(dict.fromkeys(question.style for question in questions))
        objects = list(dict.fromkeys(question.about for question in questions))
        for question, picture in zip(questions, pictures, strict=True):
            if question.style == styles[objects.index(question.about) % len(styles)]:
                rows.setdefault(question.about, picture)

    def save(self, path: Path) -> None:
        """Write a JPEG of two times two rows."""
        chosen = [picture for rows in self.found.values() for picture in rows.values()]
        with atomic(path) as temporary:
            grid(torch.stack(chosen), columns=11).save(temporary, format="JPEG", quality=92)


def contact_sheets(folder: Path) -> Keep:
    """A picture and a list of texts for each section, ``plain.png`` and ``plain.txt``."""

    def keep(questions: Sequence[Question], pictures: Tensor) -> None:
        name = questions[0].section
        with atomic(folder / f"{name}.png") as temporary:
            grid(pictures).save(temporary, format="PNG")
        lines = [
            f"row {i // COLUMNS + 1} column {i % COLUMNS + 1}: {question.text}"
            for i, question in enumerate(questions)
        ]
        write_text(folder / f"{name}.txt", "\n".join(lines) + "\n")

    return keep
