"""Inverted inputs on a model that was taught a cat, before and after an edit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests import panels
from tests.suite import two
from tests.suite.test_evaluate import SMALL, arms

from excise.primitives.denoising import Bank
from excise.primitives.diversity import functional_diversity
from excise.primitives.inversion import Inverter
from excise.reporting import Inversions
from excise.suite.arms import Arm
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.held_out import held_out, over_erasure
from excise.suite.history import History
from excise.suite.inverted import _kinds, inversions
from excise.types import Request, Samples


@pytest.fixture(scope="module")
def history() -> History:
    """The record of a choose-set of three inputs."""
    model, latents = two.model(), two.trained.world().latents["cat"]
    found = Inverter(steps=20, samples=2).run(model, latents, restarts=3, seed=1)
    kinds = functional_diversity(model, latents, found.conditions(model), Bank.of(latents, 4))
    made = found.artefact()
    return History(
        record={"choose": {"sets": [made.record], "diversity": kinds.to_json()}},
        tensors={f"choose/0/{name}": value for name, value in made.tensors.items()},
    )


def bounded(history: History, *rounds: dict[str, Any]) -> Inversions:
    """With these attacks on what was chosen in the record."""
    base = arms()[0]
    bench = Bench(arms={base.key: base}, concept=two.CAT, judge=two.Two(), sizes=SMALL)
    past = History(
        record={**history.record, "strength": 2.0, "rounds": list(rounds)}, tensors=history.tensors
    )
    found = inversions(bench, Book(), past, None)
    assert found is not None
    return found


def test_what_chose_the_strength_excludes_nothing_and_independent_searches_on_it_do(
    history: History,
) -> None:
    lost = {"alpha": 1.0, "tried": 8, "back": 2}
    held = {"alpha": 2.0, "tried": 8, "back": 0}
    assert bounded(history).survival is None
    assert bounded(history, held, lost).survival is None
    assert bounded(history, {**held, "alpha": 1.5}).survival is None  # another strength
    found = bounded(history, lost, held)
    assert found.checked == 8
    assert found.survival == pytest.approx(0.31, abs=0.005)
    split = bounded(history, lost, {**held, "level": 0.99})  # the error is split between attacks
    assert split.survival is not None
    assert split.survival > 0.31
    assert split.level == 0.99


def measured(history: History, *models: Arm) -> tuple[Inversions, Book, Bench]:
    bench = Bench(
        arms={arm.key: arm for arm in models}, concept=two.CAT, judge=two.Two(), sizes=SMALL
    )
    book = Book()
    found = inversions(bench, book, history, held_out(bench))
    assert found is not None
    return found, book, bench


@pytest.mark.slow
def test_an_edit_that_leaves_the_network_alone_changes_nothing_for_an_input(
    history: History,
) -> None:
    base, edit, _ = arms()  # the edit renames a word, which soft words are not
    found, book, _ = measured(history, base, edit)
    assert [row.label for row in found.rows] == ["1", "2", "3"]
    for row in found.rows:
        assert row.gap is not None
        assert row.gap.value == 0
        assert row.gap.low is None  # not a single picture differs
        assert row.losses["base"] == row.losses["edit"] > 0
        assert row.rates["base"] == row.rates["edit"]
        assert row.cluster is not None
    assert found.gap is not None
    assert found.gap.value == 0
    assert found.size == 3
    assert found.clusters is not None
    assert 1 <= found.clusters <= 3
    sheets = {name: sheet for name, sheet in book.sheets.items() if "inverted-1-" in name}
    first, second = sheets.values()
    assert (first == second).all()
    assert {text for group in book.groups for text in group.prompts} == {"a picture of <1>"}


@pytest.mark.slow
def test_a_ruined_network_explains_nothing_under_any_input(history: History) -> None:
    model: Any = two.model()
    base = arms()[0]
    ruin = Arm(key="edit", label="after", role="edit", model=model, edit=panels.ruined(model))
    found, book, bench = measured(history, base, ruin)
    assert found.gap is not None
    assert found.gap.low is not None
    assert found.gap.low > 0
    assert all(row.gap is not None and row.gap.value > 0 for row in found.rows)
    scar = over_erasure(bench, book, held_out(bench))
    assert scar.unnamed["edit"].value > scar.unnamed["base"].value
    assert scar.gap == {}  # there is no oracle
    assert book.odd == []


def test_all_inputs_are_drawn_together_and_as_they_are_alone(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = arms()[0]
    requests: list[Request] = []
    generate = base.model.generate

    def counted(request: Request) -> Samples:
        requests.append(request)
        return generate(request)

    bench = Bench(arms={base.key: base}, concept=two.CAT, judge=two.Two(), sizes=SMALL)
    book = Book()
    with monkeypatch.context() as patch:
        patch.setattr(base.model, "generate", counted)
        found = inversions(bench, book, history, None)
    assert found is not None
    assert [len(request) for request in requests] == [3 * SMALL.embedding]
    seeds = requests[0].seeds[: SMALL.embedding]
    prompts = history.choose[0].prompts()
    for prompt, scores, sheet in zip(prompts, book.scores, book.sheets.values(), strict=True):
        pictures = generate(Request(prompts=(prompt,), seeds=seeds)).uint8()
        values = two.Two().score(pictures, "cat").values.numpy()
        assert np.abs(scores.values - values).max() < 2e-3  # the last bits depend on the batch
        assert (sheet.int() - pictures.int()).abs().max() <= 1


def test_whole_conditionings_are_inputs_as_well() -> None:
    model, latents = two.model(), two.trained.world().latents["cat"]
    made = [
        Inverter(space=space, steps=2, samples=2).run(model, latents, restarts=2, seed=1).artefact()
        for space in ("token", "condition")
    ]
    kinds = {"clusters": [0, 1, 1, 2]}
    history = History(
        record={"choose": {"sets": [one.record for one in made], "diversity": kinds}},
        tensors={
            f"choose/{i}/{name}": value
            for i, one in enumerate(made)
            for name, value in one.tensors.items()
        },
    )
    base = arms()[0]
    bench = Bench(arms={base.key: base}, concept=two.CAT, judge=two.Two(), sizes=SMALL)
    book = Book()
    found = inversions(bench, book, history, None)
    assert found is not None
    assert [row.label for row in found.rows] == ["1", "2", "3", "4"]
    assert [row.cluster for row in found.rows] == [0, 1, 1, 2]
    texts = [set(group.prompts) for group in book.groups]
    assert texts == [{"a picture of <1>"}] * 2 + [{"no words"}] * 2
    seeds = next(iter(book.groups)).seeds
    for i, sheet in enumerate(list(book.sheets.values())[2:]):
        pictures = model.generate(history.choose[1].request(model, i, seeds=seeds)).uint8()
        assert (sheet.int() - pictures.int()).abs().max() <= 1


def test_inputs_that_nobody_compared_have_no_kind() -> None:
    class Pair(SimpleNamespace):
        def __len__(self) -> int:
            return 2

    def sets(*pictures: str) -> list[Any]:
        return [Pair(pictures=one) for one in pictures]

    # Of two concepts the first's were compared, in two spaces; and what came back, of whichever.
    assert _kinds(sets("cat", "cat", "dog", "later"), [0, 1, 0, 2, 3, 3]) == [
        [0, 1], [0, 2], [None, None], [None, None],
    ]  # fmt: skip
    assert _kinds(sets("cat", "later"), [0, 1, 2, 2]) == [[0, 1], [2, 2]]  # of one: all were
    assert _kinds(sets("cat"), []) == [[None, None]]


def test_without_a_record_there_is_no_section() -> None:
    bench = Bench(arms={}, concept=two.CAT, judge=two.Two(), sizes=SMALL)
    assert inversions(bench, Book(), History(), None) is None
