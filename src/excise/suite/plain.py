"""Plain use, two-object prompts, what was kept, and what is drawn instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from excise.errors import UserError
from excise.primitives import prompts
from excise.primitives.kept import Kept as KeptFigures
from excise.primitives.kept import kept, kept_probe
from excise.primitives.panel import labels_of, title
from excise.primitives.probe import Look, Probe, plain_probe, shots
from excise.reporting.figures import Estimate, Rate
from excise.reporting.findings import Kept, KeptRow, RateRow, Replacement, counted
from excise.reporting.sheets import SECTIONS
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.measured import registered
from excise.suite.quality import measures
from excise.types import Concept

PLAIN, PAIRS, KEPT = SECTIONS
Kind = Literal["word", "synonym", "held_back", "guidance"]


def ladder(bench: Bench) -> tuple[float, ...]:
    """Guidance scales other than the model's own, at which the plain prompts are drawn anyway."""
    own = getattr(getattr(bench.plain, "defaults", None), "guidance", None)
    return tuple(scale for scale in prompts.LADDER if scale != own)


def use_probe(bench: Bench) -> Probe:
    """Names, synonyms, words held back, and guidance."""
    return plain_probe(
        bench.plain,
        bench.full,
        bench.sizes.plain,
        seed=bench.seed,
        judge=bench.judge,
        ladder=ladder(bench),
    )


def plain_rows(bench: Bench, book: Book) -> tuple[RateRow, ...]:
    """The pooled figure first, then each word, each scale, each template."""
    probe = use_probe(bench)
    looks = bench.every(probe, PLAIN)
    book.keep(PLAIN, looks)
    rows = [_row(bench, book, "plain", "all plain prompts", "plain", looks)]
    for group in probe.groups:
        kind, label = kind_of(bench.full, group)
        part = {arm: look.take(look.rows(group)) for arm, look in looks.items()}
        rows.append(_row(bench, book, f"plain/{group}", label, kind, part))
    words = {kind_of(bench.full, group)[0] for group in probe.groups}
    count = len(prompts.templates(bench.plain, bench.full))
    if words and count > 1:
        for i, template in enumerate(prompts.templates(bench.plain, bench.full)):
            rows_of = _of_template(bench.full, probe, i, count)
            part = {arm: look.take(rows_of) for arm, look in looks.items()}
            name = template.replace("{a}", "a …").replace("{}", "…")
            rows.append(_row(bench, book, f"template/{i}", f"“{name}”", "template", part))
    return tuple(rows)


def kind_of(concept: Concept, group: str) -> tuple[Kind, str]:
    """What a group of the plain probe is, and what to call it."""
    if group.startswith("held back: "):
        return "held_back", f"“{group.removeprefix('held back: ')}” (held back)"
    if group.startswith("guidance "):
        return "guidance", group
    return ("word" if group == concept.name else "synonym"), f"“{group}”"


def _of_template(concept: Concept, probe: Probe, number: int, count: int) -> list[int]:
    """The shots of one template among those of words: each word has them in turn."""
    found = []
    for group in probe.groups:
        if kind_of(concept, group)[0] != "guidance":
            found += probe.rows(group)[number::count]
    return found


def _row(
    bench: Bench,
    book: Book,
    key: str,
    label: str,
    kind: Literal["plain", "template", "two_objects"] | Kind,
    looks: Mapping[str, Look],
) -> RateRow:
    rates = {arm: book.rate(key, arm, look, bench.label) for arm, look in looks.items()}
    return RateRow(key=key, label=label, kind=kind, judge=title(bench.judge), rates=rates)


def pair_probes(bench: Bench) -> tuple[Probe, Probe]:
    """The two-object prompts: asked about the other object, and about the concept."""
    rows = prompts.kept_concepts(bench.plain, (bench.full,), labels_of(bench.judge))
    found = prompts.pairs(bench.plain, bench.full, rows, bench.sizes.others)
    asked = []
    for own in (False, True):
        asked.append(
            Probe(
                shots=tuple(
                    shot
                    for pair in found
                    for shot in shots(
                        (pair.prompt,),
                        bench.label if own else pair.other.name,
                        pair.other.name,
                        bench.sizes.pairs,
                        seed=bench.seed,
                    )
                )
            )
        )
    return asked[0], asked[1]


