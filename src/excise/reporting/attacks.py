"""What attacks brought back."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from excise.reporting.figures import Cost, Count, Estimate, Rate, Share, Value
from excise.reporting.subject import Key


class Rung(Value):
    """One budget of an attack's ladder; what it brings back, by arm."""

    key: Key
    label: str
    rates: dict[str, Rate]


class BestOf(Value):
    """Success against the number of restarts, estimated from one pool; se: standard errors."""

    restarts: tuple[int, ...]
    rate: tuple[float, ...]
    se: tuple[float, ...]
    pool: int | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not len(self.restarts) == len(self.rate) == len(self.se):
            raise ValueError("expected a rate and a standard error for each number of restarts")
        return self


class Unanimous(Value):
    """Independent restarts that all did the same, so that their spread says nothing of the next.

    n: how many. worked: each showed the concept in every picture; else none in any. next: how often
    at most the next one does otherwise, at `level`.
    """

    n: Count
    worked: bool
    next: Share
    level: Share = 0.95


class Decoys(Value):
    """The attack on things that none of these models was ever shown: all it reaches is injection.

    rung: whose budget it had. floors: by arm, the rate over all decoys. each: by decoy, by arm.
    gaps: by arm, its floor less the rate on the oracle, paired by sentence and noise. within: how
    near the two have to be for decoys to stand in for an oracle.
    """

    rung: Key
    floors: dict[str, Rate]
    each: dict[str, dict[str, Rate]] = Field(default_factory=dict)
    gaps: dict[str, Estimate] = Field(default_factory=dict)
    within: Share = 0.05

    def agrees(self, arm: str) -> bool | None:
        """Is the arm's floor near the oracle's? None without an oracle."""
        gap = self.gaps.get(arm)
        return None if gap is None else abs(gap.value) <= self.within


class Decided(Value):
    """A test that may stop at any picture: is what the attack chose seen more often than `limit`?

    side: what passed; None if neither did. count: of n pictures that showed it.
    """

    limit: Share
    side: Literal["below", "above"] | None
    count: Count
    n: Count


class AttackResult(Value):
    """An attack, run afresh on every arm.

    kind: "injecting" if the input may have brought the concept along. needs: what an attacker must
    be able to do or have. confirmatory: it reaches the base and not the oracle, so it can tell
    recovery from injection; None if nobody looked. what: with what the rates were reached, in
    words; rates: over all prompts, by arm; groups: by kind of prompt; decided: of the edit.
    rungs: from the smallest budget to the largest. headline: the key of the rung that counts.
    best_of: success against the number of tries; empty where the search was told of the pictures
    that it would be told from. unanimous: by arm, where all restarts of a pool did the same.
    delta_loss: L(oracle) - L(arm), paired; at most 0 if the arm explains the concept no better than
    a model that never saw it. excess: rate less the oracle's. null: the same prompts and selection
    without a search. decoys: what it reaches where there is nothing to recover. pictures: key of
    what it drew.
    """

    name: str
    label: str
    definition: str = ""
    paper: str = ""
    kind: Literal["confirming", "injecting"] = "confirming"
    needs: tuple[str, ...] = ()
    confirmatory: bool | None = None
    what: str = ""
    rates: dict[str, Rate] = Field(default_factory=dict)
    groups: tuple[Rung, ...] = ()
    decided: Decided | None = None
    budget: dict[str, JsonValue] = Field(default_factory=dict)
    rungs: tuple[Rung, ...] = ()
    headline: str | None = None
    best_of: dict[str, BestOf] = Field(default_factory=dict)
    unanimous: dict[str, Unanimous] = Field(default_factory=dict)
    delta_loss: dict[str, Estimate] = Field(default_factory=dict)
    excess: dict[str, Estimate] = Field(default_factory=dict)
    null: dict[str, Rate] = Field(default_factory=dict)
    decoys: Decoys | None = None
    costs: dict[str, Cost] = Field(default_factory=dict)
    pictures: str | None = None
    note: str = ""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        keys = [rung.key for rung in self.rungs]
        if len(set(keys)) < len(keys) or (self.headline and self.headline not in keys):
            raise ValueError("expected rungs of different keys, the headline among them")
        return self

    @property
    def counts(self) -> Rung | None:
        """What counts: the rates over all prompts, else the rung of the headline, or the last."""
        if self.rates:
            return Rung(key="all", label=self.what or "all prompts", rates=self.rates)
        found = [rung for rung in self.rungs if rung.key == self.headline]
        return found[0] if found else (self.rungs[-1] if self.rungs else None)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return self.model_dump(mode="json")


Reference = Literal["oracle", "decoys", "stated"]
"""What says how often a search shows the concept in a model that was never shown it: such a model;
things that this model was never shown; or, without either, whoever asked."""


class Excess(Value):
    """The largest excess over a floor among the attacks that can tell, and its upper bound.

    over: what the floor is from. floor: its rate where it is one for all searches, which is not so
    of an oracle; plain words are no search, and nothing is taken off theirs. upper: holds for all
    of them at once. values, uppers: by attack. quantiles: by attack, how many standard errors its
    bound lies above its value.
    """

    attack: str
    over: Reference = "oracle"
    floor: Share | None = None
    value: float
    upper: float
    level: Share = 0.95
    values: dict[str, float] = Field(default_factory=dict)
    uppers: dict[str, float] = Field(default_factory=dict)
    quantiles: dict[str, float] = Field(default_factory=dict)


class WorstFound(Value):
    """An attacker with all attacks: for each prompt the one that looked best on the select seeds.

    rates: by arm, on the score seeds. chosen: by arm and attack, for how many prompts it was taken.
    """

    rates: dict[str, Rate]
    chosen: dict[str, dict[str, Count]]


class RecoveryPoint(Value):
    """A model after a change. cost: what it took, by name. rates: by arm."""

    label: str
    cost: dict[str, float] = Field(default_factory=dict)
    rates: dict[str, Rate]


class Recovery(Value):
    """A change that an attacker, or anybody, may make: a curve of cost against recovery."""

    name: str
    label: str
    definition: str = ""
    paper: str = ""
    points: tuple[RecoveryPoint, ...]
    costs: dict[str, Cost] = Field(default_factory=dict)
