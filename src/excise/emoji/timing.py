"""How long a picture takes, and whether the machine was free to say so."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch

from excise.emoji.subject import Draw

STAT = Path("/proc/stat")
OTHERS = 0.1
"""A machine is idle if other work takes less than this share of its processors."""


def timed(draw: Draw, batch: int = 16, times: int = 3) -> dict[str, Any]:
    """Seconds a picture in a batch, the least of several runs after one to warm up.

    others: the share of all processors that other work had meanwhile; None where the system does
    not tell. idle: whether that was little enough for the seconds to mean something.
    """
    texts, seeds = ["a cat"] * batch, list(range(batch))
    draw(texts, seeds)
    busy, own, began = _busy(), time.process_time(), time.perf_counter()
    runs = []
    for _ in range(times):
        start = time.perf_counter()
        draw(texts, seeds)
        runs.append(time.perf_counter() - start)
    wall, own, after = time.perf_counter() - began, time.process_time() - own, _busy()
    others = None
    if busy is not None and after is not None:
        others = round(max(0.0, after - busy - own) / (wall * (os.cpu_count() or 1)), 3)
    return {
        "a_picture": round(min(runs) / batch, 4),
        "batch": batch,
        "threads": torch.get_num_threads(),
        "others": others,
        "idle": others is None or others < OTHERS,
    }


def _busy() -> float | None:
    """Seconds that all processors together have worked since the machine was started (Linux)."""
    if not STAT.exists():
        return None
    # cpu user nice system idle iowait irq softirq steal ...
    ticks = [int(word) for word in STAT.read_text(encoding="ascii").split("\n")[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
