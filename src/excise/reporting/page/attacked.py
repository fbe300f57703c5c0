"""The section about attacks: what a search brings back, on every arm."""

from __future__ import annotations

from collections.abc import Sequence

from excise.reporting.attacks import AttackResult, Decided
from excise.reporting.charts import Axis, Chart, Curve, Line, Mark, Series, curves
from excise.reporting.page import battery
from excise.reporting.page.explained import delta_loss, over_erasure
from excise.reporting.page.floors import floors
from excise.reporting.page.looks import cell, mark, table
from excise.reporting.page.parts import Facts, Figure, Fold, Part, Section, Table, Text
from excise.reporting.page.strips import Uris, strip
from excise.reporting.record import Record
from excise.reporting.subject import Pictures
from excise.reporting.unanimity import beside_excess, sentences
from excise.reporting.verdict import figures
from excise.reporting.wording import number, percent, seconds


def attacks(record: Record, uris: Uris, series: Sequence[Series]) -> Section | None:
    """All attacks, the one of the first screen in full."""
    if not record.attacks:
        return None
    first = figures(record).attack
    parts: list[Part] = []
    if rows := battery.largest(record):
        parts.append(Facts(rows=rows))
    if unsaid := beside_excess(record):
        parts.append(
            Text(
                body="The bound takes the spread of restarts from those that were made, and where "
                f"all of them did the same there is none. {' '.join(unsaid)}"
            )
        )
    parts += battery.overview(record, series)
    for attack in record.attacks:
        found = _attack(attack, record, uris, series)
        if first is not None and attack.name == first.name:
            parts += [Text(heading=attack.label, body=_about(attack)), *found]
    for attack in record.attacks:
        if first is None or attack.name != first.name:
            body: tuple[Part, ...] = (Text(body=_about(attack)),)
            body += tuple(_attack(attack, record, uris, series))
            parts.append(Fold(title=attack.label, parts=body))
    parts += battery.recoveries(record, series)
    parts += over_erasure(record, series)
    return Section(
        key="attacks",
        title="When someone searches for it",
        lead="Prompts are not the only way to a picture. Each attack searches afresh, on every "
        "model, for an input that brings the concept back, and is scored on seeds that the search "
        "never saw. With a large enough budget anything can be drawn by any model, even by one "
        f"that never knew it: what counts is how far {_above(record)}.",
        parts=tuple(parts),
    )


def _above(record: Record) -> str:
    """What the figures are held against, as the end of a sentence."""
    oracle, excess = record.arm("oracle"), figures(record).excess
    if oracle is not None:
        return f"the edit lies above “{oracle.label}”"
    if excess is None:
        return "the edit lies above such a model. Here is none, nor anything to stand in for it"
    stands = "what it finds of things that this model never knew"
    return f"the edit lies above {stands if excess.over == 'decoys' else 'a floor that was stated'}"


def _about(attack: AttackResult) -> str:
    said = [attack.definition, attack.paper and f"After {attack.paper}."]
    if attack.confirmatory is False:
        said.append("It cannot tell recovery from injection at this budget.")
    return " ".join(part for part in [*said, attack.note] if part)


def _attack(
    attack: AttackResult, record: Record, uris: Uris, series: Sequence[Series]
) -> list[Part]:
    parts: list[Part] = []
    if len(attack.rungs) > 1:
        parts.append(_ladder(attack, record, series))
    group = record.group(attack.pictures)
    if group is not None:
        hidden = any(concept.get("unsafe") for concept in record.subject.concepts)
        bare = _unsaid(group) if hidden else group
        shown = strip(bare, uris, series, title="What it drew", note=group.title)
        parts += [shown] if shown else []
        if shown and hidden:
            rows = tuple((f"input {i + 1}", text) for i, text in enumerate(group.prompts))
            title = "What was asked: hidden, since this concept is not for everybody's eyes"
            parts.append(Fold(title=title, parts=(Facts(rows=rows),), alone=True))
    if any(len(one.restarts) > 1 for one in attack.best_of.values()):
        parts.append(_best_of(attack, series))
    if alike := sentences(attack, record):
        parts.append(Text(body=" ".join(alike)))
    parts += battery.by_prompt(attack, series)
    parts += floors(attack, record, series)
    parts += delta_loss(attack, record, series)
    details = _details(attack, series)
    if details:
        parts.append(Fold(title="Budget, references and costs", parts=tuple(details)))
    return parts


def _unsaid(group: Pictures) -> Pictures:
    """The same pictures, their prompts as numbers."""
    return group.model_copy(
        update={"prompts": tuple(f"input {i + 1}" for i in range(len(group.prompts)))}
    )


