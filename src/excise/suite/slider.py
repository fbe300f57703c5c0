"""The same prompts and seeds at strengths from none to twice the chosen one, to be looked at."""

from __future__ import annotations

from excise.edit import Edit
from excise.errors import UserError
from excise.primitives.panel import read
from excise.primitives.probe import thumbnails
from excise.primitives.prompts import naming
from excise.reporting.findings import Stop
from excise.rng import seed_of
from excise.suite.arms import Arm
from excise.suite.bench import Bench, Made
from excise.suite.book import Book
from excise.suite.plain import everything_else, near_of
from excise.types import Prompt, Request

SLIDER = "strengths"
FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
OWN, NEAR, FAR = 3, 2, 3


def slider(bench: Bench, book: Book) -> tuple[Stop, ...]:
    """One stop a strength; none without an edit, or where it cannot be scaled."""
    arm = bench.role("edit")
    if arm is None or not isinstance(arm.edit, Edit):
        return ()
    edit = arm.edit
    texts = prompts_of(bench)
    seeds = tuple(seed_of("slider", bench.seed, i) for i in range(len(texts)))
    stops = []
    for factor in FACTORS:
        try:
            scaled = edit if factor == 1 else factor * edit
        except UserError:  # a guard that says not what half of it means
            return ()
        own = Arm(key=arm.key, label=arm.label, role="edit", model=arm.model, edit=scaled)

        def draw(own: Arm = own) -> Made:
            with own.live() as model:
                pictures = model.generate(Request(prompts=texts, seeds=seeds)).uint8()
            values = read(bench.judge, pictures, [bench.label]).score(bench.label).shown
            return {"thumbs": thumbnails(pictures), "shown": values}, None

        key = {"slider": [t.key for t in texts], "seeds": list(seeds), "label": bench.label}
        made = bench.kept(SLIDER, own, key, draw).tensors
        name = book.pictures(
            f"strength/{factor:g}",
            "strength",
            f"strength {factor:g}",
            prompts=[text.text for text in texts],
            seeds=seeds,
            by_arm={arm.key: made["thumbs"]},
            shown={arm.key: made["shown"].bool().tolist()},
        )
        stops.append(Stop(strength=factor, pictures=name))
    return tuple(stops)


def prompts_of(bench: Bench) -> tuple[Prompt, ...]:
    """Of the concept, of what is nearest to it, and of what is far."""
    found = list(naming(bench.plain, bench.full, (bench.full.name,))[:OWN])
    rest = everything_else(bench)
    if rest is not None:
        near = near_of(bench, rest)
        far = [name for name in rest.groups if name not in near]
        step = max(1, len(far) // FAR)
        names = [*near[:NEAR], *far[::step][:FAR]]
        found += [rest.shots[rest.rows(name)[0]].prompt for name in names]
    return tuple(found)
