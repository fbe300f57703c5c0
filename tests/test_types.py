from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from excise.errors import BadConcept, UserError
from excise.progress import SILENT
from excise.progress import Progress as RealProgress
from excise.types import (
    Concept,
    Condition,
    Costs,
    EditLike,
    Progress,
    Prompt,
    Request,
    Samples,
    Score,
    Span,
    Start,
    Term,
    Tokens,
    digest,
    fill,
)


def condition(n: int = 3) -> Condition:
    ids = torch.arange(n * 4).view(n, 4)
    mask = torch.tensor([[True, True, True, False]]).expand(n, -1)
    spans = tuple((Span(f"w{i}", 1, 2),) for i in range(n))
    return Condition(
        tensors={"hidden": torch.randn(n, 4, 5), "kind": torch.arange(n)},
        tokens={"text_encoder": Tokens(ids=ids, mask=mask, spans=spans)},
    )


def same(a: Condition, b: Condition) -> bool:
    return (
        a.tensors.keys() == b.tensors.keys()
        and all(torch.equal(a.tensors[k], b.tensors[k]) for k in a.tensors)
        and a.tokens.keys() == b.tokens.keys()
        and all(a.tokens[k].spans == b.tokens[k].spans for k in a.tokens)
        and all(torch.equal(a.tokens[k].ids, b.tokens[k].ids) for k in a.tokens)
    )


def test_rows_go_together() -> None:
    c = condition(3)
    assert same(Condition.cat([c[:1], c[1:]]), c)
    assert same(c[[2, 0]], Condition.cat([c[[2]], c[[0]]]))
    assert same(c[torch.tensor([True, False, True])], c[[0, 2]])
    assert same(c[torch.tensor([1])], c[1:2])
    assert [s[0].word for s in c[[2, 0]].tokens["text_encoder"].spans] == ["w2", "w0"]
    assert same(c[:1].expand(3), c[[0, 0, 0]])
    assert same(c[:2].repeat(2), c[[0, 0, 1, 1]])
    assert len(c[:0]) == 0
    with pytest.raises(UserError, match="1 or 5"):
        c.expand(5)


def test_a_condition_is_frozen_and_of_one_length() -> None:
    c = condition()
    with pytest.raises(TypeError):
        c.tensors["hidden"] = torch.zeros(3)  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        c.tensors = {}  # type: ignore[misc]
    with pytest.raises(UserError, match="same number of rows"):
        c.replace(hidden=torch.zeros(2, 4, 5))
    with pytest.raises(UserError, match="equal names"):
        Condition.cat([c, c.replace(more=torch.zeros(3, 1))])
    with pytest.raises(UserError):
        Condition(tensors={})


def test_maps_touch_floats_alone() -> None:
    c = condition()
    doubled = c.map(lambda value: 2 * value)
    assert torch.equal(doubled.hidden, 2 * c.hidden)
    assert torch.equal(doubled.tensors["kind"], c.tensors["kind"])
    learnt = c.map(lambda value: value.clone().requires_grad_())
    assert learnt.requires_grad
    assert not learnt.detach().requires_grad
    half = c.to("cpu", torch.float16)
    assert half.hidden.dtype == torch.float16
    assert half.tensors["kind"].dtype == torch.int64


def test_phrases_are_found_whole() -> None:
    row = (Span("A", 1, 2), Span("hot", 2, 3), Span("dog,", 3, 5), Span("dog", 6, 7))
    tokens = Tokens(ids=torch.zeros(1, 9), mask=torch.ones(1, 9).bool(), spans=(row,))
    assert tokens.find(0, "hot dog") == (2, 5)
    assert tokens.find(0, "Dog") == (3, 5)
    assert tokens.find(0, "ho") is None
    assert tokens.find(0, "") is None
    assert tokens.last(0) == 7


def test_prompts_compare_by_what_they_say() -> None:
    one = Prompt("a <1>", {"<1>": {"text_encoder": torch.ones(1, 3)}})
    same_one = Prompt("a <1>", {"<1>": {"text_encoder": torch.ones(1, 3)}})
    other = Prompt("a <1>", {"<1>": {"text_encoder": torch.zeros(1, 3)}})
    assert one == same_one != other
    assert len({one, same_one, other, Prompt("a <1>")}) == 3
    assert Prompt.of("a cat") == Prompt.of(["a cat"]) == (Prompt("a cat"),)
    for text, vectors in (
        ("no token", torch.ones(1, 3)),
        ("<1> <1>", torch.ones(1, 3)),
        ("<1>", torch.ones(3)),
        ("<1>", torch.ones(0, 3)),
    ):
        with pytest.raises(UserError):
            Prompt(text, {"<1>": {"text_encoder": vectors}})


def test_a_concept_says_its_prompts() -> None:
    cat = Concept("cat", synonyms=["kitten"], templates=("{a}", "the {}"))  # type: ignore[arg-type]
    assert cat.names == ("cat", "kitten")
    assert [p.text for p in cat.prompts()] == ["a cat", "a kitten", "the cat", "the kitten"]
    assert fill("{a} and {}", "apple") == "an apple and apple"
    assert [p.text for p in cat.prompts(["dog"], ["{}!"])] == ["dog!"]
    assert json.loads(json.dumps(cat.to_json()))["name"] == "cat"
    assert Concept("sketch", kind="style").prompts()
    bad: list[dict[str, Any]] = [
        {"name": " "},
        {"name": "cat", "kind": "animal"},
        {"name": "cat", "templates": ("a photo",)},
        {"name": "cat", "synonyms": "kitten"},
    ]
    for fields in bad:
        with pytest.raises(BadConcept):
            Concept(**fields)


