"""``docs/speed.md``: how long closed forms and fine-tunes take, each part kept for the others."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mdtable import table

from excise.erasers.speed import MANY
from excise.store import read_json, write_json, write_text

Part = Mapping[str, Any]
DOCS = Path(__file__).resolve().parent.parent / "docs"
LIMIT = 1.5
"""How many times as long as one concept a hundred of them may take."""
SPEED, EVEN = "SPEED", "SPEED, nothing filtered"
"""The method as it is; and with the same work for any number of concepts."""
UNEVEN = (
    f"{SPEED} keeps only what the edit would move by more than the mean, and of {MANY} concepts or "
    "more everything, as its authors do: one concept and a hundred are not the same work there. "
    f"*{EVEN}* keeps everything for any number.\n\n"
)


def machine() -> dict[str, Any]:
    """What times were taken on, as far as it can be told."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def put(name: str, part: Part, docs: Path = DOCS) -> None:
    """Keep one benchmark's figures in ``speed.json``, beside those of the others; write the page.

    name: of the benchmark, as in `PARTS`.
    """
    file = docs / "speed.json"
    kept: Any = read_json(file) if file.exists() else {}
    kept[name] = {**part, "machine": machine()}
    write_json(file, kept)
    write_text(docs / "speed.md", page(kept))


def page(kept: Mapping[str, Part]) -> str:
    """Markdown, of the parts that there are."""
    head = (
        "# Speed\n\nTimes are no figures of other machines; ratios, taken in one process, are what "
        "is compared.\n"
    )
    found = [head]
    for name, write in PARTS.items():
        if name in kept:
            own = kept[name]["machine"]
            threads = f"{own['threads']} thread{'' if own['threads'] == 1 else 's'}"
            said = f"{own['processor']}, {threads}, torch {own['torch']}"
            found += [write(kept[name]), f"By `python benchmarks/{name}.py` on: {said}.\n"]
    return "\n".join(found)


def closed_forms(part: Part) -> str:
    """Seconds by method and number of concepts, and whether a hundred are nearly as quick as one.

    part: rates, by name a second; rows of method, concepts, solve and edit in seconds, and least,
    the seconds that the machine would need at its own rates for what the solve cannot do without.
    """
    rates = ", ".join(f"{name} {rate / 1e9:.1f} G/s" for name, rate in part["rates"].items())
    rows: Sequence[Part] = part["rows"]
    cells, verdicts = [], []
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        first = own[0]
        for row in own:
            cells.append(
                [
                    method,
                    str(row["concepts"]),
                    f"{row['solve']:.3f}",
                    f"{row['solve'] / row['least']:.1f}",
                    f"{row['solve'] / first['solve']:.2f}",
                    f"{row['edit']:.3f}",
                    f"{row['edit'] / first['edit']:.2f}",
                ]
            )
        verdicts.append(verdict(first, own[-1]))
    asked = ("method", "concepts", "solve, s", "of the least", "against 1", "edit, s", "against 1")
    return (
        "## Closed forms\n\nOn the shapes of Stable Diffusion 1.x, with random weights, whose "
        "values cost nothing, and embeddings given. *Solve*: the deltas; *edit*: with the edit as "
        "a value, hashes of the base included, which are the same for any number of concepts and "
        "make its ratio smaller. *Of the least*: how many times as long as the arithmetic and the "
        f"traffic that the solve needs, at this machine's own rates ({rates}).\n\n"
        + (UNEVEN if SPEED in methods else "")
        + f"{table(asked, cells)}\n"
        + "".join(f"- {said}\n" for said in verdicts)
    )


def verdict(first: Part, last: Part) -> str:
    """Of the solve alone and of the whole edit: is the last row's time near enough the first's?"""
    said = []
    for column, label in (("solve", "to solve"), ("edit", "as a whole edit")):
        ratio = last[column] / first[column]
        kept = "" if ratio < LIMIT else "not "
        said.append(f"{ratio:.2f} times as long {label}, {kept}under {LIMIT:g}")
    concepts, one = last["concepts"], first["concepts"]
    said.append(f"the least that the solve needs is {last['least'] / first['least']:.2f} times")
    return f"{last['method']}: {concepts} concepts take, beside {one}, {'; '.join(said)}."


def finetunes(part: Part) -> str:
    """Steps a second beside plain loops, by precision.

    part: batch; rows of precision, and for ``excise``, ``plain`` and ``cached`` steps a second,
    with ``plain_ratio`` and ``cached_ratio``, how many times as many steps Excise makes.
    """
    cells, verdicts = [], []
    for row in part["rows"]:
        cells.append([row["precision"], f"{row['excise']:.2f}"])
        for name in ("plain", "cached"):
            cells[-1] += [f"{row[name]:.2f}", f"{row[name + '_ratio']:.2f}"]
        ratios = (row["plain_ratio"], row["cached_ratio"])
        words = [f"{ratio:.2f} times ({'ahead' if ratio > 1 else 'behind'})" for ratio in ratios]
        verdicts.append(
            f"{row['precision']}: {words[0]} the steps of the plain loop, {words[1]} those of one "
            "whose latents and text states were made beforehand."
        )
    asked = ("precision", "excise", "a plain loop", "ratio", "made beforehand", "ratio")
    return (
        "## Fine-tunes\n\nSteps a second of the whole denoiser of the embedded model, batch "
        f"{part['batch']}, beside a plain loop as in diffusers' own training script, in one run; a "
        "ratio above 1 is in Excise's favour.\n\n"
        f"{table(asked, cells)}\n" + "".join(f"- {said}\n" for said in verdicts)
    )


PARTS: Mapping[str, Callable[[Part], str]] = {"closed_form": closed_forms, "finetune": finetunes}
