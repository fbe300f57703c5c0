"""The closed forms against dense solves written straight from the papers, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from excise.edit import Dense, Encoded, LowRank
from excise.errors import NumericalError
from excise.primitives.closed_form import (
    Update,
    constrained,
    dominant,
    fitted,
    joined,
    mapped,
    remap,
    removal,
    weakest,
)
from excise.primitives.moments import Moments, Swapped, paired
from excise.rng import generator

D = 24


def draw(*shape: int, of: str = "") -> Tensor:
    return torch.randn(shape, generator=generator("closed form", of, *shape), dtype=torch.float64)


def on(update: Update, w: Tensor) -> Encoded:
    return update.on({"w": w})["w"]


def clustered(n: int, of: str, noise: float = 0.3) -> Tensor:
    """Rows about one long vector, as a text encoder's states are."""
    return 4 * draw(1, D, of=f"{of} mean") + noise * draw(n, D, of=of)


def apart(a: Tensor, b: Tensor) -> float:
    """The relative distance."""
    return float((a - b).norm() / b.norm())


def orthonormal(k: int, of: str = "basis") -> Tensor:
    return torch.linalg.qr(draw(D, k, of=of)).Q


def by_columns(w: Tensor, c: Tensor, g: Tensor, k: Tensor, a: float, b: float, r: float) -> Tensor:
    """UCE's equation 7, one outer product at a time, solved with LU."""
    left, right = r * w, r * torch.eye(D, dtype=torch.float64)
    for c_i, g_i in zip(c, g, strict=True):
        left = left + a * torch.outer(w @ g_i, c_i)
        right = right + a * torch.outer(c_i, c_i)
    for k_j in k:
        left = left + b * torch.outer(w @ k_j, k_j)
        right = right + b * torch.outer(k_j, k_j)
    return torch.linalg.solve(right.T, left.T).T


@pytest.mark.parametrize("kept", [0, 5, 60])
@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize(("erase", "preserve", "ridge"), [(1.0, 1.0, 0.5), (0.3, 2.0, 0.1)])
def test_a_remap_is_the_papers_equation(
    n: int, kept: int, erase: float, preserve: float, ridge: float
) -> None:
    w, c, g, k = draw(10, D), clustered(n, "c"), clustered(n, "g"), clustered(kept, "k")
    wanted = by_columns(w, c, g, k, erase, preserve, ridge) - w
    for given in (k, Moments.of([k[:2], k[2:]])):
        found = remap(c, g, given, erase=erase, preserve=preserve, ridge=ridge)
        assert apart(w @ found.dense(), wanted) < 1e-9
        assert apart(on(found, w).dense(), wanted) < 1e-6
    moments = erase * c.T @ c + preserve * k.T @ k
    assert apart(w @ mapped(erase * (g - c).T @ c, moments, ridge=ridge).dense(), wanted) < 1e-9


@pytest.mark.parametrize("kept", [0, 5, 60])
@pytest.mark.parametrize("n", [D, 3 * D, 40])
def test_moments_are_as_good_as_rows(n: int, kept: int) -> None:
    c, g, k = clustered(n, "c"), clustered(n, "g"), clustered(kept, "k")
    sums = paired(zip(c.split(7), g.split(7), strict=True))
    assert isinstance(sums, Swapped)
    scales = {"erase": 0.7, "preserve": 1.3, "ridge": 0.2}
    wanted = remap(c, g, k, **scales).dense()
    for given in (k, Moments.of([k])):
        assert apart(fitted(sums, given, **scales).dense(), wanted) < 1e-9
        assert apart(fitted((c, g), given, **scales).dense(), wanted) < 1e-9
    alone = remap(c, g, **scales).dense()
    assert apart(fitted(sums, **scales).dense(), alone) < 1e-9
    m = draw(D, D)
    through = remap(c @ m.T, g, k, **scales).dense()
    assert apart(fitted(sums.through(m), k, **scales).dense(), through) < 1e-9


def test_no_weight_does_better_than_the_remap() -> None:
    w, c, g, k = draw(6, D), clustered(4, "c"), clustered(4, "g"), clustered(9, "k")

    def loss(t: Tensor) -> Tensor:
        edited = w @ (torch.eye(D, dtype=torch.float64) + t)
        return (
            0.7 * (c @ edited.T - g @ w.T).square().sum()
            + 1.3 * (k @ edited.T - k @ w.T).square().sum()
            + 0.2 * (edited - w).square().sum()
        )

    best = remap(c, g, k, erase=0.7, preserve=1.3, ridge=0.2).dense()
    least = loss(best)
    for i in range(20):
        assert loss(best + 1e-3 * draw(D, D, of=f"step {i}")) > least
    assert least < 0.7 * loss(torch.zeros_like(best))