def pair_rows(bench: Bench, book: Book) -> tuple[RateRow, ...]:
    """How often the concept, and how often the other object; nothing if there is no other."""
    other, own = pair_probes(bench)
    if not own.shots:
        return ()
    first = _row(
        bench,
        book,
        "two",
        f"{bench.full.name} and something else",
        "two_objects",
        bench.every(own, PAIRS),
    )
    rates = {}
    looks = bench.every(other, PAIRS)
    book.keep(PAIRS, looks)
    for arm, look in looks.items():
        rates[arm] = _rate(look, look.hits)
    second = RateRow(
        key="two-other",
        label="what stands beside it",
        kind="other_object",
        judge=title(bench.judge),
        rates=rates,
        want="high",
    )
    return first, second


def everything_else(bench: Bench) -> Probe | None:
    """Every other class; None if the judge can tell none."""
    try:
        return kept_probe(
            bench.plain, (bench.full,), bench.sizes.kept, seed=bench.seed, judge=bench.judge
        )
    except UserError:
        return None


def near_of(bench: Bench, probe: Probe) -> tuple[str, ...]:
    """The nearest neighbours among the classes."""
    rows = prompts.kept_concepts(bench.plain, (bench.full,), probe.labels)
    return prompts.neighbours(bench.plain, (bench.full,), rows)


def kept_section(bench: Bench, book: Book) -> Kept | None:
    """What was kept, beside the base where there is one."""
    probe = everything_else(bench)
    if probe is None:
        return None
    looks = bench.every(probe, KEPT, described=True)
    book.keep(KEPT, looks)
    base = bench.role("base")
    near = near_of(bench, probe)
    against: dict[str, KeptFigures] = {}
    if base is not None:
        against = {arm: kept(look, looks[base.key], near) for arm, look in looks.items()}
    kinds = {row.name: row.kind for row in bench.plain.known}
    rows = []
    for name in probe.groups:
        parts = {arm: look.take(look.rows(name)) for arm, look in looks.items()}
        shares = {
            arm: Estimate(value=row.ratio)
            for arm, found in against.items()
            for row in found.classes
            if row.name == name and row.ratio is not None
        }
        style = kinds.get(name) == "style"
        rows.append(
            KeptRow(
                key=f"kept/{name}",
                label=name,
                kind="neighbour" if name in near else "style" if style else "object",
                rates={arm: _rate(part, part.hits) for arm, part in parts.items()},
                share=shares,
            )
        )
    question = next((a.key for a in bench.arms.values() if a.role == "edit"), "")
    worst = against[question].worst if question in against else None
    return Kept(
        rows=tuple(rows),
        mean={
            arm: Estimate(value=found.mean, low=found.lower, level=found.level)
            for arm, found in against.items()
        },
        worst={
            arm: Estimate(value=found.worst.ratio)
            for arm, found in against.items()
            if found.worst is not None and found.worst.ratio is not None
        },
        worst_label="" if worst is None else worst.name,
        neighbours={
            arm: Estimate(value=value)
            for arm, found in against.items()
            if (value := _near(found)) is not None
        },
        nothing={arm: _rate(look, look.sheet.nothing) for arm, look in looks.items()},
        measures=(
            *measures(
                book,
                looks,
                near,
                None if base is None else base.key,
                networks=bench.extractors,
                seed=bench.seed,
            ),
            *registered(bench, book),
        ),
    )


def _rate(look: Look, hits: Tensor) -> Rate:
    """The share of hits, bool (n,), among a look's pictures; they share prompts."""
    texts = [shot.prompt.text for shot in look.probe.shots]
    return Rate.across(hits.tolist(), {"prompt": texts})


def _near(found: KeptFigures) -> float | None:
    """The mean share over the nearest neighbours, as in the strength rule."""
    shares = [row.ratio for row in found.classes if row.near and row.ratio is not None]
    return sum(shares) / len(shares) if shares else None


def replacement(bench: Bench) -> Replacement:
    """The strongest thing (of a style, the strongest style) in the concept's own prompts."""
    probe = use_probe(bench)
    named = [group for group in probe.groups if group in bench.full.names]
    counts = {}
    among: tuple[str, ...] = ()
    for arm, look in bench.every(probe, PLAIN).items():
        part = look.take(look.rows(named))
        among = part.sheet.things
        if bench.full.kind == "style":
            styles = [row.name for row in bench.plain.known if row.kind == "style"]
            among = (*styles, bench.label, "plain") if styles else among
        counts[arm] = counted(part.sheet.strongest(among))
    return Replacement(counts=counts, among=among)
