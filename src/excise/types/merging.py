"""Many small requests as few large ones, since pictures that are drawn together cost less each."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from excise.errors import UserError
from excise.types.condition import Condition
from excise.types.request import Request, Start, Term
from excise.types.values import Prompt

MOST = 256
"""Pictures in one request: several of the largest batch that a model cuts, few enough to hold."""

Pieces = list[tuple[Request, list[int]]]
"""Requests, with the numbers of their rows that are meant."""


def merged(requests: Sequence[Request], most: int = MOST) -> Iterator[tuple[list[int], Request]]:
    """Few requests that draw the pictures of many, each of at most `most`.

    With each come the numbers of its pictures, counted through all requests in order: after
    ``values[numbers] = ...`` for each, ``values`` is in the order of the requests. Those that
    differ in more than texts, rows of condition, seeds and starts are not merged. What is merged
    with what depends on the requests alone, and of a picture only the last bits on its company.

    Raises:
        UserError: `most` below 1.
    """
    if most < 1:
        raise UserError(f"expected at least 1 picture a request, got {most}")
    kinds: dict[Hashable, list[tuple[int, Request, int]]] = {}
    begun = 0
    for request in requests:
        rows = kinds.setdefault(_kind(request), [])
        rows += [(begun + row, request, row) for row in range(len(request))]
        begun += len(request)
    for rows in kinds.values():
        for i in range(0, len(rows), most):
            part = rows[i : i + most]
            pieces: Pieces = []
            for _, request, row in part:
                if pieces and pieces[-1][0] is request:
                    pieces[-1][1].append(row)
                else:
                    pieces.append((request, [row]))
            yield [number for number, _, _ in part], _joined(pieces)


def _kind(request: Request) -> Hashable:
    """What has to be the same in two requests for one to draw the pictures of both."""
    cond, start = request.condition, request.start
    return (
        request.steps,
        request.guidance,
        request.scheduler,
        request.noise_scale,
        request.eta,
        request.eta_scale,
        request.size,
        None if request.edit is None else request.edit.digest,
        bool(request.prompts),
        request.negative is None,
        tuple(term.weight for term in request.terms),
        None
        if cond is None
        else (
            frozenset((name, _form(value)) for name, value in cond.tensors.items()),
            frozenset((name, _form(cut.ids)) for name, cut in cond.tokens.items()),
        ),
        None
        if start is None
        else (start.level, _form(start.latents), _form(start.pictures), _form(start.mask)),
    )


def _form(value: Tensor | None) -> Hashable:
    return None if value is None else (value.shape[1:], value.dtype, value.device)


def _joined(pieces: Pieces) -> Request:
    """One request for rows of requests of one kind; a whole request stays itself."""
    first, rows = pieces[0]
    if len(pieces) == 1 and rows == list(range(len(first))):
        return first
    return replace(
        first,
        prompts=_texts([(one.prompts, rows) for one, rows in pieces]),
        condition=_condition(pieces),
        negative=None
        if first.negative is None
        else _texts([(one.negative or (), rows) for one, rows in pieces]),
        seeds=tuple(one.seeds[row] for one, rows in pieces for row in rows),
        terms=tuple(
            Term(
                prompts=_texts([(one.terms[i].prompts, rows) for one, rows in pieces]),
                weight=term.weight,
            )
            for i, term in enumerate(first.terms)
        ),
        start=_start(pieces),
    )


def _texts(pieces: Sequence[tuple[tuple[Prompt, ...], list[int]]]) -> tuple[Prompt, ...]:
    """One prompt a picture, or the one that all share."""
    picked = tuple(
        texts[0 if len(texts) == 1 else row] for texts, rows in pieces if texts for row in rows
    )
    return picked[:1] if len(set(picked)) == 1 else picked


def _condition(pieces: Pieces) -> Condition | None:
    conds = [(one.condition, rows) for one, rows in pieces if one.condition is not None]
    if not conds or _shared([cond for cond, _ in conds]):
        return pieces[0][0].condition
    return Condition.cat(
        [cond[[0] * len(rows) if len(cond) == 1 else rows] for cond, rows in conds]
    )


def _start(pieces: Pieces) -> Start | None:
    first = pieces[0][0].start
    starts = [(one.start, rows) for one, rows in pieces if one.start is not None]
    if first is None:
        return None
    return Start(
        latents=_tensor([(start.latents, rows) for start, rows in starts]),
        pictures=_tensor([(start.pictures, rows) for start, rows in starts]),
        level=first.level,
        mask=_tensor([(start.mask, rows) for start, rows in starts]),
    )


def _tensor(pieces: Sequence[tuple[Tensor | None, list[int]]]) -> Tensor | None:
    values = [(value, rows) for value, rows in pieces if value is not None]
    if not values or _shared([value for value, _ in values]):
        return pieces[0][0]
    return torch.cat(
        [value[[0] * len(rows) if len(value) == 1 else rows] for value, rows in values]
    )


def _shared(values: Sequence[Tensor] | Sequence[Condition]) -> bool:
    """Is it one row, the same for all, that need not be repeated?"""
    return len(values[0]) == 1 and all(value is values[0] for value in values)
