"""Every attack on every model: the same prompts, the same select and score seeds, run afresh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from excise import registry
from excise.attacks.base import Attack, run_attack
from excise.attacks.changing import ChangingAttack, Recovery, run_change
from excise.attacks.concept_inversion import ConceptInversion, Rung
from excise.attacks.result import AttackResult
from excise.errors import BadConcept, NumericalError, Unsupported
from excise.reporting.attempts import NULL, Attempts
from excise.settings import build, recipe
from excise.stats import EProcess
from excise.suite.arms import Arm
from excise.suite.asked import Asked, asked
from excise.suite.bench import Bench, Made
from excise.suite.ladder import Armed, attacked, seeds_of
from excise.types import EditLike, TextToImage

RETURNS = 0.1
"""A cascade ends when the concept is shown to come back more often than this."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Battery:
    """What the attacks reached.

    asked: the prompts. attacks: those that were run. results: by attack and arm. curves: those of
    attacks that change the model. left_out: by attack, why it was not run.
    """

    asked: tuple[Asked, ...]
    attacks: Mapping[str, Attack]
    results: Mapping[str, Mapping[str, AttackResult]]
    curves: Mapping[str, Mapping[str, Recovery]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def attempts(self) -> Attempts:
        """The values that the figures are made from."""
        return Attempts(
            groups=tuple(one.group for one in self.asked),
            kinds={name: (one.kind, one.rewords) for name, one in self.attacks.items()},
            results=self.results,
            curves=self.curves,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Field:
    """What attacks are run with: settings for the model, the attacker's pictures, the base."""

    bench: Bench
    rung: Rung
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """In the order of the budget; where it has none, by what they cost the attacker."""
        wanted = self.bench.sizes.attacks
        if wanted is not None:
            return wanted
        kinds = ("confirming", "injecting", "changing")
        every = [(name, registry.get("attack", name)) for name in registry.names("attack")]
        every.sort(key=lambda row: (kinds.index(row[1].kind), row[0] != NULL, row[0]))
        return tuple(name for name, _ in every)

    def attack(self, name: str) -> Attack:
        """One attack, with what was measured for the model and what the budget allows."""
        sizes = self.bench.sizes
        cls: type[Attack] = registry.get("attack", name)
        found = cls.fitted(self.bench.plain).at(sizes.effort)
        given: dict[str, Any] = dict(self.settings.get(name, {}))
        if "share" in cls.__dataclass_fields__:
            given.setdefault("share", "all" if self.bench.full.pictures is None else "attack")
        if "weighting" in cls.__dataclass_fields__ and self.bench.plain.weighting == "min_snr":
            given.setdefault("weighting", "min_snr")
        if isinstance(found, ConceptInversion):
            given.setdefault("rung", self.rung)
        return build(cls, {**recipe(found), **given}) if given else found

    def missing(self, attack: Attack) -> str | None:
        """Why an attack cannot be run here; None if it can."""
        concept, base = self.bench.full, self.bench.role("base")
        if "base" in attack.needs and base is None:
            return "it needs the unedited model"
        if "pictures" in attack.needs and concept.pictures is None and base is None:
            return "it needs pictures of the concept, or the unedited model, which draws them"
        return None

    @cached_property
    def armed(self) -> Armed:
        """The concept with the attacker's pictures."""
        return attacked(self.bench)

    @cached_property
    def unedited(self) -> TextToImage | None:
        """The base as a model of its own, that an edit on another arm leaves alone."""
        base = self.bench.role("base")
        if base is None:
            return None
        shared = any(
            arm.model is base.model and arm.edit is not None for arm in self.bench.arms.values()
        )
        return base.model.copied() if shared else base.model

    def subject(self, attack: Attack) -> Armed:
        """The concept as the attack is given it."""
        return self.armed if "pictures" in attack.needs else Armed.given(self.bench.full, ())


def fight(
    bench: Bench,
    rung: Rung,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    texts: tuple[Asked, ...] | None = None,
) -> Battery:
    """Run all attacks of the budget on all arms; of a cascade, until one brings the concept back.

    rung: of the token ladder, that Concept Inversion is run on. settings: by attack, beside those
    measured for the model. texts: what is asked in the place of `asked`.

    An attack that cannot take the model or the concept is left out, with the reason. So is one
    that a loss ended which is no finite number; that stands in `Bench.diverged` besides, since
    nothing is known then of what it would have reached.

    Raises:
        UnknownName, BadSetting: as they say.
    """
    ground = Field(bench=bench, rung=rung, settings=settings or {})
    texts = asked(bench) if texts is None else texts
    attacks: dict[str, Attack] = {}
    results: dict[str, dict[str, AttackResult]] = {}
    curves: dict[str, dict[str, Recovery]] = {}
    left_out: dict[str, str] = {}
    over: str | None = None
    for name in ground.names:
        attack = ground.attack(name)
        why = over or ground.missing(attack)
        if why is None:
            try:
                if isinstance(attack, ChangingAttack):
                    curves[name] = dict(_changed(ground, attack, texts))
                else:
                    results[name] = dict(_reached(ground, attack, texts))
                attacks[name] = attack
            except (Unsupported, BadConcept) as error:
                why = str(error)
            except NumericalError as error:
                why = bench.diverged[name.replace("_", " ")] = str(error)
        if why is not None:
            left_out[name] = why
        elif bench.sizes.cascade and name in results and _returned(ground, results[name]):
            over = f"{name.replace('_', ' ')} has brought the concept back"
    return Battery(asked=texts, attacks=attacks, results=results, curves=curves,
                   left_out=left_out)  # fmt: skip


def _reached(
    ground: Field, attack: Attack, texts: tuple[Asked, ...]
) -> Iterator[tuple[str, AttackResult]]:
    bench = ground.bench
    armed = ground.subject(attack)
    select, score = seeds_of(bench)
    base = ground.unedited if "base" in attack.needs else None
    edits: Mapping[str, EditLike] = attack.carried(base)
    key = _key(attack, armed, texts, base, [list(select), list(score), bench.seed])
    for arm in bench.arms.values():

        def run(arm: Arm = arm) -> Made:
            with arm.live() as model:
                found = run_attack(
                    attack,
                    model,
                    armed.concept,
                    tuple(one.prompt for one in texts),
                    bench.judge,
                    select_seeds=select,
                    score_seeds=score,
                    base=base,
                    seed=bench.seed,
                    pool=attack.chooses == "restart",
                    progress=bench.progress,
                )
            made = found.trimmed().artefact()
            return made.tensors, made.record

        yield arm.key, AttackResult.of(bench.kept(f"attack {attack.name}", arm, key, run), edits)


def _changed(
    ground: Field, attack: ChangingAttack, texts: tuple[Asked, ...]
) -> Iterator[tuple[str, Recovery]]:
    bench = ground.bench
    armed = ground.subject(attack)
    _, score = seeds_of(bench)
    naming = by_name(texts)
    base = ground.unedited
    key = _key(attack, armed, naming, base, [list(score), bench.seed])
    for arm in bench.arms.values():

        def run(arm: Arm = arm) -> Made:
            with arm.live() as model:
                made = run_change(
                    attack,
                    model,
                    armed.concept,
                    tuple(one.prompt for one in naming),
                    bench.judge,
                    seeds=score,
                    base=base,
                    seed=bench.seed,
                    progress=bench.progress,
                ).artefact()
            return made.tensors, made.record

        yield arm.key, Recovery.of(bench.kept(f"attack {attack.name}", arm, key, run))


def by_name(texts: Sequence[Asked]) -> list[Asked]:
    """The prompts that a changed model is asked: only by name may it say what it learnt again."""
    return [one for one in texts if one.group in ("name", "synonym")] or list(texts)


def _key(
    attack: Attack,
    armed: Armed,
    texts: Sequence[Asked],
    base: TextToImage | None,
    seeds: list[Any],
) -> dict[str, Any]:
    return {
        "attack": attack.name,
        "settings": recipe(attack),
        "concept": armed.to_json(),
        "prompts": [one.prompt.key for one in texts],
        "base": None if base is None else base.fingerprint(),
        "seeds": seeds,
    }


def _returned(ground: Field, results: Mapping[str, AttackResult]) -> bool:
    """Does the edit show the concept more often than may be, beyond doubt?

    Every attack of the cascade makes a claim of its own, and all of them share the error.
    """
    edit = ground.bench.role("edit")
    if edit is None:
        return False
    claims = sum(registry.get("attack", name).kind != "changing" for name in ground.names)
    hits = results[edit.key].hits
    return EProcess(limit=RETURNS, side="above").passes(int(hits.sum()), hits.size, claims=claims)
