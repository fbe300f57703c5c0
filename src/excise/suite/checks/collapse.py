"""Is there still a model that draws?"""

from __future__ import annotations

from collections.abc import Iterator

from excise.metrics.diversity import spread
from excise.reporting.subject import Check
from excise.suite.checks.base import Evidence

ALIKE, LEAST = 0.5, 0.02


def pictures_alike(seen: Evidence) -> Iterator[Check]:
    """All pictures are alike.

    Raised if: two pictures of the edit, over all prompts of what has to stay, differ by less than
    half of what the base's do; without a base, by less than 2 % of the range.
    Explanation: a model that draws one picture for every prompt has erased nothing, yet no attack
    finds the concept in it.
    """
    arm = seen.bench.role("edit")
    if arm is None or arm.key not in seen.kept:
        return
    own = spread(seen.kept[arm.key])["distance"]
    base = seen.bench.role("base")
    of = None if base is None else spread(seen.kept[base.key])["distance"]
    least = LEAST if of is None else ALIKE * of
    if own is not None and own < least:
        yield Check(
            name="pictures_alike",
            level="error",
            found=f"Two pictures of different prompts differ by {own:.3f} of the range on "
            f"{seen.label(arm.key)}{'' if of is None else f', by {of:.3f} before'}.",
            meaning="A model that draws one picture for every prompt shows the concept nowhere, "
            "and nothing else either.",
            advice="Look at what was kept; erase with less strength.",
        )


def guidance_ratio(seen: Evidence) -> Iterator[Check]:
    """The guidance ratio is under its bound.

    Raised if: at the model's own guidance the edit's pull on the unconditional prediction outweighs
    that on the conditional one, as measured on the edited model at pictures that nobody else has;
    it is said, too, where that cannot be measured.
    Explanation: sampling uses (1 - s) e_null + s e_cond, so guidance then adds back what the edit
    takes away.
    """
    scale = getattr(getattr(seen.bench.plain, "defaults", None), "guidance", None)
    if seen.pull is None or scale is None or scale <= 1:
        return
    measured = seen.pull.found
    if measured is None:
        yield Check(
            name="guidance_not_measured",
            level="info",
            found="How the edit pulls on the prediction with words and on that without was not "
            f"measured: {seen.pull.why}.",
            meaning="Guidance may add back what the edit takes away; only the pictures show it.",
        )
    elif (measured.null or measured.concept) and measured.net(scale) >= 0:  # if it pulls at all
        yield Check(
            name="guidance_ratio",
            level="error",
            found=f"Along the concept's direction the edit moves the prediction with its name by "
            f"{measured.concept:+.2f} of the distance between the two, and that without words by "
            f"{measured.null:+.2f}: at guidance {scale:g} together {measured.net(scale):+.2f}, "
            "and less than 0 would be a removal.",
            meaning="Guidance adds back what the edit takes away.",
            advice="Train with captions too.",
        )
