"""Is what was tried apart from what the edit was made with?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from torch import Tensor

from excise.reporting.subject import Check
from excise.suite.arms import Arm
from excise.suite.checks.base import Evidence
from excise.suite.renders import drawn_by_base
from excise.suite.rows import title
from excise.types import Request, digest

USES: Mapping[str, str] = {
    "tau": "to make the change", "find": "to find inputs by", "choose": "to choose by",
    "check": "to check by",
}  # fmt: skip
"""What an eraser's pictures are for, in words."""


def pictures_overlap(seen: Evidence) -> Iterator[Check]:
    """Picture sets overlap.

    Raised if: two of the sets that the edit was made with (to make the change, to find inputs, to
    choose, to check) have a picture in common; the attacker has a picture of one of them; or a loss
    is measured on a picture that either of them had; by SHA-256.
    Explanation: what was chosen on the pictures that it was fitted to looks better than it is, an
    attack with them is a test on the training set, and a loss on them is too small.
    """
    for (one, first), (other, second) in combinations(_own(seen).items(), 2):
        if both := first & second:
            yield Check(
                name="own_sets_overlap",
                found=f"{len(both)} of the pictures that the edit was made with are both among "
                f"those {USES.get(one, one)} and among those {USES.get(other, other)}.",
                meaning="What was chosen or checked on pictures that it was fitted to looks better "
                "than it is.",
                advice="Give more pictures, or let the model draw them.",
            )
    made, sets = seen.history.hashes, seen.sets
    shared = made & set(sets.attacker)
    if shared:
        yield Check(
            name="sets_overlap",
            level="error",
            found=f"{len(shared)} of the attacker's pictures are among those the edit was made of.",
            meaning="The attack is then a test on the training set.",
            advice="Give more pictures, or let the model draw them.",
        )
    held = set(sets.held_out)
    for who, had in (("the edit", set(made)), ("the attacker", set(sets.attacker))):
        if both := had & held:
            yield Check(
                name="held_out_overlap",
                found=f"{len(both)} of the {len(held)} pictures that losses are measured on are "
                f"not held out: {who} had them too.",
                meaning="A loss on pictures that were trained on is too small.",
                advice="Give those that the edit was made from, which are then cut alike; or "
                "others; or none, and the model draws them.",
            )


def pictures_drawn_by_base(seen: Evidence) -> Iterator[Check]:
    """The attacker's pictures are the unedited model's own.

    Raised if: nobody gave pictures of the concept, and the model's world cannot be rendered.
    Explanation: a model explains what it drew better than one that was trained from scratch does,
    and so does every edit near it. A loss on such pictures that is below the oracle's may be that,
    and not the concept.
    """
    if seen.sets.held_out and drawn_by_base(seen.bench):
        yield Check(
            name="pictures_drawn_by_base",
            level="info",
            found="The unedited model drew the pictures of it that attacks search with, and those "
            "that losses are measured on.",
            meaning="Such pictures a model like it explains better than the oracle does, whatever "
            "they show: a loss below the oracle's may be that, and not the concept.",
            advice="Give pictures of the concept that no model has drawn.",
        )


def inputs_overlap(seen: Evidence) -> Iterator[Check]:
    """Embedding sets overlap.

    Raised if: an input that an attack chose on the edit is one of those by which the edit's
    strength was chosen.
    Explanation: those the edit has seen to be extinct; only new ones say anything.
    """
    edit = seen.bench.role("edit")
    if edit is None or seen.battery is None:
        return
    made = {digest(row) for one in seen.history.choose for value in one.values.values()
            for row in value}  # fmt: skip
    for name, results in seen.battery.results.items():
        found = {digest(x) for one in results[edit.key].chosen_requests for x in _inputs(one)}
        if both := found & made:
            yield Check(
                name="inputs_overlap",
                level="error",
                found=f"{len(both)} of the inputs of {title(name)} are among those by which the "
                "strength was chosen.",
                meaning="These were seen to be extinct; they say nothing of new ones.",
                advice="Attack with another seed.",
            )


def base_replayed(seen: Evidence) -> Iterator[Check]:
    """The base was replayed instead of attacked.

    Raised if: an attack that takes gradients of the model under attack has nothing but inputs for
    the edit that it had for the base too, of soft words or conditionings, for every prompt.
    Explanation: inputs that were found on the unedited model say how it was attacked, not whether
    the edit holds; replaying them reads as robustness.
    """
    base, edit = seen.bench.role("base"), seen.bench.role("edit")
    if base is None or edit is None or seen.battery is None or edit.edit is None:
        return
    for name, results in seen.battery.results.items():
        if "gradients" not in seen.battery.attacks[name].needs:
            continue
        before, after = results[base.key], results[edit.key]
        if not all(any(True for _ in _inputs(request)) for request in after.chosen_requests):
            continue  # words of a vocabulary may be the best for both
        had = [set(column) for column in zip(*before.candidates, strict=True)]
        new = [set(column) for column in zip(*after.candidates, strict=True)]
        if _moved(edit) and all(b <= a for a, b in zip(had, new, strict=True)):
            yield Check(
                name="base_replayed",
                level="error",
                found=f"{title(name)} has the very same inputs for {seen.label(edit.key)} as for "
                f"{seen.label(base.key)}.",
                meaning="The edit was not attacked: inputs found on the unedited model were "
                "replayed on it.",
                advice="Attack the edited model itself.",
            )


def _own(seen: Evidence) -> dict[str, set[str]]:
    """The hashes of the edit's own pictures, by what they were for, of all concepts together."""
    found: dict[str, set[str]] = {}
    for row in seen.history.record.get("pictures", ()):
        found.setdefault(str(row.get("split", "tau")), set()).update(row.get("hashes", ()))
    return found


def _moved(arm: Arm) -> bool:
    """Is the edit another model at all? It holds no delta that is zero."""
    deltas = getattr(arm.edit, "deltas", None)
    return deltas is None or bool(deltas) or bool(getattr(arm.edit, "hooks", ()))


def _inputs(request: Request) -> Iterator[Tensor]:
    for prompt in request.prompts:
        for by in prompt.soft.values():
            yield from (value.float().cpu() for value in by.values())
    if request.condition is not None:
        for value in request.condition.tensors.values():
            yield value[0].float().cpu()