def test_with_a_small_ridge_a_source_is_read_as_its_target() -> None:
    w, c, g = draw(6, D), draw(4, D, of="c"), draw(4, D, of="g")
    found = remap(c, g, ridge=1e-9)
    assert apart(found.of_rows(c) @ w.T, g @ w.T) < 1e-6
    still = remap(c, c, ridge=0.5)
    assert torch.equal(still.dense(), torch.zeros(D, D, dtype=torch.float64))


def test_a_problem_without_one_solution_is_said() -> None:
    c = draw(3, D)
    with pytest.raises(NumericalError, match="regularisation above 0"):
        remap(torch.cat([c, c[:1]]), draw(4, D, of="g"), ridge=0.0)


def test_one_update_after_the_other() -> None:
    w = draw(6, D)
    one = remap(draw(2, D, of="c"), draw(2, D, of="g"), ridge=0.5)
    two = remap(draw(3, D, of="e"), draw(3, D, of="h"), ridge=0.5)
    identity = torch.eye(D, dtype=torch.float64)
    wanted = w @ (identity + one.dense()) @ (identity + two.dense())
    both = one.then(two)
    assert apart(w + w @ both.dense(), wanted) < 1e-12
    assert both.right.shape == (5, D)
    assert torch.equal(Update.none(D).then(one).dense(), one.then(Update.none(D)).dense())
    rows = draw(4, D, of="x")
    assert apart(both.of_rows(rows) @ w.T, rows @ wanted.T) < 1e-12


def test_a_delta_is_the_smaller_of_factors_and_dense_and_exact_either_way() -> None:
    w = draw(8, D).float()
    for n, kind in ((1, LowRank), (5, LowRank), (7, Dense), (60, Dense)):
        found = remap(draw(n, D, of="c"), draw(n, D, of="g"), ridge=0.5)
        delta = on(found, w)
        assert isinstance(delta, kind), n
        assert delta.nbytes <= w.nbytes
        assert delta.shape == (8, D)
        assert apart(delta.dense().double(), w.double() @ found.dense()) < 1e-6


def test_no_digits_are_lost_between_factors() -> None:
    """Nearly equal names with other targets give large factors that cancel."""
    w = draw(8, D).float()
    c = draw(1, D, of="c") + 1e-6 * draw(3, D, of="near")
    found = remap(c, draw(3, D, of="g"), ridge=1e-9)
    assert apart(on(found, w).dense().double(), w.double() @ found.dense()) < 1e-6


def test_a_wider_weight_reads_in_its_first_columns() -> None:
    w = draw(8, D + 6).float()
    found = remap(draw(2, D, of="c"), draw(2, D, of="g"), ridge=0.5)
    delta = on(found, w).dense()
    assert delta.shape == w.shape
    assert not delta[:, D:].any()
    assert apart(delta[:, :D].double(), w[:, :D].double() @ found.dense()) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_weight_in_half_precision_gets_a_delta_in_single(dtype: torch.dtype) -> None:
    w = draw(8, D).to(dtype)
    found = remap(draw(2, D, of="c"), draw(2, D, of="g"), ridge=0.5)
    assert apart(on(found, w).dense().double(), w.double() @ found.dense()) < 1e-6


def paper(
    w: Tensor, c: Tensor, g: Tensor, basis: Tensor, k: Tensor, ridge: float, slack: float
) -> Tensor:
    """SPEED's closed form as it stands in the paper, with its inverses."""
    n, identity = len(c), torch.eye(D, dtype=torch.float64)
    s_tt, s_at = c.T @ c / n, g.T @ c / n
    p = identity - basis @ basis.T
    m = torch.linalg.inv(s_tt @ p + ridge * identity)
    inner = torch.linalg.inv(k @ p @ m @ k.T + slack * torch.eye(len(k), dtype=torch.float64))
    return w @ (s_at - s_tt) @ p @ (identity - m @ k.T @ inner @ k @ p) @ m


