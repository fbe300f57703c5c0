"""What a command will take, from a short measurement; nothing is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from excise.cli.session import Session
from excise.cli.show import plain, size
from excise.cli.stages import Stage, erase_plan
from excise.reporting.wording import number, seconds
from excise.suite.plan import Plan

if TYPE_CHECKING:
    from excise.method import Budget
    from excise.types import TextToImage

PAGE = 15_000_000  # bytes of a report at most, without its pictures
SCORE = 24  # bytes of a look in the table of scores


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
    from excise.api.concepts import concepts_of
    from excise.api.erasing import eraser_of
    from excise.edit import Edit, Recipe

    wanted = concepts_of(model, concept)
    method = eraser_of(model, "task_vector", budget=budget, concepts=wanted)
    erased = erase_plan(model, method, wanted)
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
