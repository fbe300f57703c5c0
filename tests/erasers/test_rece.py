from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.erasers.rece import RECE, gram_of, recalling
from excise.erasers.uce import UCE
from excise.errors import BadSetting, Unsupported
from excise.models.load import of_pipeline
from excise.primitives.closed_form import remap
from excise.rng import generator
from excise.types import Concept, Condition, Request, TextToImage

CAT, DOG = Concept("cat", anchor="tree"), Concept("dog")


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def draw(*shape: int, of: str) -> Tensor:
    return torch.randn(shape, generator=generator("rece", of), dtype=torch.float64)


def derived(before: list[Tensor], after: list[Tensor], e: Tensor, ridge: float) -> Tensor:
    """The paper's e', a sum over layers."""
    d = e.shape[1]
    left = ridge * torch.eye(d, dtype=torch.float64) + sum(w.T @ w for w in after)
    right = sum(w_new.T @ w_old for w_new, w_old in zip(after, before, strict=True))
    return (torch.linalg.inv(left) @ right @ e.T).T


@pytest.mark.parametrize("ridge", [0.1, 1e-3])
def test_the_derived_embedding_is_the_papers(ridge: float) -> None:
    before = [draw(o, 12, of=f"w{o}") for o in (5, 8, 20)]
    update = remap(draw(3, 12, of="c"), draw(3, 12, of="g"), ridge=0.5)
    after = [w + w @ update.dense() for w in before]
    e = draw(4, 12, of="e")
    found = e @ recalling(gram_of(before, 12), update, ridge).T
    wanted = derived(before, after, e, ridge)
    assert (found - wanted).norm() < 1e-9 * wanted.norm()
    # Through the edited weights it says what the name said through the original ones.
    miss = sum((found @ a.T - e @ b.T).norm() for a, b in zip(after, before, strict=True))
    plain = sum((e @ a.T - e @ b.T).norm() for a, b in zip(after, before, strict=True))
    assert miss < 0.1 * plain


@torch.no_grad()
@pytest.mark.parametrize("concepts", [(CAT,), (CAT, DOG)])  # fewer states than their width, and not
def test_every_epoch_is_the_papers_edit_of_the_weights_of_that_moment(
    model: TextToImage, concepts: tuple[Concept, ...]
) -> None:
    found = RECE(epochs=2, derive_ridge=0.05).erase(model, concepts)
    hidden = model.encode(["cat", "dog", "tree", ""]).hidden.double()
    *named, tree, empty = hidden if DOG in concepts else hidden[[0, 2, 3]]
    guides = [tree, empty][: len(concepts)]
    length = len(empty)
    live = model.parameters("*")
    names = [p.weight for p in model.text_projections()]
    original = [live[n].detach().double() for n in names]

    def edit(weights: list[Tensor], c: Tensor, g: Tensor, beta: float, lam: float) -> list[Tensor]:
        right = lam * torch.eye(c.shape[1], dtype=torch.float64) + c.T @ c + beta * empty.T @ empty
        inverse = torch.linalg.inv(right)
        return [(lam * w + w @ g.T @ c + beta * w @ empty.T @ empty) @ inverse for w in weights]

    c = torch.cat([name[1:] for name in named])
    weights = edit(original, c, torch.cat([tree[1:], empty[: length - 1]])[: len(c)], 1.0, 0.5)
    start = UCE(tokens="padded_tail", retain="empty").run(model, concepts)
    for name, w, old in zip(names, weights, original, strict=True):
        assert (start.dense(name) - (w - old)).norm() < 1e-4 * (w - old).norm()
    for epoch in range(2):
        e = derived(original, weights, torch.cat(named), 0.05)
        if len(e) < e.shape[1]:
            assert (found.tensors[f"derived-0-{epoch}"] - e).norm() < 1e-5 * e.norm()
        else:  # more than that are never held side by side
            assert not found.tensors
        weights = edit(weights, e, torch.cat(guides), 0.1, 0.1)
    for name, w, old in zip(names, weights, original, strict=True):
        assert (found.edit.dense(name) - (w - old)).norm() < 1e-4 * (w - old).norm()


@torch.no_grad()
def test_what_was_derived_is_no_longer_recalled(model: TextToImage) -> None:
    found = RECE(retain="none", start_preserve_scale=0.0).erase(model, CAT)
    e = found.tensors["derived-0-0"].double()
    cat, tree = model.encode(["cat", "tree"]).hidden.double()
    start = UCE(tokens="padded_tail", retain="none").run(model, CAT)
    near, far = 0.0, 0.0
    for name in found.edit.deltas:
        w = model.parameters("*")[name].detach().double()
        once, twice = w + start.dense(name).double(), w + found.edit.dense(name).double()
        near += float((e @ once.T - cat @ w.T).norm() / ((cat - tree) @ w.T).norm())
        far += float((e @ twice.T - cat @ w.T).norm() / ((cat - tree) @ w.T).norm())
    assert near < 0.5 * far


def test_a_style_is_derived_with_less_regularisation(model: TextToImage) -> None:
    style = Concept("photo", kind="style")
    assert RECE().erase(model, CAT).record["derive_ridge"] == 0.1
    assert RECE().erase(model, style).record["derive_ridge"] == 1e-3
    assert RECE(derive_ridge=0.5).erase(model, style).record["derive_ridge"] == 0.5


def test_mistakes_are_said(model: TextToImage) -> None:
    for settings in ({"epochs": 0}, {"derive_ridge": 0.0}, {"preserve_scale": -1.0},
                     {"start_preserve_scale": -1.0}, {"retain": "most"}):  # fmt: skip
        with pytest.raises(BadSetting, match=f"rece: expected {next(iter(settings))}"):
            RECE(**settings)  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match="rece: .* implicit"):
        RECE().run(model, Concept("mark", kind="implicit"))


@pytest.mark.slow
def test_what_was_derived_brings_the_concept_back_until_the_next_step() -> None:
    """On the embedded model: its judge sees the concept five times as often as for plain words."""
    import excise
    from excise.judges.classifier import Classifier
    from excise.models.load import ASSETS

    model: Any = excise.load("emoji")
    judge, seeds = Classifier(folder=str(ASSETS / "judge")), tuple(range(24))
    cat = Concept("cat")

    def hits(**what: Any) -> int:
        pictures = model.generate(Request(seeds=seeds, **what)).uint8()
        return int(judge.score(pictures, cat).shown.sum())

    words = {"prompts": tuple("cat" if seed % 2 else "a cat" for seed in seeds)}
    assert hits(**words) > 20
    found = RECE().erase(model, cat)
    length = model.encode("cat").hidden.shape[1]
    first = found.tensors["derived-0-0"][:length]  # (L, d), of the name itself
    derived = {"condition": Condition(tensors={"hidden": first[None]})}
    with UCE(tokens="padded_tail", retain="empty").run(model, cat).applied(model):
        plain, back = hits(**words), hits(**derived)
    assert back >= 5 * max(plain, 1), (plain, back)
    with found.edit.applied(model):
        assert (hits(**words), hits(**derived)) <= (1, back // 5)
