"""What an eraser's stages take at most, read from its settings; nothing is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from excise.erasers.blocks import WALKS
from excise.erasers.choosing import SURE
from excise.erasers.extinction import STRENGTHS
from excise.errors import UserError
from excise.primitives import prompts
from excise.primitives.kept import kept_probe
from excise.primitives.probe import THUMB
from excise.settings import recipe
from excise.suite.plan import Speed, measure

if TYPE_CHECKING:
    from excise.erasers.base import Eraser
    from excise.erasers.task_vector import TaskVector
    from excise.types import Concept, TextToImage

SHOWN = 64  # pictures that searches explain, of each concept and for each purpose
POINTS = 8  # of each walk to what has to stay
SAMPLES = 4  # of a search that has no setting of its own for them
HEAD = 20_000  # bytes of a file beside its tensors: names, shapes, curves
SEEN = 3 * THUMB**2 + 400  # bytes that are kept of a picture a judge looked at


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What one stage takes at most; seconds by this machine's speed."""

    name: str
    pictures: int = 0
    gradients: int = 0
    evaluations: int = 0
    bytes: int = 0
    seconds: float = 0.0
    kept: bool = False

    def timed(self, speed: Speed) -> Stage:
        """With seconds."""
        return replace(
            self,
            seconds=self.pictures * speed.picture
            + self.gradients * speed.gradient
            + self.evaluations * speed.evaluation,
        )


def erase_plan(model: TextToImage, eraser: Eraser, concepts: Sequence[Concept]) -> list[Stage]:
    """The stages of an eraser: an upper bound on each, with seconds.

    concepts: as `api.concepts` gives them; what they bring pictures of is counted as drawn.
    """
    from excise.erasers.task_vector import TaskVector

    if isinstance(eraser, TaskVector):
        found = _Vector(model, eraser, concepts).stages()
    else:
        found = _stages(model, eraser, concepts)
    speed = measure(model)
    return [stage.timed(speed) for stage in found if stage != Stage(name=stage.name)]


def _stages(model: TextToImage, eraser: Eraser, concepts: Sequence[Concept]) -> list[Stage]:
    """Of any method, by the names that its settings have."""
    has, many = recipe(eraser), len(concepts)
    weights = _weights(model, eraser)
    hidden = sum(concept.kind == "implicit" for concept in concepts)
    rounds = has.get("rounds", 0)
    found = rounds * many if rounds else hidden if "inversion_steps" in has else 0
    found *= has.get("inputs", 1)
    drawn = many * (has.get("pictures", 0) + 2 * has.get("prompts", 0)) + has.get("retained", 0)
    drawn += SHOWN * many if hidden else 0
    drawn += has["retain_walks"] if has.get("retain") and "retain_walks" in has else 0
    # One walk for each prompt; those of each concept and of each input are rounded up.
    runs = rounds + 1
    walks = runs * (has.get("trajectories", -1) + 1 + 2 * many * (1 + found))
    walks = walks if "trajectories" in has else 0
    rows = runs * has.get("steps", 0) * has.get("batch", 0)
    terms = 1 + sum(bool(has.get(name)) for name in ("prior", "retained"))
    terms += bool(has.get("retain")) and "retain_walks" in has
    points = rows + walks + (POINTS * has.get("retain_walks", 0))
    samples = has.get("inversion_samples", SAMPLES)
    searched = found * has.get("inversion_steps", 0) * samples
    masked = 2 * many * has["pictures"] if "mask_batch" in has else 0
    latents = _latents(model)
    return [
        Stage(name="pictures", pictures=drawn, bytes=(drawn * (latents + SEEN)) if drawn else 0),
        Stage(name="walks", pictures=walks, evaluations=3 * points if walks else 0,
              bytes=points * (2 * latents + _text(model)) + runs * HEAD if walks else 0),
        Stage(name="saliency", gradients=masked, bytes=weights if masked else 0),
        Stage(name="inversion", gradients=searched, bytes=4 * found * (_text(model) + HEAD)),
        Stage(name="fine-tune", gradients=terms * rows, bytes=(runs + 4) * weights if rows else 0),
        Stage(name="edit", bytes=2 * weights + _text(model) * 64 + HEAD),
    ]  # fmt: skip


