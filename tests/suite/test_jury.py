from __future__ import annotations

import torch
from tests.suite.two import Two

from excise.primitives.panel import label_of, labels_of, read
from excise.suite.jury import Jury
from excise.types import Concept


class Fixed(Two):
    """Says the same of every picture."""

    def scores(self, pictures: torch.Tensor) -> torch.Tensor:
        row = torch.tensor([0.9, 0.1, 0.2]) if self.title == "two" else torch.tensor([0.4, 0.6, 0])
        return row.expand(len(pictures), -1)


JURY = Jury(panels=(Fixed(), Fixed(name="auditor", title="auditor")))  # type: ignore[arg-type]
BLANK = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)


def test_the_first_judge_counts_and_the_others_are_beside_it() -> None:
    sheet = read(JURY, BLANK)
    assert sheet.judge == "two"
    assert sheet.shown("cat").all()
    assert sheet.drawn == ("cat", "cat")
    apart = JURY.apart(sheet)
    assert list(apart) == ["two", "auditor"]
    assert not apart["auditor"].shown("cat").any()
    assert apart["auditor"].values[0].tolist() == sheet.values[0, 3:].tolist()


def test_labels_of_others_are_not_things_to_keep() -> None:
    labels = labels_of(JURY)
    assert labels is not None
    assert {"cat", "dog"} <= set(labels)
    assert len(labels) == len(set(labels)) == 6
    assert label_of(JURY, Concept("cat")) == "cat"


def test_who_cannot_tell_the_concept_is_left_out_and_digests_differ() -> None:
    class Blind(Fixed):
        labels = ("dog", "bird", "nothing")

    blind = Blind(name="blind", title="blind")
    jury = Jury(panels=(*JURY.panels, blind))  # type: ignore[arg-type]
    assert [p.title for p in jury.able(Concept("cat")).panels] == ["two", "auditor"]
    assert jury.digest != JURY.digest
