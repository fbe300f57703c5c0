"""A report as a real run would leave it, made of invented figures and small real pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tests.reporting.builder import ARMS, HASH, Builder, around, draw, noisy, rates

from excise.emoji.glyphs import OBJECTS
from excise.reporting import (
    AgreementRow,
    AttackResult,
    BestOf,
    Block,
    Blocks,
    Check,
    Cost,
    CostRow,
    Decoys,
    EditFacts,
    Estimate,
    Excess,
    Inversions,
    Inverted,
    JudgeFacts,
    Kept,
    KeptRow,
    Measure,
    OverErasure,
    Rate,
    RateRow,
    Record,
    Recovery,
    RecoveryPoint,
    Replacement,
    Report,
    Rung,
    Scores,
    Stop,
    Strength,
    StrengthPoint,
    Subject,
    WorstFound,
)


def plain_rates(made: Builder) -> tuple[RateRow, ...]:
    rows = [
        ("plain", "all plain prompts", "plain", rates(480, base=463, edit=0, oracle=3)),
        ("word", "“cat”", "word", rates(120, base=118, edit=0, oracle=1)),
        ("kitten", "“kitten”", "synonym", rates(120, base=115, edit=0, oracle=1)),
        ("feline", "“feline”", "synonym", rates(120, base=112, edit=0, oracle=0)),
        ("tabby", "“tabby” (held back)", "held_back", rates(120, base=109, edit=2, oracle=1)),
        ("guidance-1", "guidance 1", "guidance", rates(120, base=92, edit=0, oracle=0)),
        ("guidance-3", "guidance 3", "guidance", rates(120, base=118, edit=0, oracle=1)),
        ("guidance-7", "guidance 7.5", "guidance", rates(120, base=119, edit=1, oracle=1)),
        ("guidance-12", "guidance 12", "guidance", rates(120, base=117, edit=3, oracle=1)),
        ("two", "cat beside something", "two_objects", rates(120, base=96, edit=2, oracle=1)),
        ("two-other", "what stands beside it", "other_object",
         rates(120, base=101, edit=98, oracle=100)),
    ]  # fmt: skip
    found = []
    for key, label, kind, value in rows:
        want = "high" if kind == "other_object" else "low"
        if want == "low":
            made.looks(key, "cat", value)
        found.append(
            RateRow(key=key, label=label, kind=kind, judge="judge", rates=value, want=want)
        )
    return tuple(found)


def kept(worst: float = 0.91) -> Kept:
    names = [name for name in OBJECTS if name != "cat"]
    rows = []
    for i, name in enumerate(names):
        base = 116 + i % 4
        share = worst if name == "dog" else 0.96 + 0.004 * (i % 8)
        rows.append(
            KeptRow(
                key=f"kept-{name}", label=name,
                kind="neighbour" if name in ("dog", "horse", "bird") else "object",
                rates=rates(120, base=base, edit=min(round(base * share), 120), oracle=117),
                share={"edit": around(share, 0.03), "oracle": around(0.99, 0.03)},
            )
        )  # fmt: skip
    for name in ("sketch", "neon", "watercolor"):
        rows.append(
            KeptRow(key=f"kept-{name}", label=f"{name} style", kind="style",
                    rates=rates(120, base=118, edit=116, oracle=117),
                    share={"edit": around(0.98, 0.02), "oracle": around(0.99, 0.02)})
        )  # fmt: skip
    return Kept(
        rows=tuple(rows),
        mean={"base": around(1, 0), "edit": around(0.98, 0.008), "oracle": around(0.99, 0.008)},
        worst={"edit": around(worst, 0.05), "oracle": around(0.95, 0.04)},
        worst_label="dog",
        neighbours={"edit": around(0.94, 0.03), "oracle": around(0.97, 0.03)},
        nothing=rates(600, base=4, edit=9, oracle=5),
        measures=(
            Measure(name="diversity", label="variety among pictures of one thing", want="high",
                    note="The mean difference of two pictures of the same thing.",
                    values={"base": around(0.213, 0.011), "edit": around(0.209, 0.012),
                            "oracle": around(0.215, 0.011)}),
            Measure(name="drift", label="how far pictures of everything else moved", want="low",
                    note="The mean change of a pixel at the same prompt and seed: 0 is the same "
                    "picture. Two seeds of one thing differ by 0.22 before the edit.",
                    values={"edit": around(0.041, 0.004), "oracle": around(0.18, 0.009)}),
            Measure(name="clip", label="CLIP score", want="high",
                    values={"base": around(0.286, 0.003), "edit": around(0.281, 0.003)}),
        ),
    )  # fmt: skip


def slider(made: Builder) -> tuple[Stop, ...]:
    """A cat at three strengths; at the chosen one it is gone."""
    stops = []
    for i, (factor, shown) in enumerate(((0.0, "cat"), (1.0, "dog"), (2.0, "nothing"))):
        pictures = noisy(4, 60 + i) if shown == "nothing" else draw([[shown]] * 4, 60 + i)
        key = f"strength-{factor:g}"
        prompts = ["a cat", "a photo of a cat", "a dog", "a house"]
        made.group(key, "strength", key, prompts, {"edit": pictures},
                   {"edit": (factor == 0,) * 2 + (False,) * 2})  # fmt: skip
        stops.append(Stop(strength=factor, pictures=key))
    return tuple(stops)


def attack(made: Builder, edit: int = 10) -> AttackResult:
    arms = ("base", "edit", "oracle", "esd", "ascent")
    ladder = [
        ("t1", "1 token", (51, 0, 1, 2, 1)),
        ("t2", "2 tokens", (102, 2, 2, 33, 4)),
        ("t4", "4 tokens", (171, edit, 7, 118, 31)),
        ("t8", "8 tokens", (205, min(4 * edit, 240), 38, 190, 92)),
        ("all", "whole conditioning", (228, 181, 176, 226, 214)),
    ]
    rungs = []
    for key, label, counts in ladder:
        found = rates(240, **dict(zip(arms, counts, strict=True)))
        made.looks(f"concept_inversion/{key}", "cat", found)
        rungs.append(Rung(key=key, label=label, rates=found))
    null = rates(240, base=5, edit=1, oracle=1, esd=1, ascent=1)
    made.looks("concept_inversion/null", "cat", null)
    shown = {"base": 0.71, "edit": edit / 240, "oracle": 0.03, "esd": 0.49, "ascent": 0.13}
    best = {
        arm: BestOf(
            restarts=tuple(range(1, 9)),
            rate=tuple(top * (0.55 + 0.45 * (r / 8) ** 0.5) for r in range(1, 9)),
            se=tuple(0.01 + 0.08 * top * (1 - top) for _ in range(8)),
            pool=24,
        )
        for arm, top in shown.items()
    }
    prompts = [f"a picture of <{i}>" for i in range(8)]
    made.group(
        "attack-t4", "attack", "4 tokens, best of 8 restarts", prompts,
        {
            "base": draw([["cat"]] * 8, 21),
            "edit": torch.cat([noisy(6, 3), draw([["dog"], ["bird"]], 22)]),
            "oracle": torch.cat([noisy(5, 4), draw([["dog"], ["horse"], ["bird"]], 23)]),
            "esd": torch.cat([draw([["cat"]] * 5, 24), noisy(3, 5)]),
        },
        {"base": (True,) * 8, "edit": (False,) * 8, "esd": (True,) * 5 + (False,) * 3},
    )  # fmt: skip
    return AttackResult(
        name="concept_inversion",
        label="Concept Inversion",
        definition="Optimises made-up words until the model draws the attacker's own cat pictures.",
        paper="arXiv:2308.01508",
        confirmatory=True,
        budget={"prompts": 8, "attacker's pictures": 64, "restarts": 24, "gradient samples": 9600,
                "pictures looked at": 8},
        rungs=tuple(rungs),
        headline="t4",
        best_of=best,
        delta_loss={"base": around(0.031, 0.002), "edit": around(-0.004, 0.002),
                    "esd": around(0.027, 0.003), "ascent": around(0.004, 0.003)},
        excess={"edit": around(edit / 240 - 0.03, 0.03), "esd": around(0.46, 0.06),
                "ascent": around(0.10, 0.05)},
        null=null,
        decoys=decoys(made),
        costs={
            arm: Cost(evaluations=241_000, gradients=230_400, pictures=1_440, seconds=214.0 + i)
            for i, arm in enumerate(shown)
        },
        pictures="attack-t4",
    )  # fmt: skip


def decoys(made: Builder, edit: int = 6) -> Decoys:
    each = {"fox": rates(240, base=9, edit=edit), "castle": rates(240, base=5, edit=2)}
    for name, found in each.items():
        made.looks(f"concept_inversion/decoy/{name}", name, found)
    return Decoys(
        rung="t4",
        floors=rates(480, base=14, edit=edit + 2),
        each=each,
        gaps={"base": around(14 / 480 - 7 / 240, 0.03),
              "edit": around((edit + 2) / 480 - 7 / 240, 0.06)},
    )  # fmt: skip


def over_erasure() -> OverErasure:
    arms = ("base", "edit", "oracle", "esd", "ascent")
    named = dict(zip(arms, (0.241, 0.279, 0.274, 0.252, 0.331), strict=True))
    unnamed = dict(zip(arms, (0.288, 0.301, 0.299, 0.291, 0.352), strict=True))
    return OverErasure(
        pictures=32,
        named={arm: around(value, 0.006) for arm, value in named.items()},
        unnamed={arm: around(value, 0.006) for arm, value in unnamed.items()},
        gap={arm: around(value - 0.274, 0.007) for arm, value in named.items() if arm != "oracle"},
    )


def strength(feasible: bool = True) -> Strength:
    points = []
    for i in range(11):
        alpha = 0.25 * i
        gone = round(120 * 0.97 / (1 + np.exp(6 * (alpha - 0.8))))
        found = round(120 * 0.75 / (1 + np.exp(5 * (alpha - 1.1))))
        left = 1 - 0.02 * alpha - 0.05 * max(alpha - 1.7, 0) ** 1.5
        points.append(
            StrengthPoint(
                alpha=alpha, plain=Rate.of(gone, 120), searched=Rate.of(found, 120),
                kept=around(left, 0.01), worst=around(left - 0.05 * alpha, 0.03),
                neighbours=around(left - 0.02 * alpha, 0.02), norm=0.011 * alpha,
            )
        )  # fmt: skip
    return Strength(
        points=tuple(points),
        floors={"plain": 0.01, "searched": 0.05},
        limits={"kept": 0.95, "worst": 0.8, "neighbours": 0.9},
        erased_from=1.62 if feasible else 2.2,
        kept_to=2.05 if feasible else 1.4,
        chosen=1.8 if feasible else None,
        feasible=feasible,
    )


def inversions(made: Builder) -> Inversions:
    rows = []
    for i in range(8):
        key = made.group(
            f"embedding-{i + 1}", "embedding", f"embedding {i + 1}", [f"a picture of <{i}>"] * 4,
            {
                "base": draw([["cat"]] * 4, 40 + i, None),
                "edit": torch.cat([noisy(3, 60 + i), draw([["dog"]], 60 + i)]),
            },
        )  # fmt: skip
        found = rates(20, base=18 - i % 3, edit=i % 2)
        made.looks(f"inverted/{i + 1}", "cat", found)
        rows.append(
            Inverted(label=f"{i + 1}", losses={"base": 0.226 + 0.001 * i, "edit": 0.255},
                     gap=around(0.029 - 0.001 * i, 0.006),
                     rates=found, cluster=(0, 0, 1, 2, 1, 3, 0, 2)[i], pictures=key)
        )  # fmt: skip
    return Inversions(
        rows=tuple(rows), gap=around(0.026, 0.004), size=8, participation=3.4, clusters=4,
        singletons=1 / 8, checked=8, survival=0.31,
    )  # fmt: skip


def blocks() -> Blocks:
    names = ("in", "down.0", "down.1", "down.2", "mid", "up.0", "up.1", "up.2", "out")
    norms = (0.04, 0.21, 0.33, 0.39, 0.41, 0.52, 0.44, 0.24, 0.03)
    gains = (0.002, 0.011, 0.034, 0.028, 0.041, 0.052, 0.022, 0.003, 0.0)
    costs = (0.001, 0.002, 0.003, 0.005, 0.004, 0.007, 0.006, 0.002, -0.0002)
    return Blocks(
        rows=tuple(
            Block(name=name, norm=norm, gain=Estimate(value=gain), cost=Estimate(value=cost),
                  chosen=gain / cost > 5)
            for name, norm, gain, cost in zip(names, norms, gains, costs, strict=True)
        )
    )  # fmt: skip


def record(**changes: Any) -> Report:
    """The whole report; fields of the record can be given in their place."""
    made = Builder()
    prompts = [f"a {style} of a cat" for style in ("picture", "photo", "drawing", "sketch")] * 3
    after = [["dog"], ["horse"], ["bird"], ["fish"], ["dog"], ["flower"], ["bird"], ["horse"],
             ["dog"], ["ball"], ["fish"], ["bird"]]  # fmt: skip
    made.group(
        "concept", "concept", "cat", prompts,
        {"base": draw([["cat"]] * 12, 1, None), "edit": draw(after, 1, None),
         "oracle": draw(after[::-1], 2, None)},
        {"base": (True,) * 12, "edit": (False,) * 12},
    )  # fmt: skip
    for i, (word, kind) in enumerate(
        [("kitten", "synonym"), ("feline", "synonym"), ("tabby", "held_back")]
    ):
        made.group(
            word, kind, word, [f"a {word}"] * 8,
            {"base": draw([["cat"]] * 8, 4 + i), "edit": draw(after[:8], 4 + i)},
            {"base": (True,) * 8, "edit": (False,) * 7 + (kind == "held_back",)},
        )  # fmt: skip
    for i, name in enumerate(("dog", "horse", "bird")):
        same = [[name]] * 8
        made.group(name, "neighbour", name, [f"a {name}"] * 8,
                   {"base": draw(same, 10 + i), "edit": draw(same, 10 + i)})  # fmt: skip
    others = ["house", "car", "apple", "boat", "star", "clock", "tree", "cake"]
    made.group(
        "unrelated",
        "unrelated",
        "everything else",
        [f"a {name}" for name in others],
        {"base": draw([[o] for o in others], 14), "edit": draw([[o] for o in others], 14)},
    )
    made.group("two", "two_objects", "two things", [f"a cat and a {name}" for name in others],
               {"base": draw([["cat", o] for o in others], 15),
                "edit": draw([["dog", o] for o in others], 15)})  # fmt: skip
    concept = {
        "name": "cat", "kind": "object", "synonyms": ["kitten", "feline"], "held_back": ["tabby"],
        "templates": ["{a}", "a picture of {a}"], "neighbours": ["dog", "horse", "bird"],
        "anchor": None, "pictures": None,
    }  # fmt: skip
    recipe = {"method": "task_vector", "settings": {"steps": 200, "lr": 3e-4, "alpha": 1.8,
              "variant": "default"}, "concepts": [concept], "seed": 0, "verified": True,
              "versions": {"excise": "0.1.0"}, "parts": []}  # fmt: skip
    fields: dict[str, Any] = {
        "subject": Subject(
            concepts=(concept,), model="emoji", family="stable-diffusion", fingerprint=HASH,
            edit=EditFacts(method="task_vector", kind="task_vector", digest=HASH, nbytes=9_400_000,
                           strength=1.8, verified=True, recipe=recipe),
        ),
        "arms": ARMS,
        "budget": "standard",
        "seed": 0,
        "seeds": {"find": tuple(range(8)), "choose": tuple(range(100, 108)),
               "select": tuple(range(200, 208)), "score": tuple(range(1000, 1240))},
        "versions": {"excise": "0.1.0", "torch": "2.13.0", "diffusers": "0.42.0"},
        "machine": {"device": "cpu", "precision": "float32", "threads": 2},
        "judges": (
            JudgeFacts(name="judge", role="judge", thresholds={"cat": 0.5},
                       false_alarms=Rate.of(3, 900)),
            JudgeFacts(name="auditor", role="auditor", thresholds={"cat": 0.62},
                       false_alarms=Rate.of(4, 900), note="another architecture, other drawings"),
            JudgeFacts(name="witness", role="witness", thresholds={"cat": 0.4},
                       note="nearest drawing by its edges; nothing is learned"),
        ),
        "rates": plain_rates(made),
        "attacks": (
            attack(made),
            AttackResult(
                name="negative_prompt", label="Free negative prompt", confirmatory=False,
                definition="Searches real words to push away from.",
                rungs=(Rung(key="words", label="4 words",
                            rates=rates(240, base=101, edit=3, oracle=2)),),
                note="It reaches the base in less than half of its pictures.",
            ),
            AttackResult(
                name="completion", label="Completion", kind="injecting", confirmatory=False,
                definition="Half of a picture is given, the model draws the rest.",
                needs=("pictures", "prompts", "start"), what="20 prompts",
                rates=rates(80, base=66, edit=35, oracle=34),
                groups=(
                    Rung(key="name", label="prompts that name it",
                         rates=rates(20, base=19, edit=10, oracle=9)),
                    Rung(key="silent", label="prompts that do not name it",
                         rates=rates(20, base=11, edit=8, oracle=8)),
                ),
                excess={"edit": around(0.01, 0.06)},
            ),
        ),
        "worst_found": WorstFound(
            rates=rates(80, base=78, edit=4, oracle=2),
            chosen={"edit": {"concept_inversion": 20}},
        ),
        "recoveries": (
            Recovery(
                name="relearn", label="Relearn", definition="Trains on k pictures.",
                points=(
                    RecoveryPoint(label="as handed over", cost={"pictures": 0},
                                  rates=rates(40, base=39, edit=0, oracle=0)),
                    RecoveryPoint(label="4 pictures", cost={"pictures": 4, "steps": 100},
                                  rates=rates(40, base=40, edit=21, oracle=12)),
                ),
            ),
        ),
        "left_out": {"swap": "it needs the unedited model"},
        "excess": Excess(attack="concept_inversion", value=0.012, upper=0.058),
        "over_erasure": over_erasure(),
        "kept": kept(),
        "strength": strength(),
        "slider": slider(made),
        "inversions": inversions(made),
        "blocks": blocks(),
        "replacement": Replacement(
            counts={
                "base": {"cat": 463, "dog": 6, "other": 8, "nothing": 3},
                "edit": {"dog": 148, "horse": 92, "bird": 80, "fish": 61, "flower": 40,
                         "other": 50, "nothing": 9},
                "oracle": {"dog": 166, "horse": 81, "bird": 77, "fish": 70, "flower": 31,
                           "other": 48, "nothing": 4, "cat": 3},
            }
        ),
        "agreement": tuple(
            AgreementRow(
                label=label, arm=arm, key=key,
                rates={"judge": Rate.of(k, 240), "auditor": Rate.of(k + 2, 240),
                       "witness": Rate.of(max(k - 4, 0), 240)},
            )
            for label, arm, key, k in [
                ("plain prompts", "base", "plain", 231), ("plain prompts", "edit", "plain", 0),
                ("Concept Inversion", "base", "concept_inversion/t4", 171),
                ("Concept Inversion", "edit", "concept_inversion/t4", 10),
            ]
        ),
        "costs": (
            CostRow(stage="fine-tune", cost=Cost(evaluations=6_400, gradients=6_400, seconds=55.2)),
            CostRow(stage="inversion", cost=Cost(gradients=76_800, evaluations=76_800,
                                                 seconds=94.0)),
            CostRow(stage="strength", cost=Cost(evaluations=92_000, pictures=1_920, seconds=120.5)),
            CostRow(stage="attacks", cost=Cost(evaluations=1_205_000, gradients=1_152_000,
                                               pictures=7_200, seconds=1_081.0,
                                               peak_bytes=1_730_000_000)),
            CostRow(stage="saving", cost=Cost(seconds=0.4, saved_bytes=9_400_000)),
        ),
        "checks": (
            Check(name="power", level="info", found="240 pictures an arm.",
                  meaning="A true excess of 10 points would be seen with probability 93 %."),
            Check(name="judges_agree", level="warning",
                  found="The witness differs by 3.3 points on attacked pictures of the base.",
                  meaning="A rate is as good as the judge that counts.",
                  advice="Look at the pictures under attack."),
        ),
        "notes": ("All figures are of the embedded model; they say nothing about other models.",),
    }  # fmt: skip
    fields |= changes
    fields.setdefault("pictures", tuple(made.groups))
    return Report(
        record=Record(**fields), pictures=made.pictures, scores=Scores.concat(made.scores)
    )
