from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from excise.edit import Edit, LowRank
from excise.erasers.base import Eraser
from excise.erasers.rece import RECE
from excise.erasers.uce import UCE
from excise.errors import BadSetting, Unsupported
from excise.models.load import of_pipeline
from excise.primitives import readers
from excise.types import Concept, TextToImage

CAT = Concept("cat", synonyms=("red cat",), neighbours=("dog",), anchor="tree")
STYLE = Concept("photo", kind="style", anchor="x")


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def rows(model: TextToImage, texts: list[str], position: slice | None = None) -> Tensor:
    """By the text alone: the last word's state, or states from it on."""
    cond = model.encode(texts)
    tokens, hidden = cond.tokens["text_encoder"], cond.hidden.double()
    if position is not None:
        return hidden[:, position].flatten(0, 1)
    return torch.stack([hidden[i, tokens.last(i)] for i in range(len(texts))])


def equation_7(
    w: Tensor, c: Tensor, g: Tensor, k: Tensor, a: float, b: float, lam: float
) -> Tensor:
    """W' of the paper, from columns."""
    identity = torch.eye(w.shape[1], dtype=torch.float64)
    left = lam * w + a * (w @ g.T) @ c + b * (w @ k.T) @ k
    right = lam * identity + a * c.T @ c + b * k.T @ k
    return left @ torch.linalg.inv(right)


def edited(model: TextToImage, edit: Edit) -> dict[str, tuple[Tensor, Tensor]]:
    live = model.parameters("*")
    return {n: (live[n].detach().double(), edit.dense(n).double()) for n in edit.deltas}


@pytest.mark.parametrize(
    "settings", [{}, {"erase_scale": 0.5, "preserve_scale": 2.0, "ridge": 0.1}, {"guide": ""}]
)
def test_it_is_the_papers_equation(model: TextToImage, settings: dict[str, Any]) -> None:
    found = UCE(**settings).erase(model, (CAT, STYLE))
    sources = ["cat", "red cat", "photo"]
    targets = ["", "", ""] if settings.get("guide") == "" else ["tree", "tree", "x"]
    assert found.record["swaps"] == [list(pair) for pair in zip(sources, targets, strict=True)]
    assert "dog" in found.record["kept"]
    a, b = settings.get("erase_scale", 1.0), settings.get("preserve_scale", 1.0)
    c, g, k = (rows(model, texts) for texts in (sources, targets, found.record["kept"]))
    weights = edited(model, found.edit)
    assert set(weights) == {p.weight for p in model.text_projections()}
    for w, delta in weights.values():
        wanted = equation_7(w, c, g, k, a, b, settings.get("ridge", 0.5)) - w
        assert (delta - wanted).norm() < 1e-4 * wanted.norm()


def test_the_first_codes_states_are_aligned_from_the_last_word_on(model: TextToImage) -> None:
    edit = UCE(tokens="padded_tail", retain="empty").run(model, Concept("red cat", anchor="dog"))
    length = model.encode("").hidden.shape[1]
    c = rows(model, ["red cat"], slice(2, length))
    g = rows(model, ["dog"], slice(1, length - 1))
    k = rows(model, [""], slice(None))
    for w, delta in edited(model, edit).values():
        wanted = equation_7(w, c, g, k, 1, 1, 0.5) - w
        assert (delta - wanted).norm() < 1e-4 * wanted.norm()


def test_the_word_is_read_as_its_guide_and_others_as_before(model: TextToImage) -> None:
    edit = UCE(ridge=1e-3).run(model, CAT)
    cat, tree, dog = (rows(model, [t]) for t in ("cat", "tree", "dog"))
    for w, delta in edited(model, edit).values():
        before = ((cat - tree) @ w.T).norm()
        assert (cat @ (w + delta).T - tree @ w.T).norm() < 0.05 * before
        assert (dog @ delta.T).norm() < 0.05 * before


def test_one_name_costs_rank_one_and_a_concept_that_is_its_own_guide_nothing(
    model: TextToImage,
) -> None:
    edit = UCE().run(model, Concept("cat", anchor="tree"))
    assert all(isinstance(d, LowRank) and d.up.shape[1] == 1 for d in edit.deltas.values())
    assert not UCE().run(model, Concept("cat", anchor="cat")).deltas


@pytest.mark.parametrize("method", [UCE(), UCE(tokens="padded_tail"), RECE(retain="kept")])
def test_of_many_prompts_only_some_are_there_at_once(
    monkeypatch: pytest.MonkeyPatch, method: Eraser
) -> None:
    """Whatever their number, a closed form over them takes memory of their states' width alone."""
    model = of_pipeline(tiny.stable_diffusion(), "tiny")
    monkeypatch.setattr(model, "known", tuple(Concept(f"tree {i}") for i in range(300)))
    sizes: list[int] = []
    there: list[tuple[StorageWeakRef, int]] = []
    encoded = readers._encoded

    def watched(model: Any, mentions: Any) -> Any:
        found = encoded(model, mentions)
        sizes.append(len(found))
        there.append((StorageWeakRef(found.tensors["hidden"].untyped_storage()), len(found)))
        assert sum(rows for ref, rows in there if not ref.expired()) <= 4 * readers.CHUNK
        return found

    monkeypatch.setattr(readers, "_encoded", watched)
    names = tuple(f"cat {i}" for i in range(300))
    assert method.run(model, Concept("cat", synonyms=names, anchor="dog")).deltas
    assert max(sizes) <= readers.CHUNK
    assert sum(sizes) > 900  # the names, what is read in their place, and what is kept


def test_which_weights_change_by_family() -> None:
    def changed(family: str, method: UCE) -> set[str]:
        other = of_pipeline(tiny.FAMILIES[family](), family)
        edit = method.run(other, Concept("cat", anchor="tree"))
        kinds = {p.weight: p.kind for p in other.text_projections()}
        assert set(edit.deltas) <= set(kinds)
        return {kinds[name] for name in edit.deltas}

    assert changed("sdxl", UCE()) == {"key", "value"}
    assert changed("sdxl", UCE(kinds=("pooled",))) == {"pooled"}
    assert changed("sd3", UCE()) == {"context"}
    sd3 = of_pipeline(tiny.sd3(), "sd3")
    assert changed("sd3", UCE.fitted(sd3)) == {"context", "pooled"}
    with pytest.raises(Unsupported, match="set kinds"):
        UCE(kinds=("key",)).run(sd3, CAT)


def test_what_no_prompt_names_is_refused(model: TextToImage) -> None:
    with pytest.raises(Unsupported, match="uce: .* implicit"):
        UCE().run(model, Concept("mark", kind="implicit"))


def test_mistakes_are_said() -> None:
    for settings in ({"ridge": 0.0}, {"erase_scale": -1.0}, {"preserve_scale": -1.0},
                     {"tokens": "some"}, {"retain": "most"}):  # fmt: skip
        with pytest.raises(BadSetting, match=f"uce: expected {next(iter(settings))}"):
            UCE(**settings)  # type: ignore[arg-type]
