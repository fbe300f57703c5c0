from __future__ import annotations

from excise.reporting import Excess, Report, Unanimous
from excise.reporting.record import Record
from excise.reporting.unanimity import beside_excess, sentence, sentences


def record(report: Report, **alike: Unanimous) -> Record:
    first, *rest = report.record.attacks
    excess = Excess(attack=first.name, value=0.0, upper=0.1, values={first.name: 0.0})
    return report.record.model_copy(
        update={
            "attacks": (first.model_copy(update={"unanimous": alike}), *rest),
            "excess": excess,
        }
    )


def test_the_bound_is_of_the_next_restart_and_says_what_it_would_do() -> None:
    none = sentence(Unanimous(n=8, worked=False, next=0.31), "after")
    every = sentence(Unanimous(n=8, worked=True, next=0.31, level=0.99), "before")
    assert none.replace("\u202f", " ") == (
        "On “after” none of 8 independent restarts brought it back in any picture; the next one "
        "does with a probability of at most 31 % (at 95 % confidence)."
    )
    assert every.replace("\u202f", " ") == (
        "On “before” each of 8 independent restarts brought it back in every picture; the next "
        "one fails in some with a probability of at most 31 % (at 99 % confidence)."
    )


def test_an_attack_says_it_of_every_model_and_the_excess_of_the_edit(report: Report) -> None:
    alike = Unanimous(n=8, worked=False, next=0.31)
    found = record(report, edit=alike, oracle=alike)
    assert len(sentences(found.attacks[0], found)) == 2
    (one,) = beside_excess(found)
    assert one.startswith("Concept Inversion: On “after” none of 8")
    assert beside_excess(record(report, oracle=alike)) == ()
    assert beside_excess(found.model_copy(update={"excess": None})) == ()


def test_attacks_outside_the_excess_are_not_spoken_of_beside_it(report: Report) -> None:
    found = record(report, edit=Unanimous(n=8, worked=False, next=0.31))
    other = Excess(attack="other", value=0.0, upper=0.1, values={"other": 0.0})
    assert beside_excess(found.model_copy(update={"excess": other})) == ()
