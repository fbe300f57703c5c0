"""What is said of all attacks: which are weak, which inject, which miss."""

from __future__ import annotations

from typing import Any

import suites


def attack(name: str, **given: Any) -> dict[str, Any]:
    null = {arm: [0.1, 0.05, 0.2] for arm in ("base", "edit", "oracle", "esd")}
    return {
        "name": name, "label": name, "kind": "confirming", "needs": ["gradients"],
        "confirmatory": True, "null": null, "seconds": {"edit": 3.0},
        "rates": {"base": [1.0, 0.9, 1.0], "edit": [0.1, 0.0, 0.2], "oracle": [0.1, 0.05, 0.2],
                  "esd": [0.6, 0.5, 0.7]},
        "silent": {"base": [0.9, 0.8, 1.0]},
        **given,
    }  # fmt: skip


def rows(*attacks: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"concept": "cat", "attacks": list(attacks), "spent": {"edit": 120.0}, "checks": [],
         "worst": {"base": [1.0, 0.9, 1.0]}, "left_out": {},
         "excess": {"value": 0.02, "upper": 0.08, "attack": "p4d"}}
    ]  # fmt: skip


def test_a_good_attack_is_named_nowhere() -> None:
    found = rows(attack("good"))
    assert (suites.weak(found), suites.injected(found), suites.missed(found)) == ([], [], [])
    assert suites.page(found).count("none") == 4  # the three questions, and no doubts


def test_each_fault_is_named() -> None:
    rates = attack("x")["rates"]
    found = rows(
        attack("weak", silent={"base": [0.3, 0.2, 0.4]}),
        attack("injects", rates={**rates, "oracle": [0.5, 0.4, 0.6]}),
        attack("told", kind="injecting", rates={**rates, "oracle": [0.5, 0.4, 0.6]}),
        attack("misses", rates={**rates, "esd": [0.2, 0.1, 0.3]}),
        attack("words", needs=["judge"], rates={**rates, "esd": [0.2, 0.1, 0.3]}),
    )
    assert suites.weak(found) == ["cat: weak 30%"]
    assert suites.injected(found) == ["cat: injects 50%"]
    assert suites.missed(found) == ["cat: misses 20%"]
    text = suites.page(found)
    assert "2.0 minutes for the edit; E 2.0 points, at most 8.0 (p4d)" in text
    assert "| told | injects |" in text
