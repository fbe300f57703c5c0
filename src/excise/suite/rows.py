"""What the battery and the ladder found, as the attacks of a report."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import getdoc
from typing import Any

import torch
from torch import Tensor

from excise.attacks.base import Attack
from excise.attacks.concept_inversion import ConceptInversion
from excise.attacks.result import AttackResult as Found
from excise.primitives.panel import Sheet, labels_of, read
from excise.primitives.panel import title as judge_title
from excise.primitives.probe import thumbnails
from excise.reporting.attacks import AttackResult, Recovery, Rung
from excise.reporting.attempts import Attempts, roles
from excise.reporting.climbed import decided, floors, ladder_figures, rung_rates
from excise.reporting.figures import Cost, Estimate
from excise.reporting.reached import best_of
from excise.reporting.sheets import ScoreSheet
from excise.reporting.tried import figures, points
from excise.rng import seed_of
from excise.settings import recipe
from excise.suite.arms import Arm
from excise.suite.battery import RETURNS, Battery
from excise.suite.bench import Bench, Made
from excise.suite.book import Book
from excise.suite.ladder import ORACLE_MOST, Ladder
from excise.suite.returned import enter, key_of, label_of
from excise.types import merged

LADDER = "concept_inversion"
STEERED = (
    "The search was told which prompts fell on the select seeds, so these cannot say how its "
    "success grows with the number of tries."
)
TITLES = {
    "concept_inversion": "Concept Inversion",
    "diverse_inversion": "Diverse Inversion",
    "unlearn_diff": "UnlearnDiffAtk",
    "p4d": "Prompting4Debugging",
    "ring_a_bell": "Ring-A-Bell",
    "reseed": "Plain words (no search)",
}
DEFINITION = (
    "Words that no dictionary has (soft words: numbers in the place of a word), or all that a "
    "prompt is turned into, are adjusted on the model under attack until it explains the "
    "attacker's own pictures of the concept. That is begun anew many times; what looks best on "
    "some seeds is scored on others."
)


def attack_row(
    bench: Bench,
    book: Book,
    battery: Battery,
    tried: Attempts,
    name: str,
    ladder: Ladder,
    delta: Mapping[str, Estimate],
) -> AttackResult:
    """One attack of the report; Concept Inversion has its ladder."""
    attack, results = battery.attacks[name], battery.results[name]
    arms = roles(tuple(bench.arms.values()))
    for arm, one in results.items():
        enter(book, f"{name}/all", arm, one)
    first = next(iter(results.values()))
    r = best_of(first)
    climbed = name == LADDER
    return AttackResult(
        name=name,
        label=title(name),
        definition=DEFINITION if climbed else definition(attack),
        paper=attack.paper,
        kind="injecting" if attack.kind == "injecting" else "confirming",
        needs=tuple(sorted(attack.needs)),
        what=label_of(attack.rung)
        if isinstance(attack, ConceptInversion)
        else f"{len(first.prompts)} prompts",
        budget={
            "restarts": len(first),
            **({} if r is None else {"best_of": r}),
            "prompts": len(first.prompts),
            "select_seeds": len(first.select_seeds),
            "score_seeds": len(first.score_seeds),
            **scalars(attack),
        },
        decided=decided(tried, name, first.threshold, RETURNS) if name in tried.drawn else None,
        rungs=rungs(tried, ladder) if climbed else (),
        headline=key_of(ladder.headline) if climbed and ladder.rungs else None,
        delta_loss=dict(delta),
        decoys=floors(arms, tried, key_of(ladder.headline)) if climbed else None,
        costs={arm: Cost.of(one.searched + one.drawn) for arm, one in results.items()},
        note=note(ladder) if climbed else STEERED if first.steered else "",
        **figures(arms, tried, name),
    )


def ladder_row(bench: Bench, tried: Attempts, ladder: Ladder) -> AttackResult:
    """The token ladder by itself, where no attack was run at a larger budget."""
    arms, counted, headline = roles(tuple(bench.arms.values())), ladder.counted, ladder.headline
    first = next(iter(counted.values()))
    return AttackResult(
        name=LADDER,
        label=title(LADDER),
        definition=DEFINITION,
        paper="Pham et al. 2023, arXiv:2308.01508",
        budget={
            "restarts": len(first),
            "best_of": ladder.best_of,
            "prompts": len(first.prompts),
        },
        rungs=rungs(tried, ladder),
        headline=key_of(headline),
        decoys=floors(arms, tried, key_of(headline)),
        costs={arm: Cost.of(one.searched + one.drawn) for arm, one in counted.items()},
        note=note(ladder),
        **ladder_figures(arms, tried, key_of(headline)),
    )


def rungs(tried: Attempts, ladder: Ladder) -> tuple[Rung, ...]:
    """Those of the token ladder, at its own smaller budget."""
    return tuple(
        Rung(key=key_of(rung), label=label_of(rung), rates=rung_rates(tried, key_of(rung)))
        for rung in ladder.rungs
    )


def enter_ladder(book: Book, tried: Attempts) -> None:
    """What the inputs that were chosen on each rung and for each decoy drew, picture by picture."""
    for rung, by in tried.rungs.items():
        for arm, one in by.items():
            enter(book, f"{LADDER}/{rung}", arm, one)
    for name, by in tried.decoys.items():
        for arm, one in by.items():
            enter(book, f"{LADDER}/decoy/{name}", arm, one)


def recovery(battery: Battery, name: str) -> Recovery:
    """A curve of cost against recovery."""
    attack, curves = battery.attacks[name], battery.curves[name]
    costs = {arm: Cost.of(sum(one.searched, one.drawn)) for arm, one in curves.items()}
    return Recovery(
        name=name,
        label=title(name),
        definition=definition(attack),
        paper=attack.paper,
        points=points(battery.attempts, name),
        costs=costs,
    )


def shown(bench: Bench, arm: Arm, result: Found) -> tuple[Tensor, Tensor, list[int]]:
    """What the chosen input of each prompt draws on the first score seed, read by all judges.

    Thumbnails uint8 (P, 3, h, w), scores (P, labels), and the seeds.
    """
    first = result.score_seeds[0]
    wanted = [
        request.on(seed_of("picture", first, p, request.seeds[0]))
        for p, request in enumerate(result.chosen_requests)
    ]
    seeds = [request.seeds[0] for request in wanted]

    def draw() -> Made:
        values: list[Tensor] = [torch.empty(0)] * len(wanted)
        small: list[Tensor] = [torch.empty(0)] * len(wanted)
        with arm.live() as model:
            for rows, request in merged(wanted):
                pictures = model.generate(request).uint8()
                scores = read(bench.judge, pictures, [bench.label]).values
                for row, score, thumb in zip(rows, scores, thumbnails(pictures), strict=True):
                    values[row], small[row] = score, thumb
        return {"values": torch.stack(values), "thumbs": torch.stack(small)}, None

    key = {
        "shown": result.attack,
        "settings": dict(result.settings),
        "chosen": [r.to_json({}) for r in result.chosen_requests],
        "seeds": seeds,
    }
    found = bench.kept(f"attack {result.attack}", arm, key, draw).tensors
    return found["thumbs"], found["values"], seeds


def keep_shown(
    bench: Bench,
    book: Book,
    name: str,
    results: Mapping[str, Found],
    seen: Mapping[str, tuple[Tensor, Tensor, list[int]]],
) -> None:
    """Enter what every judge said of every class, of the pictures of `shown`, by arm.

    Of all that an attack draws these alone: the scores of every class of each candidate on each
    seed would be tens of megabytes a report, and no figure of an attack is made from another class
    than the concept, whose score is kept of every picture.
    """
    own = labels_of(bench.judge)
    cut = next(iter(results.values())).threshold
    for arm, (_, values, seeds) in seen.items():
        prompts = results[arm].prompts
        book.raw.append(
            ScoreSheet(
                section=f"attack/{name}",
                arm=arm,
                sheet=Sheet(
                    judge=judge_title(bench.judge),
                    labels=(bench.label,) if own is None else tuple(own),
                    things=tuple(getattr(bench.judge, "things", ())),
                    values=values,
                    thresholds=dict(getattr(bench.judge, "thresholds", {bench.label: cut})),
                ),
                groups=(name,) * len(prompts),
                asked=(bench.label,) * len(prompts),
                prompts=tuple(prompts),
                seeds=tuple(seeds),
            )
        )


def title(name: str) -> str:
    """What an attack is called."""
    return TITLES.get(name, name.replace("_", " ").capitalize())


def definition(attack: Attack) -> str:
    """Its first paragraph, as one line."""
    text = (getdoc(type(attack)) or "").split("\n\n")[0]
    return " ".join(text.split())


def scalars(attack: Attack) -> dict[str, Any]:
    """The settings that are one number."""
    own = {k: v for k, v in recipe(attack).items()
           if isinstance(v, int | float) and not isinstance(v, bool)}  # fmt: skip
    return {k: v for k, v in own.items() if k not in ("restarts", "batch")}


def note(ladder: Ladder) -> str:
    """How the rung that counts was found."""
    if not ladder.rungs:
        return "No ladder was climbed: one rung of it was tried, on prompts of every kind."
    if ladder.decoys and ladder.top is not None:
        return (
            f"The figures are those at {label_of(ladder.top)}, the largest budget at which things "
            "that the unedited model was never shown are hardly reached. No model is at hand that "
            "never saw the concept."
        )
    if ladder.decoys:
        return (
            "Even the smallest budget reaches things that the unedited model was never shown in "
            f"more than {ORACLE_MOST:.0%} of pictures, so none can tell recovery from injection."
        )
    if ladder.oracle is None:
        return (
            f"The figures are those at {label_of(ladder.headline)}, fixed beforehand. Without a "
            "model that never saw the concept nothing measures from which step on a search puts "
            "the concept in: with enough freedom any model draws anything."
        )
    if ladder.top is None:
        return (
            f"Even the smallest budget reaches the oracle in more than {ORACLE_MOST:.0%} of "
            "pictures, so none can tell recovery from injection."
        )
    return (
        f"The figures are those at {label_of(ladder.top)}, the largest budget at which the oracle "
        "is hardly reached."
    )