@dataclass(frozen=True)
class _Vector:
    """The task vector's, whose search for a strength takes most."""

    model: TextToImage
    method: TaskVector
    concepts: Sequence[Concept]

    def stages(self) -> list[Stage]:
        """In the order in which they run."""
        method, many = self.method, len(self.concepts)
        weights, latents = _weights(self.model, method), _latents(self.model)
        drawn = many * method.pictures
        stages = [
            Stage(name="pictures", pictures=drawn, bytes=drawn * (latents + SEEN) + HEAD),
            Stage(
                name="fine-tune",
                gradients=method.steps * method.batch,
                bytes=5 * weights,
            ),
            Stage(name="blocks", pictures=WALKS, evaluations=20 * WALKS, bytes=HEAD),
        ]
        if method.variant == "healed":
            stages += self._healing(weights)
        if method.strength is None:
            stages += self._search()
        return [*stages, Stage(name="edit", bytes=weights + HEAD)]

    @property
    def inputs(self) -> int:
        """Of one search for all concepts, an equal share in each space."""
        spaces = len(self.method.searched[0])
        each = [max(1, len(range(i, self.method.embeddings, spaces))) for i in range(spaces)]
        return len(self.concepts) * sum(each)

    @property
    def words(self) -> int:
        """Pictures of every prompt that names a concept, at one seed each."""
        return sum(
            len(prompts.naming(self.model, concept, (name,)))
            for concept in self.concepts
            for name in concept.names
        )

    def searching(self, name: str, times: int, pictures: int = 0) -> Stage:
        """So many searches, each afresh."""
        method = self.method
        return Stage(
            name=name,
            pictures=pictures,
            gradients=times * self.inputs * method.inversion_steps * method.samples,
            evaluations=times * self.inputs * SHOWN,
            bytes=times * self.inputs * 4 * _text(self.model) + times * 4 * HEAD,
        )

    def _looked(self, inputs: int) -> Stage:
        """Words, and inputs after some steps of their own, on one edited model."""
        method = self.method
        return Stage(
            name="",
            pictures=method.plain * self.words + inputs * method.looks,
            gradients=inputs * method.carried * method.samples,
        )

    def _healing(self, weights: int) -> list[Stage]:
        method, many = self.method, len(self.concepts)
        latents, text = _latents(self.model), _text(self.model)
        shown = SHOWN * many
        pinned = many * -(-method.heal_batch // (2 * many))
        rows = method.heal * (method.heal_batch + pinned + 2 * (method.adversaries + many))
        kept = method.walks * (POINTS * 2 * latents + text + SEEN)
        found = [self.searching("inputs to pin", 1, shown)]
        if method.hard is None:
            tries = math.ceil(math.log2(len(STRENGTHS)))
            one = self._looked(self.inputs)
            found.append(
                Stage(
                    name="how hard",
                    pictures=tries * one.pictures,
                    gradients=tries * one.gradients,
                    bytes=tries * HEAD,
                )
            )
        return [
            replace(found[0], bytes=found[0].bytes + shown * (latents + SEEN)),
            *found[1:],
            Stage(
                name="what has to stay",
                pictures=method.walks,
                evaluations=2 * POINTS * method.walks,
                bytes=kept + HEAD,
            ),
            Stage(
                name="heal",
                gradients=rows,
                evaluations=3 * (method.pinned + many) + rows,
                bytes=5 * weights + 6 * method.adversaries * text + HEAD,
            ),
        ]

    def _search(self) -> list[Stage]:
        """Inputs, the strengths that are tried with them, and attacks on what was chosen.

        Of a strength that is tried again what was seen is kept; an attack adds to the inputs.
        """
        method = self.method
        grid, refine = method.strengths
        tries = len(grid) + 2 * refine * (1 + method.rounds)
        inputs = self.inputs * (1 + method.rounds)
        one, rest = self._looked(inputs), self._rest()
        shown = 2 * SHOWN * len(self.concepts)
        again = self.inputs * method.looks + SURE * method.plain * self.words
        latents = _latents(self.model)
        chosen = self.searching("choose-set", 1, shown + rest)
        return [
            replace(chosen, bytes=chosen.bytes + shown * (latents + SEEN) + rest * SEEN + HEAD),
            Stage(
                name="strength",
                pictures=tries * (rest + one.pictures),
                gradients=tries * one.gradients,
                bytes=tries * (rest * SEEN + HEAD * (1 + inputs)),
            ),
            self.searching("attacks on it", method.rounds, method.rounds * again),
        ]

    def _rest(self) -> int:
        """Pictures of all that has to stay."""
        try:
            return len(kept_probe(self.model, self.concepts, self.method.kept))
        except UserError:  # nothing is known that would have to
            return 0


def _weights(model: TextToImage, eraser: Eraser) -> int:
    """Bytes of the weights that move, in float32."""
    names: Any = getattr(eraser, "selector", model.denoiser)
    if "clip_text" in eraser.needs:
        names = tuple(model.encoders)
    return 4 * sum(weight.numel() for weight in model.parameters(names).values()) + HEAD


def _latents(model: TextToImage) -> int:
    """Bytes of a picture as the denoiser sees it."""
    return 4 * math.prod(model.latent_shape)


def _text(model: TextToImage) -> int:
    """Bytes of a prompt's whole conditioning."""
    return sum(value.nbytes for value in model.encode("").tensors.values())
