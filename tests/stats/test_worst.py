from __future__ import annotations

import numpy as np
import pytest

from excise.rng import numpy_generator
from excise.stats import (
    Observations,
    StandardError,
    cluster_bootstrap,
    clustered_se,
    worst_excess,
)

ATTACKS = ("words", "inversion", "guidance", "tokens")


def excesses(rng: np.random.Generator, truth: dict[str, float]) -> dict[str, Observations]:
    """Paired differences of four attacks on the same twelve prompts, eight restarts each."""
    prompt = rng.normal(0, 0.15, (1, 12, 1))
    samples = {}
    for attack, excess in truth.items():
        restart = rng.normal(0, 0.15, (8, 1, 1))
        rate = np.clip(0.2 + excess + prompt + restart, 0, 1)
        edit = rng.random((8, 12, 4)) < rate
        oracle = rng.random((8, 12, 4)) < np.clip(0.2 + prompt + restart, 0, 1)
        index = np.indices(edit.shape)
        samples[attack] = Observations.of(
            (edit.astype(float) - oracle).ravel(),
            {"restart": [f"{attack}/{r}" for r in index[0].ravel()], "prompt": index[1].ravel()},
        )
    return samples


@pytest.mark.parametrize("method", ["max-t", "bonferroni"])
def test_all_attacks_lie_below_their_bounds_together(method: str) -> None:
    rng = numpy_generator("worst", method)
    held = 0
    runs = 250
    for _ in range(runs):
        found = worst_excess(excesses(rng, dict.fromkeys(ATTACKS, 0.0)), rng, draws=200,
                             method=method)  # type: ignore[arg-type]  # fmt: skip
        held += found.upper >= 0 and all(u >= -0.02 for u in found.uppers.values())
        assert found.upper >= found.value
    assert held / runs >= 0.92


def test_ordinary_bounds_would_not_hold_together() -> None:
    # The reason for the joint quantile; with one attack it is the ordinary one.
    rng = numpy_generator("ordinary")
    samples = excesses(rng, dict.fromkeys(ATTACKS, 0.0))
    alone = worst_excess({"words": samples["words"]}, rng)
    together = worst_excess(samples, rng)
    strict = worst_excess(samples, rng, method="bonferroni")
    assert alone.quantile["words"] < together.quantile["words"] <= strict.quantile["words"]


def test_the_largest_is_named_and_bounded() -> None:
    rng = numpy_generator("named")
    found = worst_excess(excesses(rng, {**dict.fromkeys(ATTACKS, 0.0), "guidance": 0.4}), rng)
    assert found.name == "guidance"
    assert found.value == found.values["guidance"]
    assert found.upper == max(found.uppers.values()) > 0.4


def test_of_equals_the_first_is_named_whatever_the_order_of_their_sums() -> None:
    tiny = np.full((8, 12), 1e-17)
    rows = {"a": np.zeros((8, 12)), "b": tiny}
    samples = {name: Observations.crossed(row, ("restart", "prompt")) for name, row in rows.items()}
    turned = dict(reversed(samples.items()))
    assert worst_excess(samples, numpy_generator("equal")).name == "a"
    assert worst_excess(turned, numpy_generator("equal")).name == "b"


def test_an_attack_that_shows_nothing_is_still_uncertain() -> None:
    none = Observations.crossed(np.zeros((8, 12)), ("restart", "prompt"))
    found = worst_excess({"a": none, "b": none}, numpy_generator("none"))
    assert found.value == 0
    assert 0 < found.upper < 0.1
    strict = worst_excess({"a": none, "b": none}, numpy_generator("none"), method="bonferroni")
    assert found.upper == strict.upper  # the draws know nothing, so they lend nothing


