"""What a command will take, from a short measurement; nothing is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from excise.cli.session import Session
from excise.cli.show import plain, size
from excise.reporting.wording import number, seconds
from excise.settings import recipe
from excise.suite.plan import Plan, Speed, measure

if TYPE_CHECKING:
    from excise.erasers.base import Eraser
    from excise.method import Budget
    from excise.types import TextToImage

PAGE = 15_000_000  # bytes of a report at most, without its pictures
SCORE = 24  # bytes of a look in the table of scores
BISECTIONS, NAMING = 3, 30  # tries until a strength is found; prompts that name a concept


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


def erase_plan(model: TextToImage, eraser: Eraser, concepts: int) -> list[Stage]:
    """The stages of an eraser, read from its settings, which is why they are an upper bound."""
    has = recipe(eraser)
    weights = _bytes(model, has.get("selector", model.denoiser))
    stages = []
    pictures = has.get("pictures") or has.get("trajectories") or 0
    if pictures:
        stages.append(Stage(name="pictures", pictures=pictures * concepts))
    if "steps" in has:
        rows = has["steps"] * has.get("batch", 1)
        stages.append(Stage(name="fine-tune", gradients=rows, bytes=2 * weights))
    if has.get("variant") == "healed":
        stages += _healing(has, concepts)
    if "embeddings" in has and has.get("strength") is None:
        stages += _search(model, eraser, has, concepts)
    stages.append(Stage(name="edit", bytes=weights))
    speed = measure(model)
    return [stage.timed(speed) for stage in stages]


def _healing(has: Mapping[str, Any], concepts: int) -> list[Stage]:
    found = has["embeddings"] * concepts * has["inversion_steps"] * has["samples"]
    rows = has["heal"] * (has["heal_batch"] * 3 // 2 + 3 * has["adversaries"])
    stages = [
        Stage(name="what has to stay", pictures=has["walks"], evaluations=8 * has["walks"]),
        Stage(name="inputs to pin", gradients=found, evaluations=has["pinned"]),
        Stage(name="heal", gradients=rows),
    ]
    if has["hard"] is None:
        inputs = BISECTIONS * concepts * has["embeddings"]
        looks = BISECTIONS * concepts * NAMING * has["plain"] + inputs * has["looks"]
        carried = inputs * has["carried"] * has["samples"]
        stages.insert(1, Stage(name="how hard", pictures=looks, gradients=carried))
    return stages


def _search(
    model: TextToImage, eraser: Eraser, has: Mapping[str, Any], concepts: int
) -> list[Stage]:
    inputs, samples = has["embeddings"] * concepts, has.get("samples", 1)
    found = inputs * has.get("inversion_steps", 0) * samples
    grid, refine = getattr(eraser, "strengths", ((1.0,), 0))
    tries = len(grid) + 2 * refine
    rounds = 1 + has.get("rounds", 0)
    looked = inputs * has.get("looks", 0) + has.get("kept", 0) * max(len(model.known), 1)
    carried = inputs * has.get("carried", 0) * samples
    width = sum(model.encoders.values())
    return [
        Stage(name="inversion", gradients=found * rounds, bytes=4 * inputs * width),
        Stage(
            name="strength",
            gradients=tries * rounds * carried,
            pictures=tries * rounds * looked,
        ),
    ]


def stages_of(plan: Plan) -> list[Stage]:
    """The stages of an evaluation, and the report."""
    stages = [
        Stage(
            name=f"{line.stage}, {line.arm}",
            pictures=line.pictures,
            gradients=line.gradients,
            evaluations=line.evaluations,
            seconds=line.seconds or 0.0,
            kept=line.kept,
        )
        for line in plan.lines
    ]
    return [*stages, Stage(name="report", bytes=PAGE + SCORE * plan.pictures)]


def demo_plan(model: TextToImage, concept: str, budget: Budget, seed: int) -> list[Stage]:
    """Erase, then evaluate."""
    from excise import api
    from excise.api.erasing import eraser_of
    from excise.edit import Edit, Recipe

    erased = erase_plan(model, eraser_of(model, "task_vector", budget=budget), 1)
    # An edit that changes nothing stands for the one that is not there yet.
    nothing = Edit.of(model, recipe=Recipe(method="none"))
    plan = api.estimate(model, nothing, concept, budget=budget, seed=seed)
    return [*erased, *stages_of(plan)]


def show_plan(run: Session, stages: Iterable[Stage]) -> None:
    """Print the stages and their sum."""
    rows = list(stages)
    names = ("pictures", "gradients", "evaluations", "bytes", "seconds")
    total: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) for name in names}
    run.answer({"stages": [asdict(row) for row in rows], **total})
    if run.as_json or run.quiet:
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for head in ("pictures", "gradients", "evaluations", "written", "time"):
        table.add_column(head, justify="right")
    for row in [*rows, Stage(name="in all", **total)]:
        mark = " *" if row.kept else ""
        cells = [number(v) if v else "–" for v in (row.pictures, row.gradients, row.evaluations)]
        cells += [size(row.bytes) if row.bytes else "–", seconds(row.seconds)]
        table.add_row(f"{row.name}{mark}", *(plain(cell) for cell in cells))
    run.console.print(table)
    if any(row.kept for row in rows):
        run.say("* less, where it is found from an earlier run")


def _bytes(model: TextToImage, selector: Any) -> int:
    chosen = tuple(selector) if isinstance(selector, list) else selector
    return 4 * sum(weight.numel() for weight in model.parameters(chosen).values())
