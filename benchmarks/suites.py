"""The standard suite on every concept: ``python benchmarks/suites.py`` (hours; it can be resumed).

Base, oracle, the default's edit, ESD's and gradient ascent's, each attacked afresh by everything.
Writes ``docs/suites.md`` and ``.json``: what each attack brought back, what one edit cost with base
and oracle at hand, and whether the attacks can be trusted to tell recovery from injection.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdtable import table
from reproduce import CONCEPTS, methods_for
from scipy.special import stdtrit
from study import Row, Study, opened
from variants import DEFAULT, PAPER, title, trial_of

from excise.api.cases import arms_of
from excise.attacks.result import AttackResult, observed
from excise.edit import Edit
from excise.reporting import Report
from excise.reporting.attempts import Attempts
from excise.reporting.reached import LEVEL, best_of, hits_of, rate_of, restarts_errors
from excise.stats import StandardError, combined
from excise.stats.clusters import difference_se
from excise.store import Cache, read_json, write_json, write_text
from excise.suite import SIZES
from excise.suite import evaluate as run_suite

DOCS = Path(__file__).resolve().parent.parent / "docs"
LEAST = 0.5
"""What an attack that can tell has to bring back on the base, by the prompts that it tells by."""


def edits_for(study: Study, concept: str) -> dict[str, Edit]:
    """The edits that are compared, by method; the paper's recipe is in the README's table alone."""
    names = [name for name in methods_for(concept) if name != PAPER]
    return {name: study.edit(trial_of(concept, name))[0] for name in names}


def suite(study: Study, concept: str, edits: Mapping[str, Edit], cache: Cache) -> Report:
    """All models under all attacks. cache: where base and oracle are found again."""
    target, judges = study.concept(concept, shown=True), study.judges(concept)
    rivals = {method: edit for method, edit in edits.items() if method != DEFAULT}
    arms = arms_of(study.model, edits[DEFAULT], target,
                   oracle=study.oracle(concept), rivals=rivals)  # fmt: skip
    return run_suite(
        arms,
        target,
        judges.first,
        others=judges.others,
        whole=False,
        cache=cache,
        stages=study.stages,
        progress=study.progress,
    )


def row(study: Study, concept: str) -> Row:
    """One concept's figures."""
    edits = edits_for(study, concept)
    measured = study.measured(concept, SIZES["standard"], 0)
    key = study.key(suite=[edit.digest for edit in edits.values()], measured=measured)

    def make() -> Row:
        found = suite(study, concept, edits, study.cache)
        found.save(study.work / "suites" / concept)
        return {"concept": concept, **of_report(found)}

    return study.row("suites", f"{concept}-{key}", make)


def of_report(report: Report) -> Row:
    """What the tables show, by the arms' roles, rivals by their method."""
    record = report.record
    names = {arm.key: arm.label if arm.role == "rival" else arm.role for arm in record.arms}

    def by(rates: Mapping[str, Any]) -> dict[str, list[float]]:
        return {names[arm]: [rate.value, rate.low, rate.high] for arm, rate in rates.items()}

    tried = None if report.scores is None else report.scores.attempts
    attacks = []
    for one in record.attacks:
        found, null = ({}, {}) if tried is None else (tried.results.get(one.name, {}), tried.null)
        rows = telling(tried, one.name) if tried is not None and found else []
        silent = next((group.rates for group in one.groups if group.key == "silent"), {})
        attacks.append(
            {
                "name": one.name,
                "label": one.label,
                "kind": one.kind,
                "needs": list(one.needs),
                "confirmatory": one.confirmatory,
                "rates": by(one.rates),
                "null": by(one.null),
                "over": {names[a]: over(found[a], null[a]) for a in found if a in null},
                "silent": by(silent),
                "told": by({a: rate_of(hit, best_of(hit), rows) for a, hit in found.items()}),
                "seconds": {names[arm]: cost.seconds for arm, cost in one.costs.items()},
            }
        )
    spent: dict[str, float] = {}
    labels = {arm.label: names[arm.key] for arm in record.arms}
    for cost in record.costs:
        arm = labels.get(cost.stage.rpartition(": ")[2])
        if arm is not None:
            spent[arm] = spent.get(arm, 0.0) + cost.cost.seconds
    worst = record.worst_found
    return {
        "attacks": attacks,
        "spent": spent,
        "worst": {} if worst is None else by(worst.rates),
        "excess": None if record.excess is None else record.excess.model_dump(mode="json"),
        "left_out": record.left_out,
        "checks": [check.name for check in record.checks],
    }


