from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from tests.erasers.working import work_on

from excise.erasers.concept_prune import ConceptPrune, layers
from excise.errors import BadSetting
from excise.models.load import of_pipeline
from excise.primitives.activations import column_norms
from excise.primitives.saliency import held, importance, joined
from excise.rng import seed_of
from excise.types import Concept, Prompt, Request

CAT = Concept("cat", neighbours=("dog",))
RED = Concept("red", kind="style", neighbours=("x",))


def small(**settings: Any) -> ConceptPrune:
    return ConceptPrune(**{"prompts": 2, "first": 2, "sampling_steps": 4, **settings})


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def test_only_second_feed_forward_layers_and_exactly_to_zero(model: Any) -> None:
    edit = small(share=0.1).run(model, CAT)
    assert edit.deltas
    assert all(name.endswith(".ff.net.2.weight") for name in edit.deltas)
    before = {name: w.detach().clone() for name, w in model.parameters(tuple(edit.deltas)).items()}
    with edit.applied(model):
        for name, weight in model.parameters(tuple(edit.deltas)).items():
            changed = edit.dense(name) != 0
            assert changed.any()
            assert not weight.detach()[changed].any()
            assert torch.equal(weight.detach()[~changed], before[name][~changed])


def test_of_each_row_the_stated_share_at_each_step(model: Any) -> None:
    work = work_on(model, CAT)
    for first in (1, 2):
        for name, mask in small(share=0.1, first=first).mask(work, CAT).items():
            most = int(0.1 * mask.shape[1])
            assert 1 <= int(mask.sum(dim=1).max()) <= first * most, name
    found = small(share=0.1).erase(model, CAT)
    assert sum(found.record["pruned"].values()) == found.record["each"][0]
    assert found.record["each"][0] == sum(
        int((found.edit.dense(name) != 0).sum()) for name in found.edit.deltas
    )


def test_what_is_pruned_scores_higher_with_the_concept_at_some_step(model: Any) -> None:
    work, method = work_on(model, CAT), small(share=0.2)
    own, without = method.pairs(work, CAT)
    weights = layers(model)

    def norms(prompts: tuple[Prompt, ...]) -> Any:
        seeds = tuple(seed_of("concept prune", 0, i) for i in range(len(prompts)))
        request = Request(prompts=prompts, seeds=seeds, steps=4, guidance=7.5)
        return column_norms(model, request, 2, tuple(weights))

    target, base = norms(own), norms(without)
    mask = method.mask(work, CAT)
    for name, weight in weights.items():
        expected = torch.zeros_like(mask[f"{name}.weight"])
        for step in range(2):
            a = importance(weight, target[step][name])
            b = importance(weight, base[step][name])
            count = int(0.2 * a.shape[1])
            top = a >= a.sort(dim=1, descending=True).values[:, count - 1 : count]
            expected |= top & (a > b)
        assert torch.equal(mask[f"{name}.weight"], expected)
    assert not torch.equal(
        joined([mask])[f"{name}.weight"], small(share=0.2).mask(work, RED)[f"{name}.weight"]
    )


def test_pairs_are_things_with_the_concept_and_without(model: Any) -> None:
    work = work_on(model, CAT)
    for concept, words in ((CAT, ("cat", "dog")), (RED, ("red", "x"))):
        own, without = small(prompts=3).pairs(work, concept)
        assert len(own) == len(without) == 3
        for one, other in zip(own, without, strict=True):
            assert words[0] in one.text.split()
            assert words[0] not in other.text.split()
            assert other.text.split()[-1] in one.text
    mark = Concept("a picture of the tree", kind="implicit")
    assert small().pairs(work, mark) == ((Prompt(mark.name),) * 2, (Prompt(""),) * 2)


def test_concepts_together_are_the_union(model: Any) -> None:
    both = work_on(model, CAT, RED)
    masks = [small().mask(both, concept) for concept in (CAT, RED)]
    found = small().erase(model, (CAT, RED))
    assert found.record["each"] == [held(mask) for mask in masks]
    for name, mask in joined(masks).items():
        zeroed = (
            found.edit.dense(name) != 0 if name in found.edit.deltas else torch.zeros_like(mask)
        )
        assert torch.equal(zeroed, mask)


def test_styles_lose_half_as_much_unless_told(model: Any) -> None:
    work = work_on(model, CAT, RED)
    style = small(first=1).mask(work, RED)
    for name, mask in style.items():
        assert torch.equal(mask, small(first=1, share=0.01).mask(work, RED)[name])


def test_mistakes_are_said() -> None:
    for settings in ({"share": 0.0}, {"prompts": 0}, {"first": 50}):
        with pytest.raises(BadSetting, match=f"concept_prune: expected {next(iter(settings))}"):
            ConceptPrune(**settings)  # type: ignore[arg-type]
