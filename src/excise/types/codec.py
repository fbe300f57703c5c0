"""Requests as JSON values: tensors and edits by name, everything else inline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from excise.errors import UserError
from excise.types.condition import Condition, Span, Tokens
from excise.types.values import Prompt, digest

if TYPE_CHECKING:
    from excise.types.protocols import EditLike
    from excise.types.request import Request

T = TypeVar("T")
Put = Callable[[Tensor], str]
Get = Callable[[str], Tensor]
START = ("latents", "pictures", "mask")


def request_to_json(
    request: Request, tensors: MutableMapping[str, Tensor] | None
) -> dict[str, Any]:
    """See ``Request.to_json``."""
    if request.holds_tensors and tensors is None:
        raise UserError(
            "this request holds tensors (soft tokens, a condition or a start); "
            "pass a dict for them: request.to_json(tensors)"
        )
    store: MutableMapping[str, Tensor] = {} if tensors is None else tensors

    def put(value: Tensor) -> str:
        name = f"tensor-{digest(value)[:24]}"
        store[name] = value.detach().to("cpu").clone()
        return name

    def texts(prompts: Sequence[Prompt]) -> list[Any]:
        return [_prompt_to_json(prompt, put) for prompt in prompts]

    condition, start, size = request.condition, request.start, request.size
    held = {} if start is None else {name: getattr(start, name) for name in START}
    return {
        "prompts": texts(request.prompts),
        "condition": None if condition is None else _condition_to_json(condition, put),
        "negative": None if request.negative is None else texts(request.negative),
        "seeds": list(request.seeds),
        "steps": request.steps,
        "guidance": request.guidance,
        "scheduler": request.scheduler,
        "terms": [{"prompts": texts(t.prompts), "weight": t.weight} for t in request.terms],
        "start": None
        if start is None
        else {"level": start.level, **{k: put(v) for k, v in held.items() if v is not None}},
        "noise_scale": request.noise_scale,
        # Only where it is set, so that what older versions wrote keeps its hash.
        **({} if request.eta is None else {"eta": request.eta, "eta_scale": request.eta_scale}),
        "size": None if size is None else list(size),
        "edit": None if request.edit is None else request.edit.digest,
    }


def request_from_json(
    data: Mapping[str, Any], tensors: Mapping[str, Tensor], edits: Mapping[str, EditLike]
) -> Request:
    """See ``Request.from_json``."""
    from excise.types.request import Request, Start, Term

    def get(name: str) -> Tensor:
        return _look_up(tensors, name, "tensor")

    def prompts(values: Sequence[Any]) -> tuple[Prompt, ...]:
        return tuple(_prompt_from_json(value, get) for value in values)

    condition, start, negative = data["condition"], data["start"], data["negative"]
    return Request(
        prompts=prompts(data["prompts"]),
        condition=None if condition is None else _condition_from_json(condition, get),
        negative=None if negative is None else prompts(negative),
        seeds=tuple(data["seeds"]),
        steps=data["steps"],
        guidance=data["guidance"],
        scheduler=data["scheduler"],
        terms=tuple(Term(prompts=prompts(t["prompts"]), weight=t["weight"]) for t in data["terms"]),
        start=None
        if start is None
        else Start(level=start["level"], **{k: get(start[k]) for k in START if k in start}),
        noise_scale=data["noise_scale"],
        eta=data.get("eta"),
        eta_scale=data.get("eta_scale", 1.0),
        size=None if data["size"] is None else (data["size"][0], data["size"][1]),
        edit=None if data["edit"] is None else _look_up(edits, data["edit"], "edit"),
    )


def _prompt_to_json(prompt: Prompt, put: Put) -> Any:
    if not prompt.soft:
        return prompt.text
    soft = {word: {name: put(v) for name, v in by.items()} for word, by in prompt.soft.items()}
    return {"text": prompt.text, "soft": soft}


def _prompt_from_json(data: Any, get: Get) -> Prompt:
    if isinstance(data, str):
        return Prompt(data)
    soft = {word: {k: get(v) for k, v in by.items()} for word, by in data["soft"].items()}
    return Prompt(data["text"], soft)


def _condition_to_json(condition: Condition, put: Put) -> dict[str, Any]:
    return {
        "tensors": {name: put(value) for name, value in condition.tensors.items()},
        "tokens": {
            name: {
                "ids": put(tokens.ids),
                "mask": put(tokens.mask),
                "spans": [[[s.word, s.start, s.stop] for s in row] for row in tokens.spans],
            }
            for name, tokens in condition.tokens.items()
        },
    }


def _condition_from_json(data: Mapping[str, Any], get: Get) -> Condition:
    return Condition(
        tensors={name: get(value) for name, value in data["tensors"].items()},
        tokens={
            name: Tokens(
                ids=get(tokens["ids"]),
                mask=get(tokens["mask"]),
                spans=tuple(tuple(Span(*span) for span in row) for row in tokens["spans"]),
            )
            for name, tokens in data["tokens"].items()
        },
    )


def _look_up(table: Mapping[str, T], name: str, what: str) -> T:
    if name not in table:
        raise UserError(f"expected the {what} {name!r} beside the request, got {sorted(table)}")
    return table[name]
