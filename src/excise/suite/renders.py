"""Pictures of the concept that no model has drawn, where the model's world can be rendered.

What the unedited model draws lies where it puts its probability: it explains such pictures better
than a model that was trained from scratch, whatever they show, and so does every edit near it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from excise import registry
from excise.rng import seed_of
from excise.store import Json
from excise.suite.bench import Bench
from excise.types import World, digest

Use = Literal["attacker", "held out"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Renders:
    """Some pictures, (n, 3, h, w) uint8.

    told: what they are rendered from, by which results are found again on other machines, whose
    last bits may differ.
    """

    pictures: Tensor
    told: Json

    @property
    def hashes(self) -> tuple[str, ...]:
        """SHA-256 of each picture."""
        return tuple(digest(picture) for picture in self.pictures)


def world_of(bench: Bench) -> World | None:
    """The world that the unedited model says it is of, if it can render the concept.

    A model's notes name it; what is rendered is code that was installed, never the model's. None
    where somebody gave pictures of the concept.

    Raises:
        UnknownName: there is no such world.
    """
    name = getattr(bench.plain, "notes", {}).get("world")
    if name is None or bench.full.pictures is not None:
        return None
    world: World = registry.create("world", str(name))
    return world if world.knows(bench.full) else None


def drawn_by_base(bench: Bench) -> bool:
    """Whether the unedited model draws the pictures to attack with and to measure losses on."""
    return bench.full.pictures is None and renders(bench, "held out", 1) is None


def renders(bench: Bench, use: Use, n: int) -> Renders | None:
    """``n`` pictures for one use, on seeds that no other has; None if they cannot be had.

    Nor if they are not of the size that the model draws.
    """
    world = world_of(bench)
    if world is None:
        return None
    seed = seed_of("renders", bench.seed, use)
    pictures = world.pictures(bench.full, n, seed=seed)
    if tuple(pictures.shape[-2:]) != tuple(bench.plain.picture_size):
        return None
    told: Json = {"world": world.name, "shows": bench.full.name, "seed": seed, "pictures": n}
    return Renders(pictures=pictures, told=told)
