"""The section on what was kept, on a model of two things."""

from __future__ import annotations

from tests.suite import two
from tests.suite.test_bench import Seeing
from tests.suite.test_evaluate import SMALL, arms

from excise.reporting.figures import Rate
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.plain import KEPT, PLAIN, kept_section, plain_rows, replacement


def test_pictures_that_are_the_same_are_as_far_from_the_base_as_itself() -> None:
    bench = Bench(
        arms={arm.key: arm for arm in arms()[:2]}, concept=two.CAT, judge=Seeing(), sizes=SMALL
    )
    book = Book()
    found = kept_section(bench, book)
    assert found is not None
    made = {one.name: one.values for one in found.measures}
    assert {"diversity", "drift_near", "kid", "fid"} <= made.keys()
    for name in ("kid", "fid"):
        assert made[name]["edit"] == made[name]["base"]  # this edit draws the same dogs
    low, high = made["kid"]["base"].low, made["kid"]["base"].high
    assert low is not None
    assert high is not None
    assert low < 0 < high
    rows = plain_rows(bench, book)
    table = book.table
    assert table is not None
    assert [(one.section, one.arm) for one in table.sheets] == [
        (section, arm) for section in (KEPT, PLAIN) for arm in bench.arms
    ]
    asked = {(one.section, one.arm): one for one in table.sheets}
    for row in found.rows:
        for arm, rate in row.rates.items():
            sheet = asked[KEPT, arm]
            texts = [t for t, g in zip(sheet.prompts, sheet.groups, strict=True) if g == row.label]
            hits = sheet.take([row.label]).hits([row.label] * len(texts)).tolist()
            assert rate == Rate.across(hits, {"prompt": texts}) != Rate.of(sum(hits), len(hits))
    nothing = asked[KEPT, "edit"].sheet.nothing.tolist()
    texts = list(asked[KEPT, "edit"].prompts)
    assert found.nothing["edit"] == Rate.across(nothing, {"prompt": texts})
    plain = next(one for one in table.sheets if (one.section, one.arm) == (PLAIN, "edit"))
    assert plain.sheet.labels == two.Two.labels
    assert len(plain.sheet) == rows[0].rates["edit"].n
    assert plain.prompts == tuple(table.where(group="plain", arm="edit").factors["prompt"].tolist())
    again = plain.take(list(bench.full.names)).strongest(replacement(bench).among)
    counts = {name: again.count(name) for name in set(again)}
    assert replacement(bench).counts["edit"] == counts
