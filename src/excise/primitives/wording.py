"""Gradient descent on the words of many texts at once: what attacks with real tokens share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from excise.primitives.denoising import mapped
from excise.primitives.descent import Descent, Rows
from excise.primitives.kernels import for_gradients
from excise.primitives.words import NearestSpace, SimplexSpace
from excise.progress import SILENT, stage
from excise.types import Condition, Progress, Prompt, TextToImage

Loss = Callable[[Condition, Condition | None, Sequence[int], int], Tensor]
"""Losses (n,) of n rows, given their conditions as the applied hooks let them through (and the
null), their numbers, and the step."""


class Wording:
    """K rows of words, each of which goes down its own loss; all in one batch.

    A working object: it can be run for some steps, looked at, and run on. Between runs the model
    is as it was.

    lr: in the values' own unit. decay: of weights, as in `Descent`. batch: rows at a time.
    """

    def __init__(
        self,
        model: TextToImage,
        space: SimplexSpace | NearestSpace,
        start: dict[str, Tensor],
        *,
        steps: int,
        lr: float,
        decay: float = 0.0,
        decoupled: bool = False,
        seed: int = 0,
        batch: int = 64,
    ) -> None:
        self._model, self._space, self._seed, self._batch = model, space, seed, batch
        self._descent = Descent(
            start, dict.fromkeys(start, lr), steps=steps, decay=decay, decoupled=decoupled
        )

    @property
    def curves(self) -> Tensor:
        """(K, steps), the loss of each row at each step done."""
        return self._descent.curves

    def run(
        self,
        steps: int,
        loss: Loss,
        rows: Sequence[int],
        *,
        progress: Progress | None = None,
    ) -> None:
        """Go on for some steps with some of the rows.

        Raises:
            NumericalError: a loss is not finite.
        """
        model, descent = self._model, self._descent
        told = stage(progress or SILENT, "search words", steps)
        with model.trainable(()), for_gradients(model), torch.enable_grad(), told as shown:
            for _ in range(steps):
                descent.step(self._parts(loss, rows))
                self._space.project(descent.values)
                shown.advance()

    @torch.no_grad()
    def losses(self, loss: Loss, rows: Sequence[int], steps: Sequence[int]) -> Tensor:
        """The mean loss (n,) over ``steps`` of the words that the rows stand for; on the CPU."""
        found = []
        for some in self._batches(rows):
            values = self._space.settled(self._take(some))
            cond, null = self._encoded(values, some)
            found.append(torch.stack([loss(cond, null, some, step) for step in steps]).mean(0))
        return torch.cat(found).float().cpu()

    @torch.no_grad()
    def prompts(self, rows: Sequence[int]) -> tuple[Prompt, ...]:
        """The texts of some rows, with the words that they stand for."""
        return self._space.prompts(self._take(rows), rows)

    def _parts(self, loss: Loss, rows: Sequence[int]) -> Iterator[tuple[Rows, Tensor]]:
        step = self._descent.done
        for some in self._batches(rows):
            values = self._space.tried(self._take(some), self._seed, some, step)
            cond, null = self._encoded(values, some)
            yield some, loss(cond, null, some, step)

    def _encoded(
        self, values: dict[str, Tensor], rows: Sequence[int]
    ) -> tuple[Condition, Condition | None]:
        spoken = self._space.prompts(values, rows) if self._model.hooks else ()
        return mapped(self._model, self._space.conditions(values, rows), spoken)

    def _take(self, rows: Sequence[int]) -> dict[str, Tensor]:
        return {name: value[list(rows)] for name, value in self._descent.values.items()}

    def _batches(self, rows: Sequence[int]) -> Iterator[list[int]]:
        for first in range(0, len(rows), self._batch):
            yield list(rows[first : first + self._batch])
