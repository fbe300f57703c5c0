"""Is what was tried apart from what the edit was made with?"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from excise.reporting.subject import Check
from excise.suite.checks.base import Evidence
from excise.suite.rows import title
from excise.types import Request, digest


def pictures_overlap(seen: Evidence) -> Iterator[Check]:
    """Picture sets overlap.

    Raised if: the attacker has a picture that the edit was made of, or a loss is measured on a
    picture that either of them had; by SHA-256.
    Explanation: the attack is then a test on the training set, and the loss is too small.
    """
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
    for who, had in (("the edit", made), ("the attacker", set(sets.attacker))):
        if both := had & held:
            yield Check(
                name="held_out_overlap",
                found=f"{len(both)} of the {len(held)} pictures that losses are measured on are "
                f"not held out: {who} had them too.",
                meaning="A loss on pictures that were trained on is too small.",
                advice="Give those that the edit was made from, which are then cut alike; or "
                "others; or none, and the model draws them.",
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

    Raised if: an attack that takes gradients of the model under attack chose the very same inputs
    on the edit as on the base, for every prompt.
    Explanation: inputs that were found on the unedited model say how it was attacked, not whether
    the edit holds; replaying them reads as robustness.
    """
    base, edit = seen.bench.role("base"), seen.bench.role("edit")
    if base is None or edit is None or seen.battery is None or edit.edit is None:
        return
    for name, results in seen.battery.results.items():
        if "gradients" not in seen.battery.attacks[name].needs:
            continue
        before, after = (results[arm.key].chosen_requests for arm in (base, edit))
        same = all(a.to_json({}) == b.to_json({}) for a, b in zip(before, after, strict=True))
        if same and _moved(seen):
            yield Check(
                name="base_replayed",
                level="error",
                found=f"{title(name)} has the very same inputs for {seen.label(edit.key)} as for "
                f"{seen.label(base.key)}.",
                meaning="The edit was not attacked: inputs found on the unedited model were "
                "replayed on it.",
                advice="Attack the edited model itself.",
            )


def _moved(seen: Evidence) -> bool:
    """Is the edit another model at all?"""
    edit = seen.bench.role("edit")
    made = getattr(edit.edit, "deltas", None) if edit else None
    hooks = getattr(edit.edit, "hooks", ()) if edit else ()
    return bool(hooks) or made is None or any(bool(x.any()) for x in made.values())


def _inputs(request: Request) -> Iterator[Tensor]:
    for prompt in request.prompts:
        for by in prompt.soft.values():
            yield from (value.float().cpu() for value in by.values())
    if request.condition is not None:
        for value in request.condition.tensors.values():
            yield value[0].float().cpu()