@pytest.mark.parametrize("slack", [0.0, 0.5])
@pytest.mark.parametrize(("n", "ridge"), [(1, 1.0), (6, 0.05), (40, 0.7)])
def test_a_constrained_solve_is_the_papers_equation(n: int, ridge: float, slack: float) -> None:
    w, c, g = draw(10, D), clustered(n, "c"), clustered(n, "g")
    basis, k = orthonormal(7), clustered(4, "k")
    wanted = paper(w, c, g, basis, k, ridge, slack)
    found = constrained(c, g, basis, k, ridge=ridge, slack=slack)
    assert apart(w @ found.dense(), wanted) < 1e-8
    free = constrained(c, g, basis, ridge=ridge)
    assert apart(w @ free.dense(), paper(w, c, g, basis, k[:0], ridge, slack)) < 1e-10
    assert apart(w @ free.dense(), wanted) > 1e-3  # the invariants did ask for something


def test_names_that_are_given_many_times_count_many_times() -> None:
    w, c, g, basis = draw(10, D), clustered(2, "c"), clustered(2, "g"), orthonormal(3)
    k = clustered(4, "k")
    often = [0] * 30 + [1] * 10
    found = w @ constrained(c[often], g[often], basis, k).dense()
    assert apart(found, paper(w, c[often], g[often], basis, k, 1.0, 0.0)) < 1e-8
    assert apart(found, w @ constrained(c, g, basis, k).dense()) > 1e-3


@pytest.mark.parametrize("n", [1, 6, 40])
@pytest.mark.parametrize("invariants", ["free", "dependent", "among what is kept"])
def test_invariants_and_what_is_kept_are_read_as_before(n: int, invariants: str) -> None:
    w, c, g = 10 * draw(10, D), 5 * clustered(n, "c"), 5 * clustered(n, "g")
    basis, k = orthonormal(7), 5 * clustered(4, "k", noise=1e-3)
    if invariants == "dependent":
        k = torch.cat([k, k[:2] - k[1:3], 0 * k[:1]])
    elif invariants == "among what is kept":
        k = torch.cat([k[:2], draw(2, 7, of="in") @ basis.T])
    delta = w @ constrained(c, g, basis, k, slack=0.0).dense()
    scale = delta.norm() * k.norm()
    assert delta.norm() > 1e-2 * w.norm()  # it still does something
    assert (delta @ k.T).norm() < 1e-9 * scale
    assert (delta @ basis).norm() < 1e-9 * delta.norm()
    slack = w @ constrained(c, g, basis, k, slack=0.5).dense()
    assert (slack @ k.T).norm() > 1e-6 * scale or invariants == "among what is kept"


def test_confined_to_the_null_space_preserved_outputs_do_not_change() -> None:
    w, kept = draw(10, D), clustered(5, "k")
    update = remap(clustered(3, "c"), clustered(3, "g"), ridge=0.5)
    basis = joined(kept.new_zeros(D, 0), kept)
    assert basis.shape == (D, 5)
    before = kept @ w.T
    assert apart(update.of_rows(kept) @ w.T, before) > 1e-3
    confined = update.outside(basis)
    assert apart(confined.of_rows(kept) @ w.T, before) < 1e-13
    other = draw(4, D, of="other")
    other = other - other @ basis @ basis.T
    assert apart(confined.of_rows(other), update.of_rows(other)) < 1e-13


def test_an_orthogonal_projection_reads_nothing_of_what_it_removes() -> None:
    basis = orthonormal(3)
    gone = removal(basis)
    rows = draw(6, D, of="x")
    assert (gone.of_rows(rows) @ basis).norm() < 1e-13
    assert apart(gone.of_rows(gone.of_rows(rows)), gone.of_rows(rows)) < 1e-13
    other = rows - rows @ basis @ basis.T
    assert apart(gone.of_rows(other), other) < 1e-13


@pytest.mark.parametrize("n", [5, 24, 90])
def test_dominant_directions_are_those_of_the_moment(n: int) -> None:
    rows = draw(n, D) * torch.logspace(1, -6, D, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    for threshold in (1e-4, 0.1, 20.0):
        found = dominant(rows, threshold)
        wanted = vectors[:, values >= threshold]
        assert found.shape == wanted.shape
        assert found.shape[1] < D
        assert apart(found @ found.T, wanted @ wanted.T) < 1e-8
        assert torch.allclose(found.T @ found, torch.eye(found.shape[1], dtype=torch.float64))
    assert dominant(0 * rows, 0.1).shape == (D, 0)


@pytest.mark.parametrize("outer", [10, 24, 50])
def test_the_weakest_direction_is_the_last_singular_one(outer: int) -> None:
    w = draw(outer, D)
    last = torch.linalg.svd(w, full_matrices=False).Vh[-1]
    assert abs(float(weakest(w.float()) @ last)) == pytest.approx(1, abs=1e-5)
    assert float(weakest(w).norm()) == pytest.approx(1)
