"""The picture in the README, from an edit: ``python benchmarks/picture.py out/no-cat.safetensors``.

Each column is one prompt and one seed, which nobody chose: above as the model draws it, below with
the edit. The first columns name the concept, the others do not, or name something beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

import excise
from excise.types import Concept

SCALE, GAP, HEAD = 2, 4, 22
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "figures" / "demo.png"


def prompts_for(concept: Concept) -> list[str]:
    """What names it, what is near it, and what has nothing to do with it."""
    name, near = concept.name, list(concept.neighbours)
    named = [f"a {word}" for word in (name, *concept.synonyms)][:3]
    beside = [f"a {name} and a car", f"a {name}, sketch"]
    return [*named, *beside, *(f"a {word}" for word in near[:2]), "a house", "a car, neon"]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("edit", type=Path)
    parser.add_argument("--out", type=Path, default=FIGURE)
    options = parser.parse_args()
    model, edit = excise.load("emoji"), excise.Edit.load(options.edit)
    wanted = edit.recipe.concept_names[0]
    concept = next(one for one in model.known if one.name == wanted)
    texts = prompts_for(concept)
    seeds = list(range(len(texts)))
    before = excise.generate(model, texts, seeds=seeds).uint8()
    after = excise.generate(model, texts, seeds=seeds, edit=edit).uint8()
    side = SCALE * before.shape[-1]
    sheet = Image.new("RGB", (len(texts) * (side + GAP) - GAP, HEAD + 2 * side + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, text in enumerate(texts):
        x = i * (side + GAP)
        pen.text((x + side / 2, HEAD / 2), text, fill="black", font=font, anchor="mm")
        for row, pictures in enumerate((before, after)):
            pixels = pictures[i].permute(1, 2, 0).contiguous().to(torch.uint8).cpu().numpy()
            tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(tile, (x, HEAD + row * (side + GAP)))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out, optimize=True)


if __name__ == "__main__":
    main()