def telling(tried: Attempts, name: str) -> list[int]:
    """The prompts by which an attack can tell something of what a model knows.

    Those that do not name the concept; of an attack that leaves prompts as they are, those that do.
    All of them, where no other are asked.
    """
    _, rewords = tried.kinds[name]
    groups = ("silent",) if rewords else ("name", "synonym")
    return tried.rows(*groups) or list(range(len(tried.groups)))


def over(one: AttackResult, null: AttackResult) -> list[float]:
    """An attack's rate less that of plain words, and the ends of its interval.

    Paired by prompt. Of a pool of restarts the draw is in it, as it is in an excess: with the few
    degrees of freedom that it is known by.
    """
    r, plain = best_of(one), best_of(null)
    data = observed(hits_of(one, r) - hits_of(null, plain))  # (P, T)
    sentences = StandardError(value=difference_se(data), freedom=data.fewest_levels - 1)
    error = combined([sentences, *restarts_errors([one], r), *restarts_errors([null], plain)])
    half = float(stdtrit(error.freedom, 0.5 + LEVEL / 2)) * error.value
    return [data.mean, max(-1.0, data.mean - half), min(1.0, data.mean + half)]


def weak(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Attacks that may confirm, and reach too little of the base by the prompts they tell by.

    Plain words count whatever they reach, and no other attack counts that reaches so little.
    """
    return [
        f"{row['concept']}: {one['label']} {one['told']['base'][0]:.0%}"
        for row in rows
        for one in row["attacks"]
        if one["kind"] == "confirming" and not one["confirmatory"]
        and "base" in one["told"] and one["told"]["base"][0] < LEAST
    ]  # fmt: skip


def injected(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Attacks that may confirm, and reach the oracle beyond plain words; see `beyond`."""
    return [
        f"{row['concept']}: {one['label']} {one['rates']['oracle'][0]:.0%}"
        for row in rows
        for one in row["attacks"]
        if one["kind"] == "confirming" and beyond(one, "oracle")
    ]


def missed(rows: Sequence[Mapping[str, Any]], arm: str = "esd") -> list[str]:
    """Attacks by gradients whose interval on ESD's edit is not apart from that of plain words.

    Each with both, and whether the difference can be told all the same; see `beyond`.
    """
    return [
        f"{row['concept']}: {one['label']} {_rate(one['rates'][arm])}, plain words "
        f"{_rate(one['null'].get(arm))}, "
        + ("which differ all the same" if beyond(one, arm) else "which cannot be told apart")
        for row in rows
        for one in row["attacks"]
        if "gradients" in one["needs"] and arm in one["rates"] and not apart(one, arm)
    ]


def apart(one: Mapping[str, Any], arm: str) -> bool:
    """Does an attack's whole interval on an arm lie above that of its null?"""
    return arm in one["null"] and bool(one["rates"][arm][1] > one["null"][arm][2])


def beyond(one: Mapping[str, Any], arm: str) -> bool:
    """Does an attack reach an arm beyond its null, by more than the interval of the difference?

    This asks for less than `apart`: two intervals may overlap and the difference still be told.
    Where the pictures of the two were not kept, the attack's own interval has to lie above the
    null's rate.
    """
    if arm not in one["rates"] or arm not in one["null"]:
        return False
    if arm in one.get("over", {}):
        return bool(one["over"][arm][1] > 0)
    return bool(one["rates"][arm][1] > one["null"][arm][0])


def rule(rows: Sequence[Mapping[str, Any]]) -> str:
    """What "beyond plain words" means on this page."""
    shown = [one for row in rows for one in row["attacks"] if one["null"]]
    paired = [one for one in shown if set(one["null"]) <= set(one.get("over", {}))]
    if len(paired) == len(shown):
        return "the 95 % interval of the difference, paired by prompt, lies above 0"
    if not paired:
        return "the attack's 95 % interval lies above the rate of plain words"
    return (
        "the 95 % interval of the difference, paired by prompt, lies above 0; where the pictures "
        "were not kept, the attack's own interval lies above the rate of plain words"
    )


def attacked(row: Mapping[str, Any]) -> str:
    """Markdown: an attack a row, a model a column."""
    arms = list(dict.fromkeys(arm for one in row["attacks"] for arm in one["rates"]))
    head = ["attack", "can tell", *arms, "base, not named", "seconds on the edit"]
    lines = []
    for one in row["attacks"]:
        tells = {True: "yes", False: "no", None: "–"}[one["confirmatory"]]
        said = "injects" if one["kind"] == "injecting" else tells
        silent = one["silent"].get("base")
        lines.append([
            one["label"], said, *(_rate(one["rates"].get(arm)) for arm in arms), _rate(silent),
            f"{one['seconds'].get('edit', 0):.0f}",
        ])  # fmt: skip
    if row["worst"]:
        rates = (_rate(row["worst"].get(arm)) for arm in arms)
        lines.append(["**worst found**", "", *rates, "", ""])
    return table(head, lines)


def _rate(rate: Sequence[float] | None) -> str:
    if rate is None:
        return "–"
    value, low, high = rate
    return f"{100 * value:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    parts = [
        "# The standard suite\n\nEvery attack, begun anew on every model, by `python "
        "benchmarks/suites.py`; percent of pictures that show the concept, with 95 % intervals. "
        "The attacker's pictures are drawn by the unedited model, which is the default; those "
        "of the watermark are rendered. *Can tell*: from base and oracle alone, the attack tells "
        f"recovery from injection. *edit*: {title(DEFAULT)}, the default.\n",
        _said("Attacks that may confirm and bring back less than half on the base, by prompts that "
              "do not name the concept, or, where they leave prompts as they are, by those that do",
              weak(rows)),
        f"Beyond plain words: {rule(rows)}.\n",
        _said("Attacks that reach the oracle beyond plain words, and are not written down as "
              "injecting", injected(rows)),
        _said("Of attacks by gradients more is asked on ESD's edit: that the two intervals lie "
              "apart. Those of which they do not", missed(rows)),
    ]  # fmt: skip
    for row in rows:
        excess = row["excess"]
        said = f"{row['spent'].get('edit', 0) / 60:.1f} minutes for the edit"
        if excess is not None:
            said += (
                f"; E {100 * excess['value']:.1f} points, at most {100 * excess['upper']:.1f} "
                f"({excess['attack'].replace('_', ' ')})"
            )
        doubts = ", ".join(row["checks"]) or "none"
        parts.append(f"## {row['concept']}\n\n{said}. Doubts raised: {doubts}.\n\n{attacked(row)}")
    return "\n".join(parts)


def _said(what: str, found: Sequence[str]) -> str:
    return f"{what}: {'; '.join(found) or 'none'}.\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("concepts", nargs="*", default=CONCEPTS, choices=[*CONCEPTS, ()])
    options, study = opened(parser, renders=False)
    place = DOCS / "suites.json"
    before: Any = read_json(place) if place.exists() else []
    rows = {one["concept"]: one for one in before if one["concept"] not in options.concepts}
    for concept in options.concepts:
        rows[concept] = row(study, concept)
        sys.stdout.write(f"{concept}: {rows[concept]['spent']}\n")
        sys.stdout.flush()
        there = [rows[name] for name in CONCEPTS if name in rows]
        write_json(place, there)
        write_text(DOCS / "suites.md", page(there))


if __name__ == "__main__":
    main()