def test_attacks_that_vary_leave_room_for_those_that_do_not() -> None:
    # Else both would spend the whole error, and all together up to twice as much.
    rng = numpy_generator("room")
    samples = excesses(rng, dict.fromkeys(ATTACKS, 0.0))
    still = {
        name: Observations.crossed(np.zeros((8, 12)), (f"restart of {name}", "prompt"))
        for name in ("e", "f", "g", "h")
    }
    alone = worst_excess(samples, numpy_generator("a"), level=0.975)
    both = worst_excess(samples | still, numpy_generator("a"), level=0.95)  # half of them vary
    assert both.quantile["words"] == pytest.approx(alone.quantile["words"])
    strict = worst_excess(samples | still, numpy_generator("a"), method="bonferroni")
    assert both.quantile["e"] == pytest.approx(strict.quantile["e"])
    for name in ATTACKS:
        assert both.quantile[name] <= strict.quantile[name]


def test_an_error_that_few_tries_tell_widens_the_bound_by_its_own_freedom() -> None:
    samples = {"words": excesses(numpy_generator("few"), {"words": 0.1})["words"]}
    bound = {
        freedom: worst_excess(
            samples,
            numpy_generator(0),
            extra={"words": (StandardError(value=0.1, freedom=freedom),)},
        )
        for freedom in (2, 1000)
    }
    plain = worst_excess(samples, numpy_generator(0))
    assert bound[2].value == bound[1000].value == plain.value
    assert bound[2].upper > bound[1000].upper > plain.upper
    assert bound[2].quantile["words"] > plain.quantile["words"]


def test_a_search_of_few_restarts_lies_below_its_bound() -> None:
    # The restarts that were drawn move a whole attack; three tries of twelve restarts tell it.
    rng = numpy_generator("restarts")
    held = 0
    runs = 500
    for _ in range(runs):
        shift = rng.normal(0, 0.1)
        samples = {"a": Observations.crossed(shift + rng.normal(0, 0.1, 12), ("prompt",))}
        told = 0.1 * np.sqrt(rng.chisquare(2) / 2)
        extra = {"a": (StandardError(value=told, freedom=2),)}
        found = worst_excess(samples, rng, extra=extra, method="bonferroni")
        held += found.upper >= 0
    assert held / runs >= 0.93


def test_the_same_seed_gives_the_same_bound() -> None:
    samples = excesses(numpy_generator("data"), dict.fromkeys(ATTACKS, 0.1))
    one = worst_excess(samples, numpy_generator("draws"))
    two = worst_excess(samples, numpy_generator("draws"))
    assert one == two


def test_bootstrap_means_spread_as_their_error_says() -> None:
    rng = numpy_generator("spread")
    restart = rng.normal(0, 1, (40, 1))
    data = Observations.crossed(np.repeat(restart, 5, axis=1), ("restart",))
    draws = cluster_bootstrap({"a": data}, rng, 4000)[:, 0]
    assert draws.mean() == pytest.approx(data.mean, abs=0.02)
    assert draws.std() == pytest.approx(clustered_se(data) * np.sqrt(39 / 40), rel=0.05)


def test_what_attacks_share_stays_shared() -> None:
    rng = numpy_generator("shared")
    prompt = np.repeat(rng.normal(0, 1, (1, 30)), 4, axis=0)  # (4, 30), prompts alone matter
    shared = {name: Observations.crossed(prompt, (f"restart of {name}", "prompt")) for name in "ab"}
    own = {name: Observations.crossed(prompt, ("restart", f"prompt of {name}")) for name in "ab"}
    assert np.corrcoef(cluster_bootstrap(shared, rng, 500).T)[0, 1] > 0.99
    assert abs(np.corrcoef(cluster_bootstrap(own, rng, 500).T)[0, 1]) < 0.2


def test_nothing_and_impossible_levels_are_refused() -> None:
    data = Observations.crossed(np.zeros((2, 2)), ("restart", "prompt"))
    with pytest.raises(ValueError, match="at least one attack"):
        worst_excess({}, numpy_generator(0))
    with pytest.raises(ValueError, match="level"):
        worst_excess({"a": data}, numpy_generator(0), level=1.0)
