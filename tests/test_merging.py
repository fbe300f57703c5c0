"""Many requests as few: the same pictures are asked for, whatever is merged with what."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from excise.errors import UserError
from excise.types import Condition, Prompt, Request, Start, Term, TextToImage, digest, merged

SOFT = tuple(Prompt("a <1>", {"<1>": {"text_encoder": torch.full((2, 3), v)}}) for v in (0.0, 1.0))
TEXTS = (Prompt("a cat"), Prompt("a dog"), *SOFT)


@dataclass(frozen=True)
class Named:
    """An edit that does nothing."""

    digest: str

    def applied(self, model: TextToImage) -> AbstractContextManager[Any]:
        return nullcontext()


def rows(draw: st.DrawFn, n: int, *shape: int) -> Tensor:
    """One row, or one a picture."""
    seed = draw(st.integers(0, 2**31))
    many = draw(st.sampled_from([1, n]))
    return torch.rand(many, *shape, generator=torch.Generator().manual_seed(seed))


def texts(draw: st.DrawFn, n: int) -> tuple[Prompt, ...]:
    many = draw(st.sampled_from([1, n]))
    return tuple(draw(st.lists(st.sampled_from(TEXTS), min_size=many, max_size=many)))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    n = draw(st.integers(1, 4))
    conditioned = draw(st.booleans())
    prompts = () if conditioned and draw(st.booleans()) else texts(draw, n)
    hidden = {"hidden": rows(draw, n, draw(st.sampled_from([2, 3])), 4)} if conditioned else None
    started = draw(st.booleans())
    return Request(
        prompts=prompts,
        condition=None if hidden is None else Condition(tensors=hidden),
        negative=draw(st.sampled_from([None, texts(draw, n)])),
        seeds=tuple(draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))),
        steps=draw(st.sampled_from([None, 3])),
        guidance=draw(st.sampled_from([None, 1.0])),
        terms=(Term(prompts=texts(draw, n), weight=-1.0),) if draw(st.booleans()) else (),
        start=Start(latents=rows(draw, n, 4, 2, 2), mask=rows(draw, n, 1, 4, 4))
        if started
        else None,
        edit=draw(st.sampled_from([None, Named("a"), Named("b")])),
    )


def at(request: Request, row: int) -> list[Any]:
    """All that one picture of a request depends on."""

    def one(values: Any) -> Any:
        return (
            values[0 if len(values) == 1 else row] if values is not None and len(values) else None
        )

    start, cond = request.start, request.condition
    found: list[Any] = [
        one(request.prompts),
        one(request.negative),
        request.seeds[row],
        request.steps,
        request.guidance,
        [(one(term.prompts), term.weight) for term in request.terms],
        None if request.edit is None else request.edit.digest,
    ]
    if cond is not None:
        found += [digest(one(value)) for value in cond.tensors.values()]
    if start is not None:
        found += [start.level, digest(one(start.latents)), digest(one(start.mask))]
    return found


@given(st.lists(requests(), max_size=8), st.integers(1, 9))
def test_every_picture_is_asked_for_once_and_as_before(many: list[Request], most: int) -> None:
    wanted = [at(request, row) for request in many for row in range(len(request))]
    found: dict[int, list[Any]] = {}
    for numbers, request in merged(many, most):
        assert len(numbers) == len(request) <= most
        for row, number in enumerate(numbers):
            assert number not in found
            found[number] = at(request, row)
    assert [found[number] for number in range(len(wanted))] == wanted


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 20))
def test_requests_of_one_kind_become_as_few_as_can_be(sizes: list[int], most: int) -> None:
    many = [
        Request(prompts=(TEXTS[i % len(TEXTS)],), seeds=tuple(range(n)))
        for i, n in enumerate(sizes)
    ]
    few = list(merged(many, most))
    assert len(few) == -(-sum(sizes) // most)
    assert [number for numbers, _ in few for number in numbers] == list(range(sum(sizes)))


def test_a_request_by_itself_is_left_as_it_is() -> None:
    one = Request(prompts="a cat", seeds=(0, 1, 2))
    ((numbers, same),) = merged([one])
    assert same is one
    assert numbers == [0, 1, 2]
    assert list(merged([])) == []
    ((_, twice),) = merged([one, one])
    assert twice.seeds == (0, 1, 2, 0, 1, 2)


def test_what_all_share_is_not_repeated() -> None:
    cond = Condition(tensors={"hidden": torch.rand(1, 3, 4)})
    start = Start(latents=torch.rand(1, 4, 2, 2))
    one = Request(prompts="a cat", condition=cond, start=start)
    ((_, request),) = merged([one.on(0, 1), one.on(2), one.on(3, 4)])
    assert request.seeds == (0, 1, 2, 3, 4)
    assert len(request.prompts) == 1
    assert request.condition is cond
    assert request.start is not None
    assert request.start.latents is start.latents


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 4}, {"guidance": 2.0}, {"scheduler": "euler"}, {"noise_scale": 0.5},
        {"size": (64, 64)}, {"edit": Named("a")}, {"negative": ("a dog",)},
        {"terms": (Term(prompts=("a dog",), weight=1.0),)},  # type: ignore[arg-type]
        {"condition": Condition(tensors={"hidden": torch.rand(1, 3, 4)})},
        {"start": Start(latents=torch.rand(1, 4, 2, 2))},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_what_differs_in_more_than_rows_is_kept_apart(change: dict[str, Any]) -> None:
    one = Request(prompts="a cat")
    other = replace(one, **change)
    few = list(merged([one, other, one.on(1), other.on(1)]))
    assert [numbers for numbers, _ in few] == [[0, 2], [1, 3]]


def test_no_pictures_at_a_time_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        list(merged([Request(prompts="a cat")], 0))
