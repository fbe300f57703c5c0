from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmarks.tiny_study import Tiny, model

import attacks
from attacks import (
    ALL,
    ALONE,
    FACTORS,
    HEAD,
    SPENT,
    SWEPT,
    WORDS,
    Range,
    cells,
    page,
    share_of,
    shares,
)
from excise import registry
from excise.attacks.changing import ChangingAttack
from excise.edit import Edit, Recipe
from excise.settings import describe


@pytest.fixture(scope="module")
def tiny() -> Any:
    return model()


@pytest.fixture
def found(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Range:
    study = Tiny(tmp_path, of=tiny)
    edit = Edit.of(tiny, {"unet.conv_out.bias": torch.ones(4) / 9}, recipe=Recipe(method="m"))
    monkeypatch.setattr(study, "edit", lambda trial: (edit, {}))
    monkeypatch.setattr(attacks, "LOOK", attacks.replace(attacks.LOOK, asked=4, attacker=4))
    return Range(study)


def test_what_is_swept_and_spent_are_settings_of_the_attacks() -> None:
    for name, field in {**{n: f for n, (f, _) in SWEPT.items()}, **SPENT}.items():
        assert field in {one.name for one in describe(registry.get("attack", name))}
    assert 1.0 in FACTORS


def test_every_search_with_a_learning_rate_is_swept() -> None:
    """Durability has one for a LoRA that has nothing to do with the concept."""
    kinds = {name: registry.get("attack", name) for name in registry.names("attack")}
    rates = {name for name, cls in kinds.items() if "lr" in {one.name for one in describe(cls)}}
    assert rates - {"durability"} == {name for name, (field, _) in SWEPT.items() if field == "lr"}
    for name in set(SWEPT) & set(SPENT) | {"image_side"}:
        assert not issubclass(kinds[name], ChangingAttack)  # whose curves have their cost as axis


def test_a_curve_counts_at_its_end(found: Range) -> None:
    assert set(found.bench("relearn").arms) == {"base", "edit"}
    row = found.row("relearn", {"shots": (0, 1), "steps": 1, "batch": 1, "rank": 1})
    end = found.row("relearn", {"shots": (1,), "steps": 1, "batch": 1, "rank": 1})
    assert (row["rate"], row["silent"]) == (end["rate"], None)
    assert row["low"] <= row["rate"] <= row["high"]
    assert row["gradients"] == 1
    assert row["pictures"] == 2 * end["pictures"]
    assert cells(row)[3] == "–"
    assert row["hits"] is None


def test_searches_for_a_word_are_in_the_place_of_the_word_that_is_enumerated(found: Range) -> None:
    small = {"enumerate": {"restarts": 1, "bank": 1, "pictures": 1},
             "unlearn_diff": {"levels": 1, "steps": 1, "pictures": 1},
             "p4d": {"steps": 1, "restarts": 1, "bank": 1, "pictures": 1},
             "ring_a_bell": {"population": 4, "generations": 1, "restarts": 1}}  # fmt: skip
    asked: list[dict[str, set[str]]] = []
    for name, settings in WORDS.items():
        attack = registry.build(registry.get("attack", name), {**settings, **small.get(name, {})})
        model, cat = found.study.model, found.bench(name).full
        hunt = attack.search(model, (cat,), (ALONE.prompt,) * 2, base=model)
        last = next(hunt)
        if name == "unlearn_diff":  # the prompt as it is comes first
            last = hunt.send((False, False))
        asked.append({name: {one.prompts[0].text for one in last}})
    texts = {name: found for own in asked for name, found in own.items()}
    assert texts.pop("reseed") == {""}
    words = set(found.study.model.lexicon().words)
    for name, own in texts.items():
        assert own <= words, name


def row(attack: str, model: str, rate: float, prompts: int = 12) -> dict[str, Any]:
    """A search that reaches a share of the prompts, in every picture of each."""
    hits = [[float(i < rate * prompts)] * 4 for i in range(prompts)]
    most = {"judged": 32, "of": 1872} if attack == ALL else {}
    return {"attack": attack, "model": model, "settings": {}, "rate": rate, "low": 0.0, "high": 1.0,
            "silent": rate, "gradients": 1, "pictures": 2, "seconds": 3.0, "hits": hits,
            **most}  # fmt: skip


def test_a_share_is_of_what_enumeration_finds_on_the_same_model() -> None:
    rows = [row(ALL, "edit", 0.5), row("p4d", "edit", 0.25), row(ALL, "base", 0.75),
            row("p4d", "base", 1.0)]  # fmt: skip
    edit, base = shares(rows)
    assert "Prompting4Debugging finds 50% (" in edit
    assert edit.endswith("of what the 32 of least loss of 1,872 words, judged, bring out (50%).")
    assert "unedited" in base
    assert "finds 133% (" in base  # these words are not the worst by the judge
    (nothing,) = shares([row(ALL, "edit", 0.0), row("p4d", "edit", 0.0)])
    assert "nothing" in nothing
    text = page({"words": rows})
    assert edit in text
    assert "44,928 of them a model, 30 minutes" in text
    assert "Prompting4Debugging, on the unedited model" in text
    assert "knee" not in page({"sweep": rows[:1]})
    assert "To judge every word" not in page({"words": rows[1:2]})


def test_of_enumeration_it_is_said_how_many_of_how_many_words_are_judged(
    found: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(self: Range, name: str, settings: Any, texts: Any, on: str) -> Any:
        return {"attack": name, "model": on, "settings": settings}

    monkeypatch.setattr(Range, "row", row)
    rows = list(found.words())
    most = [one for one in rows if "of" in one]
    assert [(one["attack"], one["model"]) for one in most] == [(ALL, "edit"), (ALL, "base")]
    assert len(rows) == 2 * len(WORDS)
    whole = len(found.study.model.lexicon())
    assert {(one["judged"], one["of"]) for one in most} == {(32, whole)}


def test_a_share_has_an_interval_that_narrows_with_the_prompts() -> None:
    widths = []
    for prompts in (12, 120):
        said = share_of(row("p4d", "edit", 0.25, prompts), row(ALL, "edit", 0.5, prompts))
        value, low, high = (int(n) for n in re.findall(r"(\d+)%", said))
        assert low < value == 50 < high
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]
    same = share_of(row("p4d", "edit", 0.5), row(ALL, "edit", 0.5))
    assert same.startswith("100% (")
    assert "(100%" not in same  # that no difference was seen is not that there is none


def test_a_run_is_kept_and_read_again(found: Range, tiny: Any) -> None:
    first = found.row("reseed", {"restarts": 2})
    spent = tiny.costs
    again = Range(found.study).row("reseed", {"restarts": 2})
    assert (tiny.costs - spent).evaluations == 0
    assert again == first
    assert first["pictures"] == 4 * (2 * 2 + 4)
    assert sum(map(sum, first["hits"])) / (4 * 4) == pytest.approx(first["rate"])
    other = found.row("reseed", {"restarts": 1})
    assert other["pictures"] == 4 * (2 + 4)
    assert cells(first)[1] == "restarts = 2"
    assert cells({**other, "factor": 0.5})[1] == "restarts = 1 (0.5 times)"
    assert len(cells(first)) == 2 + len(HEAD)


def test_who_compares_has_the_base_beside_the_edit(found: Range) -> None:
    assert set(found.bench("p4d").arms) == {"base", "edit"}
    assert set(found.bench("unlearn_diff").arms) == {"edit"}
