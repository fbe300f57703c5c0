"""A record at another threshold of its judge, from the table of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from excise.errors import BadSetting, UserError
from excise.primitives.panel import Sheet
from excise.reporting.attempts import Attempts, roles
from excise.reporting.figures import Rate
from excise.reporting.findings import Inversions, Kept, Replacement, counted
from excise.reporting.record import Record
from excise.reporting.sheets import SECTIONS, ScoreSheet
from excise.reporting.subject import Check
from excise.reporting.tables import Scores
from excise.reporting.tried import again, curve_again
from excise.reporting.wording import listed
from excise.reporting.worst_case import largest_excess, worst_found

FOLLOWING = frozenset({
    "base_lacks_concept", "oracle_shows_concept", "judges_disagree", "floors_differ",
    "no_budget_does_as_well", "black_box_beats_white_box", "power",
})  # fmt: skip
"""The checks that follow from how often the concept is seen; see `excise.suite.moved`."""

DROPPED = "doubts_left_out"
"""The check that says so where those were not raised again."""

OWN = ("threshold", DROPPED)
"""What is said of a threshold that was moved, which one that is moved again has anew."""


def at_threshold(record: Record, scores: Scores, threshold: float) -> Record:
    """The record with the judge's rates of the concept found again; what cannot be is left out.

    So are the checks that follow from rates, which say something of the old threshold only:
    `excise.suite.moved` raises them again.

    threshold: of the first judge, for the labels that stand for the concepts. The judge's other
    labels keep their own.

    Raises:
        BadSetting: a threshold outside [0, 1]. UserError: no judge, or none of its looks is kept.
    """
    if not 0 <= threshold <= 1:
        raise BadSetting(f"expected a threshold in [0, 1], got {threshold}")
    judge = next((judge for judge in record.judges if judge.role == "judge"), None)
    if judge is None:
        raise UserError("expected a report with a judge, got one without; evaluate again")
    names = {str(name) for concept in record.subject.concepts for name in _names(concept)}
    looks = scores.where(judge=judge.name)
    labels = names & set(looks.factors["label"].tolist())
    if not labels:
        raise UserError(
            f"expected looks of {judge.name!r} at {sorted(names)} in the table of scores, got "
            "none; evaluate again"
        )
    table = _Table(looks, labels, threshold)
    inversions = record.inversions
    arms = roles(record.arms)
    tried = (scores.attempts or Attempts()).at(threshold)
    every = _Sheets(record, scores.sheets, dict.fromkeys(labels, threshold))
    replacement = every.replacement()
    return record.model_copy(
        update={
            "judges": tuple(
                one.model_copy(
                    update={
                        "thresholds": {**one.thresholds, **dict.fromkeys(labels, threshold)},
                        "false_alarms": None,  # they were counted at the old one
                    }
                )
                if one is judge
                else one
                for one in record.judges
            ),
            "rates": tuple(
                row.model_copy(update={"rates": table.rates(row.key, row.rates)})
                if row.judge == judge.name
                else row
                for row in record.rates
            ),
            "attacks": tuple(again(one, arms, tried, threshold) for one in record.attacks),
            "agreement": tuple(
                row.model_copy(
                    update={"rates": {**row.rates, judge.name: found}}
                    if (found := table.rate(row.key, row.arm)) and judge.name in row.rates
                    else {}
                )
                for row in record.agreement
            ),
            "inversions": None if inversions is None else _inversions(inversions, table),
            "pictures": tuple(
                group.model_copy(update={"shown": {}}) for group in record.pictures
            ),
            "excess": largest_excess(arms, tried, record.seed or 0, record.criteria.floor),
            "worst_found": worst_found(arms, tried),
            "recoveries": tuple(
                curve_again(one, tried) for one in record.recoveries if one.name in tried.curves
            ),
            "kept": every.kept(),
            "replacement": replacement,
            "strength": None,
            "checks": (
                *(check for check in record.checks if check.name not in {*FOLLOWING, *OWN}),
                _dropped(),
                _said(judge.name, labels, threshold, _left_out(record, tried, replacement)),
            ),
        }
    )  # fmt: skip


PLAIN, _, KEPT = SECTIONS


class _Table:
    def __init__(self, looks: Scores, labels: set[str], threshold: float) -> None:
        self._looks = looks
        self._labels = labels
        self._threshold = threshold

    def rate(self, group: str, arm: str) -> Rate | None:
        rows = self._looks.where(group=group, arm=arm)
        if not set(rows.factors["label"].tolist()) <= self._labels:
            return None
        return rows.rate(self._threshold)

    def rates(self, group: str, old: Mapping[str, Rate]) -> dict[str, Rate]:
        return {arm: self.rate(group, arm) or rate for arm, rate in old.items()}


class _Sheets:
    """What depends on every label at once, from the raw scores of every class."""

    def __init__(
        self, record: Record, sheets: Sequence[ScoreSheet], moved: Mapping[str, float]
    ) -> None:
        self._record = record
        self._moved = moved
        self._of = {(one.section, one.arm): one for one in sheets}

    def _at(self, sheet: Sheet) -> Sheet:
        return sheet.at({label: cut for label, cut in self._moved.items() if label in sheet.labels})

    def kept(self) -> Kept | None:
        """With the pictures that show nothing counted again; other labels kept their thresholds."""
        old = self._record.kept
        if old is None:
            return None
        found = dict(old.nothing)
        for arm in found:
            one = self._of.get((KEPT, arm))
            if one is not None:
                nothing = self._at(one.sheet).nothing.tolist()
                found[arm] = Rate.across(nothing, {"prompt": one.prompts})
        return old.model_copy(update={"nothing": found})

    def replacement(self) -> Replacement | None:
        """What is drawn instead; None without the scores of every class."""
        old = self._record.replacement
        names = {str(name) for one in self._record.subject.concepts for name in _names(one)}
        if old is None or any((PLAIN, arm) not in self._of for arm in old.counts):
            return None
        counts = {}
        for arm in old.counts:
            part = self._of[PLAIN, arm].take(sorted(names))
            counts[arm] = counted(self._at(part).strongest(old.among))
        return old.model_copy(update={"counts": counts})


def _inversions(inversions: Inversions, table: _Table) -> Inversions:
    """Without what searches on the edit excluded: whether one failed was said at the old one."""
    rows = tuple(
        row.model_copy(update={"rates": table.rates(f"inverted/{row.label}", row.rates)})
        for row in inversions.rows
    )
    return inversions.model_copy(update={"rows": rows, "checked": None, "survival": None})


def _names(concept: Mapping[str, object]) -> list[object]:
    synonyms = concept.get("synonyms")
    return [concept.get("name"), *(synonyms if isinstance(synonyms, list) else [])]


def _left_out(record: Record, tried: Attempts, replacement: Replacement | None) -> list[str]:
    """What cannot be found again, and is in the record."""
    found = []
    if record.strength is not None:
        found.append("the strength curve, which the erasing made at its own threshold")
    if record.inversions is not None and record.inversions.checked is not None:
        found.append("what searches on the edit while it was made exclude")
    if record.replacement is not None and replacement is None:
        found.append("what is drawn instead")
    lost = [
        one.label
        for one in record.attacks
        if one.name not in tried.results and one.headline not in tried.rungs  # a ladder by itself
    ]
    lost += [one.label for one in record.recoveries if one.name not in tried.curves]
    if lost:
        found.append(f"the rates of {listed(lost)}")
    return found


def _dropped() -> Check:
    return Check(
        name=DROPPED,
        found="Doubts that follow from how often something is seen were not raised again.",
        meaning="Those that stood here were about another threshold, and are left out.",
        advice="Read the report again with excise report --threshold, which raises them.",
    )


def _said(judge: str, labels: set[str], threshold: float, left: Sequence[str]) -> Check:
    gone = f" Left out is what was not kept: {'; '.join(left)}." if left else ""
    return Check(
        name=OWN[0],
        level="warning",
        found=f"{judge} at {threshold:g} for {', '.join(sorted(labels))}, not as fixed beforehand.",
        meaning="A threshold that is moved after the fact makes the rate a choice.",
        advice="What the scores that were kept decide was found again from them; what an attack or "
        f"a search chose stays chosen.{gone}",
    )
