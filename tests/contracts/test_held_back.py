"""Words that are held back for evaluations are read by no eraser, wherever they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.cli.judges import Dogs

from excise import registry
from excise.edit import Edit, Recipe
from excise.erasers.base import Eraser
from excise.models.load import load, of_pipeline
from excise.models.tokens import Cutter
from excise.primitives import prompts
from excise.settings import build
from excise.types import Concept

CAT = Concept("cat", synonyms=("kitten",), held_back=("feline",), neighbours=("dog",))
DOG = Concept("dog", held_back=("hound",))
SECRET = ("feline", "hound")


@pytest.fixture
def baked(tmp_path: Path) -> Any:
    """A model that was handed over with an edit in its weights, and what it says of its words."""
    model = of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 2, "guidance": 2.0})
    model.known = (CAT, DOG)
    bias = torch.full((4,), 0.01)
    edit = Edit.of(model, {"unet.conv_out.bias": bias}, recipe=Recipe(method="test"))
    edit.bake(model, tmp_path / "baked")
    assert "feline" in (tmp_path / "baked" / "excise.json").read_text("utf-8")
    return load(tmp_path / "baked", device="cpu")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that text encoders were given."""
    texts: list[str] = []
    cut = Cutter.cut

    def noting(self: Cutter, rows: Any, soft: Any) -> Any:
        texts.extend(rows)
        return cut(self, rows, soft)

    monkeypatch.setattr(Cutter, "cut", noting)
    return texts


def told(texts: list[str]) -> set[str]:
    return {word for word in SECRET for text in texts if word in text}


@pytest.mark.parametrize("name", registry.names("eraser"))
def test_no_eraser_reads_them(baked: Any, read: list[str], name: str) -> None:
    kind: type[Eraser] = registry.get("eraser", name)
    searching = {"strength": None, "inversion_steps": 2, "embeddings": 2, "samples": 1, "looks": 1,
                 "carried": 1, "kept": 48, "grid": (1.0,), "refine": 0}  # fmt: skip
    settings = dict(kind.smallest)
    if "strength" in kind.__dataclass_fields__:
        settings |= searching
    edit = build(kind, settings).run(baked, Concept("cat"), judge=Dogs())
    assert any("cat" in text or "kitten" in text for text in read)
    assert told(read) == set()
    # It is told of them, for whoever evaluates the edit ...
    assert [row["held_back"] for row in edit.recipe.concepts] == [["feline"]]
    # ... and an evaluation does read them.
    baked.encode(prompts.held_back(baked, Concept("cat")))
    assert told(read) == {"feline"}