soft_prompts = st.builds(
    lambda seed: Prompt("a <1>", {"<1>": {"text_encoder": torch.full((2, 3), float(seed))}}),
    st.integers(0, 3),
)
prompts = st.one_of(st.text(max_size=8).map(Prompt), soft_prompts)


@given(
    prompts=st.lists(prompts, min_size=2, max_size=2),
    negative=st.one_of(st.none(), st.lists(prompts, min_size=1, max_size=1)),
    guidance=st.one_of(st.none(), st.floats(0, 20)),
    start=st.one_of(
        st.none(),
        st.builds(
            lambda level, mask: Start(
                latents=torch.ones(1, 4, 2, 2), level=level, mask=torch.ones(1, 1, 8, 8) * mask
            ),
            st.floats(0.1, 1),
            st.integers(0, 1),
        ),
    ),
    terms=st.lists(
        st.builds(lambda p, w: Term(prompts=(p,), weight=w), prompts, st.floats(-2, 2)), max_size=2
    ),
    seeds=st.lists(st.integers(0, 2**40), min_size=2, max_size=2),
)
def test_a_request_survives_json(
    prompts: Any, negative: Any, guidance: Any, start: Any, terms: Any, seeds: Any
) -> None:
    request = Request(
        prompts=tuple(prompts),
        condition=condition(2),
        negative=None if negative is None else tuple(negative),
        seeds=tuple(seeds),
        guidance=guidance,
        scheduler="ddim",
        terms=tuple(terms),
        start=start,
        size=(8, 16),
    )
    tensors: dict[str, torch.Tensor] = {}
    data = json.loads(json.dumps(request.to_json(tensors)))
    again = Request.from_json(data, tensors)
    assert again.to_json({}) == data
    assert again.prompts == request.prompts
    assert again.condition is not None
    assert same(again.condition, request.condition)  # type: ignore[arg-type]
    assert again.seeds == request.seeds
    assert again.size == (8, 16)
    assert (again.start is None) == (start is None)


def test_a_request_of_words_needs_no_tensors() -> None:
    request = Request(prompts="a cat", seeds=(1, 2), terms=(Term(prompts="dog", weight=1),))  # type: ignore[arg-type]
    assert not request.holds_tensors
    assert Request.from_json(request.to_json()).to_json() == request.to_json()
    assert len(request.on(5, 6, 7)) == 3
    with pytest.raises(UserError, match="tensors"):
        replace(request, condition=condition(1)).to_json()
    data = replace(request, condition=condition(1)).to_json({})
    with pytest.raises(UserError, match="beside the request"):
        Request.from_json(data)


def test_an_edit_is_kept_by_its_digest() -> None:
    class Edit:
        digest = "abc"

        def applied(self, model: Any) -> Any:
            return model

    edit = Edit()
    assert isinstance(edit, EditLike)
    data = Request(prompts=("a",), edit=edit).to_json()
    assert data["edit"] == "abc"
    assert Request.from_json(data, edits={"abc": edit}).edit is edit


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompts": ("a",), "seeds": ()},
        {"prompts": ("a", "b"), "seeds": (1, 2, 3)},
        {"prompts": ("a",), "negative": ("b", "c")},
        {"prompts": ("a",), "condition": condition(2)},
        {"prompts": ("a",), "steps": 0},
        {"prompts": ("a",), "seeds": (1, 2, 3), "terms": (Term(prompts=("a", "b"), weight=1.0),)},
    ],
)
def test_a_request_that_does_not_add_up_is_refused(fields: Any) -> None:
    with pytest.raises(UserError, match="expected"):
        Request(**fields)


def test_starts_are_one_or_the_other() -> None:
    z = torch.zeros(1, 4, 2, 2)
    for fields in ({}, {"latents": z, "pictures": z}, {"latents": z, "level": 0.0}):
        with pytest.raises(UserError):
            Start(**fields)  # type: ignore[arg-type]


def test_pictures_as_numbers_and_bytes() -> None:
    request = Request(prompts=("a",))
    floats = Samples(pictures=torch.rand(2, 3, 4, 4), request=request)
    bytes_ = Samples(pictures=floats.uint8(), request=request)
    assert torch.equal(bytes_.uint8(), floats.uint8())
    torch.testing.assert_close(bytes_.float(), floats.float(), rtol=0, atol=0.51 / 255)
    assert bytes_.digest == floats.digest
    assert len(bytes_) == 2


def test_scores_and_costs() -> None:
    score = Score(concept="cat", judge="j", values=torch.tensor([0.2, 0.5, 0.9]), threshold=0.5)
    assert score.shown.tolist() == [False, True, True]
    assert score.rate == pytest.approx(2 / 3)
    a = Costs(evaluations=5, gradients=1, pictures=2, seconds=1.5, peak_bytes=10)
    b = Costs(evaluations=9, gradients=1, pictures=2, seconds=2.0, peak_bytes=30)
    assert (b - a).evaluations == 4
    assert (b - a).peak_bytes == 30
    assert (b - a + a).to_json() == b.to_json()


def test_digests_tell_values_shapes_and_types_apart() -> None:
    z = torch.zeros(4)
    others = [z.view(2, 2), z.double(), z.int(), torch.zeros(5), z - 1e-20]
    assert len({digest(t) for t in (z, *others)}) == 6
    assert digest(torch.arange(6.0).view(2, 3).t()) == digest(
        torch.arange(6.0).view(2, 3).t().contiguous()
    )
    assert len(digest(torch.tensor(1.0))) == len(digest(torch.zeros(0))) == 64


def test_the_two_descriptions_of_progress_agree() -> None:
    def methods(protocol: Any) -> set[str]:
        return {name for name in vars(protocol) if not name.startswith("_")}

    assert methods(Progress) == methods(RealProgress)
    assert isinstance(SILENT, Progress)
