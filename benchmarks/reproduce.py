"""Every figure of the README: ``python benchmarks/reproduce.py`` (hours; it goes on after a stop).

Writes ``docs/results.json``, the tables in ``docs/results.md`` and in the README between its two
marks, and the plots in ``docs/figures``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plots
import torch
from scipy.special import stdtrit
from study import Study, Trial, figures

from excise.progress import for_stream
from excise.stats import wilson_upper
from excise.store import hash_json, read_json, write_json, write_text
from excise.suite import SIZES, Sizes

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DEVELOPED, HELD_OUT = ("cat", "sketch"), ("church", "truck", "apple", "neon", "watermark")
CONCEPTS = (*DEVELOPED, *HELD_OUT)
SEEDS = 5
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
Row = dict[str, Any]

LADDER: Sizes = replace(SIZES["standard"], prompts=4, select=2, score=4)
"""All rungs, for one edit of each method and concept."""


def claim(rung: Any) -> Sizes:
    """What the claims are measured with, at the rung that the oracle decided."""
    return replace(LADDER, rungs=(rung,), plain=2, pairs=2)


class Results:
    """Rows that are kept as soon as they are measured."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def row(self, trial: Trial, sizes: Sizes) -> Row:
        """One edit's figures."""
        key: Any = [trial.key, vars(sizes), self.study.model.fingerprint()]
        file = self.study.work / "rows" / f"{trial.key}-{hash_json(key)[:8]}.json"
        if not file.exists():
            edit, notes = self.study.edit(trial)
            report = self.study.report(edit, trial.concept, sizes=sizes)
            facts: Row = {"concept": trial.concept, "method": trial.method, "seed": trial.seed}
            write_json(file, {**facts, **notes, "bytes": edit.nbytes, **figures(report)})
        row: Any = read_json(file)
        return dict(row)

    def ladders(self, settings: Mapping[str, Mapping[str, Any]]) -> list[Row]:
        """Every rung on base, edit and oracle; the oracle decides which one counts."""
        return [
            self.row(Trial(concept=concept, method=method, settings=own), LADDER)
            for concept in CONCEPTS
            for method, own in settings.items()
        ]

    def claims(self, rungs: Mapping[str, Any], seeds: int) -> list[Row]:
        """The default method, seed by seed, at each concept's rung."""
        return [
            self.row(Trial(concept=concept, seed=seed), claim(rungs[concept]))
            for concept in CONCEPTS
            for seed in range(seeds)
        ]


def rung_of(row: Mapping[str, Any]) -> Any:
    """The rung that counts, as `Sizes` names it."""
    key = str(row["headline"])
    return int(key[1:]) if key.startswith("t") else key


def pooled(values: Iterable[float], within: Iterable[float] = ()) -> tuple[float, float, float]:
    """Mean over edits, and its one-sided bounds (low, high) at 95 %.

    Student's quantile on the spread between edits, which holds the spread within them too; never
    less than the mean standard error ``within`` an edit over the root of their number.
    """
    x, inner = np.array(list(values)), np.array(list(within))
    n = len(x)
    between = float(x.std(ddof=1)) / n**0.5 if n > 1 else 0.0
    se = max(between, float(inner.mean()) / n**0.5 if len(inner) else 0.0)
    half = float(stdtrit(max(n - 1, 1), 0.95)) * se
    mean = float(x.mean())
    return mean, mean - half, mean + half


def summary(rows: list[Row]) -> Row:
    """One concept's figures over its edits."""
    plain = [row["plain_counts"] for row in rows]
    hits, n = sum(k for k, _ in plain), sum(m for _, m in plain)
    excess = [row["excess"]["edit"] for row in rows]
    spread = [(e["high"] - e["low"]) / 2 / 1.96 for e in excess]
    losses = [row["delta_loss"]["edit"] for row in rows]
    return {
        "concept": rows[0]["concept"],
        "edits": len(rows),
        "plain": hits / n,
        "plain_high": wilson_upper(hits, n),
        "excess": pooled([e["value"] for e in excess], spread),
        "delta_loss": pooled(
            [e["value"] for e in losses], [(e["high"] - e["low"]) / 2 / 1.96 for e in losses]
        ),
        "rung": rows[0]["headline"],
        "searched": {
            arm: float(np.mean([r["rungs"][r["headline"]][arm] for r in rows]))
            for arm in ("base", "edit", "oracle")
        },
        "kept": pooled([row["kept"] for row in rows]),
        "kept_low": min(row["kept_low"] for row in rows),
        "worst": min(row["worst"] for row in rows),
        "near": min(row["near"] for row in rows if row["near"] is not None),
        "nothing": float(np.mean([r["nothing"]["edit"] - r["nothing"]["base"] for r in rows])),
        "two": float(np.mean([r["two"]["edit"] for r in rows if "two" in r])),
        "two_other": float(
            np.mean([r["two-other"]["edit"] / r["two-other"]["base"] for r in rows if "two" in r])
        ),
    }


def table(rows: Iterable[Row]) -> str:
    """Markdown: a row a concept."""
    head = [
        "concept", "edits", "plain words (upper bound)", "beside another", "what is beside it",
        "searched: before / after / never shown", "excess (upper bound)", "kept (lower bound)",
        "worst class", "neighbours",
    ]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        searched = " / ".join(f"{100 * row['searched'][a]:.0f}" for a in ("base", "edit", "oracle"))
        cells = [
            row["concept"],
            str(row["edits"]),
            f"{100 * row['plain']:.1f} ({100 * row['plain_high']:.1f})",
            f"{100 * row['two']:.1f}",
            f"{100 * row['two_other']:.0f}",
            searched,
            f"{100 * row['excess'][0]:.1f} ({100 * row['excess'][2]:.1f})",
            f"{100 * row['kept'][0]:.1f} ({100 * row['kept'][1]:.1f})",
            f"{100 * row['worst']:.0f}",
            f"{100 * row['near']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def into(file: Path, text: str) -> None:
    """Put a text between a file's two marks."""
    whole = file.read_text(encoding="utf-8")
    if BEGIN not in whole or END not in whole:
        return
    head, rest = whole.split(BEGIN, 1)
    write_text(file, f"{head}{BEGIN}\n\n{text}\n{END}{rest.split(END, 1)[1]}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--work", type=Path, default=None, help="where everything is kept")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    results = Results(Study(options.work, for_stream(sys.stderr)))
    ladders = results.ladders({"task_vector": {}, "esd": {}, "gradient_ascent": {}})
    rungs = {row["concept"]: rung_of(row) for row in ladders if row["method"] == "task_vector"}
    claims = results.claims(rungs, options.seeds)
    rows = [summary([r for r in claims if r["concept"] == concept]) for concept in CONCEPTS]
    write_json(DOCS / "results.json", {"ladders": ladders, "claims": claims, "summary": rows})
    plots.ladders(ladders, DOCS / "figures" / "ladders.svg")
    text = table(rows)
    write_text(DOCS / "results.md", f"# Results\n\n{text}")
    into(ROOT / "README.md", text)


if __name__ == "__main__":
    main()
