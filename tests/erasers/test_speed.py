from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.erasers.speed import CENTROIDS, MANY, SPEED, Prior, with_copies
from excise.errors import BadSetting, Unsupported
from excise.models.load import of_pipeline
from excise.primitives.closed_form import constrained, dominant, weakest
from excise.primitives.clusters import centroids
from excise.rng import generator
from excise.types import Concept, TextToImage

CAT = Concept("cat", anchor="tree", neighbours=("dog",))
D = 20


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def draw(*shape: int, of: str) -> Tensor:
    return torch.randn(shape, generator=generator("speed", of), dtype=torch.float64)


def prior(m: int = 12, n: int = 2, **settings: Any) -> Prior:
    size = torch.logspace(0.5, -1.5, D, dtype=torch.float64)
    made = {name: draw(k, D, of=name) * size for name, k in
            (("sources", n), ("targets", n), ("rows", m))}  # fmt: skip
    return Prior(**made, **settings)


def last(model: TextToImage, texts: list[str]) -> Tensor:
    cond = model.encode(texts)
    tokens = cond.tokens["text_encoder"]
    return torch.stack([cond.hidden[i, tokens.last(i)] for i in range(len(texts))]).double()


@pytest.mark.parametrize("slack", [0.0, 0.5])
def test_it_is_the_papers_equation(model: TextToImage, slack: float) -> None:
    """With what the paper calls its three refinements but the invariants off."""
    method = SPEED(filtered=False, augment=0, slack=slack, threshold=5.0)
    found = method.erase(model, (CAT, Concept("red cat")))
    c, g = last(model, ["cat", "red cat"]), last(model, ["tree", ""])
    kept = last(model, found.record["kept"])
    values, vectors = torch.linalg.eigh(kept.T @ kept / len(kept))
    basis = vectors[:, values >= 5.0]
    assert 0 < basis.shape[1] < 32
    p = torch.eye(32, dtype=torch.float64) - basis @ basis.T
    empty = model.encode("").hidden[0].double()
    k = torch.cat([empty[:1], centroids(empty[1:], CENTROIDS)]).T
    s_tt, s_at = c.T @ c / 2, g.T @ c / 2
    m = torch.linalg.inv(s_tt @ p + torch.eye(32, dtype=torch.float64))
    inner = torch.linalg.inv(k.T @ p @ m @ k + slack * torch.eye(4, dtype=torch.float64))
    turned = (s_at - s_tt) @ p @ (torch.eye(32) - m @ k @ inner @ k.T @ p) @ m
    assert all(".to_v." in name for name in found.edit.deltas)
    assert len(found.edit.deltas) == len(model.text_projections()) // 2
    for name in found.edit.deltas:
        wanted = model.parameters("*")[name].detach().double() @ turned
        assert (found.edit.dense(name) - wanted).norm() < 1e-4 * wanted.norm()
        assert found.record["closed"][name] == basis.shape[1]


def test_the_empty_prompt_and_what_is_kept_are_read_as_before(model: TextToImage) -> None:
    """All that is kept, with a threshold that closes every direction of it."""
    found = SPEED(filtered=False, augment=0, threshold=1e-9, retain="empty").erase(model, CAT)
    empty = model.encode("").hidden[0].double()
    fixed = torch.cat([empty[:1], centroids(empty[1:], CENTROIDS)])
    cat, tree = last(model, ["cat", "tree"])[:, None]
    for name in found.edit.deltas:
        w, delta = model.parameters("*")[name].detach().double(), found.edit.dense(name).double()
        assert (fixed @ delta.T).norm() < 1e-5 * (fixed @ w.T).norm()  # float32 in the file
        after = (cat @ (w + delta).T - tree @ w.T).norm()
        assert after < 0.5 * ((cat - tree) @ w.T).norm()


@pytest.mark.parametrize("outer", [8, 20, 40])
def test_invariants_hold_with_filter_and_copies(outer: int) -> None:
    made, weight = prior(threshold=0.05), draw(outer, D, of="w")
    basis = made.basis(weight, generator("z"))
    fixed = draw(4, D, of="k")
    delta = weight @ constrained(made.sources, made.targets, basis, fixed).dense()
    assert (delta @ fixed.T).norm() < 1e-9 * delta.norm()
    assert (delta @ basis).norm() < 1e-9 * delta.norm()
    assert delta.norm() > 1e-6 * weight.norm()


def test_what_the_edit_hardly_moves_is_left_out() -> None:
    made, weight = prior(filtered=True, augment=0, threshold=1e-6), draw(8, D, of="w")
    n = len(made.sources)
    s_tt = made.sources.T @ made.sources / n
    s_at = made.targets.T @ made.sources / n
    free = weight @ (s_at - s_tt) @ torch.linalg.inv(torch.eye(D, dtype=torch.float64) + s_tt)
    moved = (made.rows @ free.T).norm(dim=1)
    most = made.rows[moved > moved.mean()]
    assert 0 < len(most) < len(made.rows)
    found = made.basis(weight, generator("z"))
    wanted = dominant(most / math.sqrt(len(most)), 1e-6)
    assert (found @ found.T - wanted @ wanted.T).norm() < 1e-8
    every = prior(filtered=False, augment=0, threshold=1e-6).basis(weight, generator("z"))
    assert every.shape[1] > found.shape[1]


