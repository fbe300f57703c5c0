from __future__ import annotations

from pathlib import Path

from ship import Entry, Seen, chosen

from excise.store import Archive
from excise.store.archive import pack


def entry(name: str, size: int, seconds: float) -> Entry:
    return Entry(Path(name), size, seconds)


def test_what_saves_most_for_its_bytes_ships_as_far_as_there_is_room() -> None:
    dear, cheap, huge, late = (
        entry("dear", 10, 100),
        entry("cheap", 10, 1),
        entry("huge", 1000, 900),
        entry("late", 5, 0.1),
    )
    assert chosen([cheap, late, huge, dear], 25) == [dear, cheap, late]
    assert chosen([cheap, late, huge, dear], 15) == [dear, late]
    assert chosen([cheap], 0) == []


def test_searches_that_were_found_are_remembered_and_can_be_packed(tmp_path: Path) -> None:
    seen = Seen()
    seen.root = tmp_path
    search = {"attack": "reseed", "section": "attack reseed"}
    costs = {"record": None, "costs": {"seconds": 2.0}}
    for key in (search, {"section": "plain use"}):
        assert seen.put(key, {}, costs)
        assert seen.get(key) is not None
    assert seen.get({"attack": "other"}) is None
    (only,) = seen.entries.values()
    assert (only.path, only.seconds) == (seen.path(search), 2.0)
    pack(tmp_path / "results.zip", [only.path])
    assert Archive(tmp_path / "results.zip").get(search) is not None
