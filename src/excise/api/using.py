"""What is done with models and edits: draw, bake, hand over, merge, look into."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from excise.api.loading import EditSource, Source, edit_of, load
from excise.api.reading import check_read
from excise.edit import Edit
from excise.errors import BadFile, UserError
from excise.models.load import embedded
from excise.reporting import Report
from excise.reporting.images import sheet
from excise.store import check_writable, write_bytes
from excise.types import Prompt, Request, Samples


def generate(
    model: Source,
    prompts: str | Prompt | Sequence[str | Prompt],
    *,
    edit: EditSource | None = None,
    seeds: Sequence[int] | None = None,
    negative: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Samples:
    """Draw pictures, with an edit or without.

    prompts: one a picture, or one for all. seeds: one a picture; left out, 0, 1, 2, ...
    out: a ``.png`` for one sheet of all pictures, or a folder for a file each.

    Raises:
        UserError: a prompt that the model does not read to its end. BadFile: no such edit, or a
            place that cannot be written to. WrongBase: an edit of another model.
    """
    texts = Prompt.of(prompts)
    goal = None if out is None else _goal(Path(out))
    request = Request(
        prompts=texts,
        seeds=tuple(range(len(texts)) if seeds is None else seeds),
        negative=None if negative is None else Prompt.of(negative),
        steps=steps,
        guidance=guidance,
    )
    live = load(model)
    check_read(live, (*texts, *(request.negative or ())), "prompts")
    with ExitStack() as stack:
        if edit is not None:
            stack.enter_context(edit_of(edit).applied(live))
        samples = live.generate(request)
    if goal is not None:
        pictures = samples.uint8().cpu()
        if goal.suffix == ".png":
            write_bytes(goal, sheet(pictures, 8))
        else:
            for i, seed in enumerate(request.seeds):
                write_bytes(goal / f"{i:03d}-seed-{seed}.png", sheet(pictures[i : i + 1], 1))
    return samples


def _goal(goal: Path) -> Path:
    """A file or a folder to draw to. Raises BadFile."""
    if goal.suffix.lower() in (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"):
        raise BadFile(f"expected a folder, or a name that ends in .png, got {goal}; name one")
    check_writable(goal if goal.suffix == ".png" else goal / "000.png")
    return goal


def apply(
    model: Source, edit: EditSource, out: str | os.PathLike[str], *, transfer: bool = False
) -> Path:
    """Write the whole model with the edit in its weights to a new folder that diffusers loads.

    transfer: accept a fine-tune of the model that the edit was made for.

    Raises:
        WrongBase: another model. Unsupported: an edit with hooks. BadFile: the folder is not empty.
    """
    edit_of(edit).bake(load(model), Path(out), transfer=transfer)
    return Path(out)


def export(
    model: Source, edit: EditSource, out: str | os.PathLike[str], *, transfer: bool = False
) -> Path:
    """Write the weights that the edit changes, and no others, to a ``.safetensors`` file.

    Raises as `apply`.
    """
    edit_of(edit).export(load(model), Path(out), transfer=transfer)
    return Path(out)


def merge(
    edits: Sequence[EditSource],
    *,
    weights: Sequence[float] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Edit:
    """Several edits of one model as one: their sum, each times its weight if there are weights.

    Raises:
        UserError: no edit, or as many weights as there are not. WrongBase: of different models.
    """
    if not edits or (weights is not None and len(weights) != len(edits)):
        raise UserError(
            f"expected one or more edits, and a weight for each or none, got {len(edits)} edits "
            f"and {'no' if weights is None else len(weights)} weights"
        )
    parts = [edit_of(edit) for edit in edits]
    if weights is not None:
        parts = [part * weight for part, weight in zip(parts, weights, strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    if out is not None:
        total.save(Path(out))
    return total


def info(source: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file or a folder is, as JSON values: an edit, a report, or a model.

    Raises:
        BadFile: it is none of these.
    """
    path = Path(source)
    if path.name == "report.json" or (path / "report.json").exists():
        found = Report.load(path)
        subject = found.record.subject.model_dump(mode="json")
        return {"is": "report", "verdict": found.verdict.model_dump(mode="json"), **subject}
    if path.suffix == ".safetensors" and path.exists():
        return {"is": "edit", **_edit(Edit.load(path))}
    if str(source) in embedded() or (path / "model_index.json").exists():
        return {"is": "model", **_model(load(source))}
    raise BadFile(
        f"expected an edit (.safetensors), a report's folder, or a model's name or folder, got "
        f"{str(source)!r}; embedded models: {', '.join(embedded()) or 'none'}"
    )


def _edit(edit: Edit) -> dict[str, Any]:
    return {
        "kind": edit.kind,
        "digest": edit.digest,
        "bytes": edit.nbytes,
        "tensors": len(edit.deltas),
        "hooks": [type(hook).__name__ for hook in edit.hooks],
        "base": {"name": edit.base.name, "family": edit.base.family},
        "recipe": edit.recipe.to_json(),
    }


def _model(model: Any) -> dict[str, Any]:
    return {
        "name": model.name,
        "family": model.family,
        "fingerprint": model.fingerprint(),
        "picture_size": list(model.picture_size),
        "parameters": sum(p.numel() for p in model.parameters("*").values()),
        "concepts": [concept.to_json() for concept in model.known],
        "defaults": vars(model.defaults) if hasattr(model.defaults, "__dict__") else {},
    }
