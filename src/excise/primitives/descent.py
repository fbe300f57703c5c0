"""Adam on inputs: rows that do not touch one another, and a state that can be saved exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from excise.errors import NumericalError

Schedule = Literal["constant", "cosine"]
Rows = slice | Sequence[int]


def rate(step: int, steps: int, warmup: int, schedule: Schedule) -> float:
    """The factor on the learning rate at a step (from 0): linear warm-up, then cosine to zero."""
    ramp = min(1.0, (step + 1) / warmup) if warmup else 1.0
    fall = 0.5 * (1 + math.cos(math.pi * step / steps)) if schedule == "cosine" else 1.0
    return ramp * fall


class Descent:
    """Values of K rows by name, each of which goes down its own loss (Kingma and Ba 2015).

    lr: by name. decay: of weights, added to the gradient, or ``decoupled`` from it (Loshchilov and
    Hutter 2019, arXiv:1711.05101). curves: float32 (K, steps), the loss of each row at each step
    done. done: steps.
    """

    def __init__(
        self,
        values: Mapping[str, Tensor],
        lr: Mapping[str, float],
        *,
        steps: int,
        warmup: int = 0,
        schedule: Schedule = "constant",
        decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        self.values = {name: v.detach().clone().requires_grad_() for name, v in values.items()}
        self.curves = torch.zeros(len(next(iter(values.values()))), steps)
        self.done = 0
        self._lr, self._warmup, self._schedule = lr, warmup, schedule
        groups = [{"params": [v], "lr": lr[name]} for name, v in self.values.items()]
        kind = torch.optim.AdamW if decoupled else torch.optim.Adam
        self._adam = kind(groups, weight_decay=decay)

    @property
    def steps(self) -> int:
        """How many there are to be."""
        return self.curves.shape[1]

    def step(self, parts: Iterable[tuple[Rows, Tensor]], penalty: Tensor | None = None) -> None:
        """One step of Adam.

        parts: rows and their losses (k,), each part taken down before the next is asked for, so
        that one graph lives at a time; rows in no part have no loss. A loss that the values have no
        part in, as behind a guard that cuts gradients off, has a gradient of zero. penalty: a
        number that is added and not recorded.

        Raises:
            NumericalError: a loss is not finite.
        """
        self._adam.zero_grad(set_to_none=True)
        if penalty is not None and penalty.requires_grad:
            penalty.backward()  # type: ignore[no-untyped-call]
        for rows, loss in parts:
            self._check(rows, loss)
            if loss.requires_grad:
                # The sum: a row's gradient does not depend on how many rows there are.
                loss.sum().backward()  # type: ignore[no-untyped-call]
            self.curves[self._numbers(rows), self.done] = loss.detach().float().cpu()
        for value in self.values.values():
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        factor = rate(self.done, self.steps, self._warmup, self._schedule)
        for group, name in zip(self._adam.param_groups, self.values, strict=True):
            group["lr"] = self._lr[name] * factor
        self._adam.step()
        self.done += 1

    def _numbers(self, rows: Rows) -> list[int]:
        return list(range(len(self.curves))[rows] if isinstance(rows, slice) else rows)

    def _check(self, rows: Rows, loss: Tensor) -> None:
        bad = (~loss.isfinite()).nonzero().flatten().tolist()
        if bad:
            value, row = loss[bad[0]].item(), self._numbers(rows)[bad[0]]
            raise NumericalError(
                f"expected a finite loss, got {value} in row {row} at step {self.done + 1} of "
                f"{self.steps}; use a smaller lr, or float32"
            )

    def snapshot(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that the next steps depend on."""
        tensors = {"curves": self.curves}
        for name, value in self.values.items():
            state = self._adam.state[value]
            tensors |= {
                f"value/{name}": value,
                f"mean/{name}": state["exp_avg"],
                f"square/{name}": state["exp_avg_sq"],
            }
        return tensors, {"done": self.done}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Go on where a snapshot was taken."""
        self.done = int(record["done"])
        self.curves.copy_(tensors["curves"])
        for name, value in self.values.items():
            value.copy_(tensors[f"value/{name}"])
            self._adam.state[value] = {
                "step": torch.tensor(float(self.done)),
                "exp_avg": tensors[f"mean/{name}"].to(value.device),
                "exp_avg_sq": tensors[f"square/{name}"].to(value.device),
            }