def _ladder(attack: AttackResult, record: Record, series: Sequence[Series]) -> Figure:
    names = [rung.label for rung in attack.rungs]
    used = [s for s in series if all(s.key in rung.rates for rung in attack.rungs)]
    last = len(names) - 1
    x = Axis(
        low=-0.15,
        high=last + 0.15,
        ticks=tuple(range(last + 1)),
        text=lambda value: names[round(value)],
    )
    at = next((i for i, rung in enumerate(attack.rungs) if rung.key == attack.headline), None)
    rows = [(rung.label, rung.rates) for rung in attack.rungs]
    chart = curves(
        f"ladder-{attack.name}",
        f"{attack.label}: share of pictures brought back, by how much it may change",
        "; ".join(f"{s.label}: " + ", ".join(percent(r[s.key].value) for _, r in rows)
                  for s in used),
        [
            Curve(
                series=s,
                x=tuple(float(i) for i in range(last + 1)),
                marks=tuple(mark(rates[s.key], f"{s.label}, {name}") for name, rates in rows),
            )
            for s in used
        ],
        x,
        Axis(),
        upright=[] if at is None else [Line(at=float(at), label="the step that counts")],
    )  # fmt: skip
    return Figure(
        chart=chart,
        table=table("what may be changed", rows, series),
        caption="The further to the right, the more of the model's input the attacker may choose. "
        + (
            "The step that counts is the largest at which the reference holds, fixed from the "
            "reference alone."
            if record.arm("oracle") or attack.decoys
            else "The step that counts was fixed beforehand, since no reference can say which does."
        ),
    )


def _best_of(attack: AttackResult, series: Sequence[Series]) -> Figure:
    used = [s for s in series if s.key in attack.best_of]
    found = {s.key: attack.best_of[s.key] for s in used}
    largest = max(max(one.restarts) for one in found.values())
    ticks = tuple(float(r) for r in sorted({1, *range(2, largest + 1, max(largest // 4, 1))}))
    lines = []
    for s in used:
        one = found[s.key]
        spread = [
            Mark(value=r, low=max(r - 1.96 * e, 0), high=min(r + 1.96 * e, 1),
                 said=f"{s.label}, best of {n}: {percent(r)}")
            for n, r, e in zip(one.restarts, one.rate, one.se, strict=True)
        ]  # fmt: skip
        lines.append(Curve(series=s, x=tuple(map(float, one.restarts)), marks=tuple(spread)))
    chart: Chart = curves(
        f"best-{attack.name}",
        f"{attack.label}: success against the number of tries",
        "; ".join(f"{s.label}: {percent(found[s.key].rate[-1])} at best" for s in used),
        lines,
        Axis(low=1, high=max(largest, 2), ticks=ticks, text=number, label="best of so many tries"),
        Axis(),
    )
    counts = sorted({r for one in found.values() for r in one.restarts})
    rows = tuple(
        (
            number(r),
            *(
                percent(found[s.key].rate[found[s.key].restarts.index(r)])
                if r in found[s.key].restarts
                else "–"
                for s in used
            ),
        )
        for r in counts
    )
    return Figure(
        chart=chart,
        table=Table(head=("tries", *(s.label for s in used)), rows=rows),
        caption="An attacker may start over and keep what looks best. Estimated without bias from "
        "one pool of tries, none of which was steered by the pictures that are counted.",
    )


def _details(attack: AttackResult, series: Sequence[Series]) -> list[Part]:
    parts: list[Part] = []
    if (made := attack.decided) is not None:
        parts.append(Text(body=_decided(made)))
    if attack.budget:
        rows = tuple((name, _plain(value)) for name, value in attack.budget.items())
        parts.append(Facts(rows=rows))
    used = [s for s in series if s.key in {*attack.null, *attack.excess, *attack.costs}]
    if used:
        parts.append(
            Table(
                head=("model", "without a search", "excess", "gradients", "pictures", "time"),
                rows=tuple(
                    (
                        s.label,
                        cell(attack.null.get(s.key)),
                        cell(attack.excess.get(s.key)),
                        number(cost.gradients) if (cost := attack.costs.get(s.key)) else "–",
                        number(cost.pictures) if cost else "–",
                        seconds(cost.seconds) if cost else "–",
                    )
                    for s in used
                ),
            )
        )
    return parts


def _decided(made: Decided) -> str:
    seen = f"{number(made.count)} of {number(made.n)} pictures on fresh seeds showed it"
    limit = percent(made.limit)
    if made.side is None:
        return f"Not decided on which side of {limit} its rate lies: {seen}."
    where = "below" if made.side == "below" else "above"
    return (
        f"Its rate lies {where} {limit}: {seen}, and then it was plain. All attacks together are "
        "wrong about this with a probability of at most 5 %, whenever one stops."
    )


def _plain(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return str(value)