def test_copies_are_those_of_the_paper_that_the_edit_moves_most() -> None:
    made, weight = prior(filtered=False, augment=3, threshold=0.02), draw(8, D, of="w")
    n = len(made.sources)
    s_tt = made.sources.T @ made.sources / n
    s_at = made.targets.T @ made.sources / n
    free = weight @ (s_at - s_tt) @ torch.linalg.inv(torch.eye(D, dtype=torch.float64) + s_tt)
    z = torch.randn(len(made.rows), 3, generator=generator("z"), dtype=torch.float64)
    copies = (made.rows[:, None] + z[..., None] * weakest(weight)).flatten(0, 1)
    moved = (copies @ free.T).norm(dim=1)
    every = torch.cat([made.rows, copies[moved > moved.mean()]])
    wanted = dominant(every / math.sqrt(len(every)), 0.02)
    found = made.basis(weight, generator("z"))
    assert found.shape == wanted.shape
    assert (found @ found.T - wanted @ wanted.T).norm() < 1e-6
    assert torch.equal(found, made.basis(weight, generator("z")))
    other = made.basis(weight, generator("other"))
    assert other.shape != found.shape or (other - found).norm() > 1e-6


def test_rows_with_copies_have_the_moment_of_all_of_them() -> None:
    rows, v = draw(5, D, of="rows"), draw(D, of="v")
    v, z = v / v.norm(), draw(5, 4, of="z")
    there = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 1, 1]])
    copies = (rows[:, None] + z[..., None] * v)[there.bool()]
    every = torch.cat([rows, copies])
    found = with_copies(rows, v, z, there.bool())
    assert found.shape == (6, D)
    assert torch.allclose(found.T @ found, every.T @ every / len(every), atol=1e-12)


def dense(model: TextToImage, found: Any, ridge: float = 1.0) -> dict[str, Tensor]:
    """By weight, what the paper and the authors' code compute, each row and copy as it stands.

    All is float64, with inverses and full decompositions, and the numbers that a run with seed 0
    draws for the copies.
    """
    texts = [text for pair in found.record["swaps"] for text in pair]
    c, g = last(model, texts[::2]), last(model, texts[1::2])
    kept, eye = last(model, found.record["kept"]), torch.eye(32, dtype=torch.float64)
    empty = model.encode("").hidden[0].double()
    k = torch.cat([empty[:1], centroids(empty[1:], CENTROIDS)]).T
    s_tt, s_at = c.T @ c / len(c), g.T @ c / len(c)
    updates = {}
    for name in found.edit.deltas:
        w = model.parameters("*")[name].detach().double()
        free = w @ (s_at - s_tt) @ torch.linalg.inv(eye + s_tt)
        rows, moved = kept, (kept @ free.T).norm(dim=1)
        if found.record["filtered"]:
            rows = kept[moved > moved.mean()]
            assert 0 < len(rows) < len(kept)
        v = torch.linalg.svd(w).Vh[min(w.shape) - 1]
        v = v * torch.sign(v @ weakest(w))  # either sign is right, and the numbers go with one
        z = torch.randn(len(rows), 10, generator=generator("speed", 0, name), dtype=torch.float64)
        copies = (rows[:, None] + z[..., None] * v).flatten(0, 1)
        moved = (copies @ free.T).norm(dim=1)
        rows = torch.cat([rows, copies[moved > moved.mean()]])
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        assert found.record["closed"][name] == int((values >= 0.1).sum()) < 32
        null = vectors[:, values < 0.1]
        p = null @ null.T
        m = torch.linalg.inv(s_tt @ p + ridge * eye)
        inner = torch.linalg.inv(k.T @ p @ m @ k)
        updates[name] = w @ (s_at - s_tt) @ p @ (eye - m @ k @ inner @ k.T @ p) @ m
    return updates


@pytest.mark.parametrize("n", [1, MANY])
def test_as_it_comes_it_is_the_whole_method_solved_densely(model: TextToImage, n: int) -> None:
    """Filter, copies, null space and invariants, from prompts to deltas."""
    names = ("cat", "red cat", "x", "photo", "red x", "style", "picture", "the cat", "cat x", "x x")
    concepts = tuple(Concept(name, anchor="tree") for name in names[:n])
    found = SPEED().erase(model, concepts)
    assert found.record["filtered"] == (n == 1)
    for name, wanted in dense(model, found).items():
        assert wanted.norm() > 1e-3 * model.parameters("*")[name].norm()
        assert (found.edit.dense(name) - wanted).norm() < 1e-4 * wanted.norm()


def test_the_filter_is_on_for_few_concepts_unless_one_says_otherwise(model: TextToImage) -> None:
    many = tuple(Concept(f"cat {'x ' * i}x", anchor="tree") for i in range(MANY))
    for filtered, concepts, used in (
        (None, many[:3], True), (None, many[:-1], True), (None, many, False),
        (True, many, True), (False, many[:1], False),
    ):  # fmt: skip
        record = SPEED(filtered=filtered, augment=0).erase(model, concepts).record
        assert record["filtered"] is used


def test_mistakes_are_said(model: TextToImage) -> None:
    for settings in ({"ridge": 0.0}, {"threshold": 0.0}, {"tokens": "some"}, {"retain": "most"},
                     {"slack": -1.0}, {"augment": -1}):  # fmt: skip
        with pytest.raises(BadSetting, match=f"speed: expected {next(iter(settings))}"):
            SPEED(**settings)  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match="speed: .* implicit"):
        SPEED().run(model, Concept("mark", kind="implicit"))
