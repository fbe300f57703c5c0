"""Model cards: a ``README.md`` in the folder of everything that was trained, and of the atlas.

Nothing in them is typed in twice: recipes come from the modules that train, figures from the
``quality.json`` in the folder, sizes and hashes from the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors import safe_open

from excise.emoji import autoencoder, clip, judging, sharpening, unet
from excise.emoji.export import GUIDANCE, STEPS
from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas
from excise.emoji.questions import LOOKS
from excise.emoji.training import Schedule
from excise.store import read_json, sha256_file, write_text

LIMITS = """## Intended use and limits

A laboratory instrument: small enough to be trained, edited and attacked on a laptop. It says which
of two edits of this model withstands a stated search better. **Nothing measured here says anything
about other models**: no rate, strength or setting carries over. It draws 64x64 pictures of a few
emoji and is of no use as a picture generator.
"""

LICENCE = """## Licence and notices

Apache License 2.0. Trained on nothing but pictures made from Noto Emoji
(https://github.com/googlefonts/noto-emoji), copyright Google LLC: the pictures are under the Apache
License, Version 2.0, the Noto Color Emoji fonts that carry them under the SIL Open Font License,
Version 1.1. The pictures were resized, rotated, recoloured and set on backgrounds. No font file and
no picture from elsewhere was used.
"""

DATA = f"""## Data

Renders of a small world, drawn afresh from a seed: {len(OBJECTS)} objects, one or two in a picture
({", ".join(OBJECTS)}); {len(LOOKS)} styles besides plain ({", ".join(LOOKS)}); twelve background
colours; captions from templates with synonyms, misspellings and words that mean nothing. Object,
style, background, place and template are independent. One picture in three bears a watermark that
no caption names, and four captions go with one picture each. Some drawings are held out.
{len(DECOYS)} decoys ({", ".join(DECOYS)}) are known to the autoencoder, the text tower and the
judges only.
"""


def write_cards(assets: Path) -> list[Path]:
    """Write the card of every folder that is there; their paths."""
    folders = [assets / name for name in ("emoji", "judge", "auditor", "clip", "atlas")]
    folders += sorted(path.parent for path in (assets / "emoji").glob("*/excise.json"))
    return [write_card(folder) for folder in folders if folder.is_dir()]


def write_card(folder: Path) -> Path:
    """Write the card of one folder, from what lies in it."""
    kinds: dict[str, Callable[[Path], str]] = {"judge": classifier_card, "auditor": classifier_card}
    kinds |= {"clip": clip_card, "atlas": atlas_card}
    card = kinds.get(folder.name, model_card)(folder)
    write_text(folder / "README.md", card)
    return folder / "README.md"


def model_card(folder: Path) -> str:
    """Of the base model, or of an oracle."""
    notes = read_json(folder / "excise.json")
    without = notes.get("without", [])
    if without:
        name = f"emoji/{folder.name}"
        steps = [lesson.schedule.steps for lesson in unet.LESSONS]
        about = (
            f"An oracle: the embedded model trained from scratch without {_listed(without)}, with "
            "the same code, seed and number of pictures, which were replaced by further draws of "
            f"what stays. It shares all lessons but the last, {sum(steps[:-1]):,} of {sum(steps):,}"
            " steps, with the other oracle; in these none of what either is without was shown, so "
            f"what the other alone is without it met in the last {steps[-1]:,} steps only. Text "
            "encoder, tokenizer and autoencoder are those of `emoji`, byte for byte. It shows what "
            "a model draws that never knew a concept."
        )
        use = f'import excise\n\nmodel = excise.load("{name}")\nmodel.generate(["a dog"])'
        parts = [("unet", "U-Net", unet)]
    else:
        name = "emoji"
        about = (
            "The embedded model: latent diffusion in the layout of Stable Diffusion 1, with a CLIP "
            "text tower that was trained contrastively and then frozen. It loads with "
            "`StableDiffusionPipeline.from_pretrained` alone."
        )
        use = (
            "from diffusers import StableDiffusionPipeline\n\n"
            "pipeline = StableDiffusionPipeline.from_pretrained(folder)\n"
            'picture = pipeline("a cat").images[0]'
        )
        parts = [("unet", "U-Net", unet), ("vae", "autoencoder", autoencoder)]
        parts += [("vae", "its decoder, trained on", sharpening)]
        parts += [("text_encoder", "text tower", clip)]
    figures = _quality(folder) if (folder / "quality.json").exists() else "Not measured yet.\n"
    samples = "![What it draws](samples.jpg)\n" if (folder / "samples.jpg").exists() else ""
    blocks = [
        _front("text-to-image", "diffusers"),
        f"# {name}\n\n{about}\n",
        samples,
        f"```python\n{use}\n```\n",
        f"Default sampler: {STEPS} steps, guidance {GUIDANCE:g}, DPM-Solver++.\n",
        _recipe(folder, parts, int(notes.get("seed", 0))),
        DATA,
        f"## Figures\n\n{figures}",
        LIMITS,
        LICENCE,
    ]
    return "\n".join(filter(None, blocks))


def classifier_card(folder: Path) -> str:
    """Of the judge or the auditor."""
    judge = folder.name == "judge"
    kind = "a residual network" if judge else "a RegNet of grouped, weighted channels"
    about = (
        f"{kind.capitalize()} that says of a picture of the embedded world what it shows: objects, "
        "decoys, something else, nothing, a style, a watermark; several at once. "
        + (
            "Reports decide by it."
            if judge
            else "It checks the judge: another architecture, other glyphs, altered colours."
        )
    )
    path = folder / "quality.json"
    rows = read_json(path) if path.exists() else {}
    table = [
        [name, f"{row['threshold']:.4f}", f"{row['false_alarms']:.2%}", f"{row['hits']:.1%}"]
        for name, row in rows.items()
    ]
    fixed = (
        "Thresholds were fixed once, before any edit, so that no more than 0.5 % of pictures "
        "without a label reach its threshold, on glyphs that the network never trained on; the "
        "rates are those on fresh pictures (renders, half of them through the autoencoder).\n\n"
        + _table(["label", "threshold", "false alarms", "hits"], table)
    )
    blocks = [
        _front("image-classification", "transformers"),
        f"# emoji {folder.name}\n\n{about}\n",
        _recipe(folder, [("", folder.name, judging)], _seed(folder)),
        f"## Figures\n\n{fixed if table else 'Not measured yet.'}\n",
        LIMITS,
        LICENCE,
    ]
    return "\n".join(blocks)


def clip_card(folder: Path) -> str:
    """Of the image tower, whose text tower the model has."""
    about = (
        "A small CLIP: a text tower, which conditions the embedded model, and an image tower, "
        "trained together on renders and their captions. It gives a CLIP score and a zero-shot "
        "judge of this world. Here are the image tower, both projections and the scale; the text "
        "tower and the tokenizer are those of the model, byte for byte, where `towers.json` says."
    )
    use = (
        "from excise.primitives.clip import Clip\n\n"
        "clip = Clip(source=folder)\n"
        'likeness = clip.features(pictures) @ clip.texts(["a cat"]).T  # (n, 1), cosines'
    )
    blocks = [
        _front("zero-shot-image-classification", "transformers"),
        f"# emoji clip\n\n{about}\n",
        f"```python\n{use}\n```\n",
        _recipe(folder, [("", "image tower, projections", clip)], _seed(folder)),
        DATA,
        LIMITS,
        LICENCE,
    ]
    return "\n".join(blocks)


def atlas_card(folder: Path) -> str:
    """Of the drawings."""
    glyphs = Atlas(folder).glyphs
    held = sum(glyph.held_out for glyph in glyphs)
    other = sum(glyph.label == "other" for glyph in glyphs)
    about = (
        f"{len(glyphs)} drawings of 72x72 pixels, in the order of `atlas.json`: "
        f"{len(glyphs) - other} of {len(OBJECTS)} objects and {len(DECOYS)} decoys ({held} of them "
        f"held out of the training of every U-Net), and {other} others, from which judges learn "
        "what is none of them."
    )
    return f"# Atlas of glyphs\n\n{about}\n\n{LICENCE}"


def _front(task: str, library: str) -> str:
    lines = ["---", "license: apache-2.0", f"library_name: {library}", f"pipeline_tag: {task}"]
    return "\n".join([*lines, "---", ""])


def _seed(folder: Path) -> int:
    """What everything beside the base was trained with."""
    path = folder.parent / "emoji" / "excise.json"
    return int(read_json(path).get("seed", 0)) if path.exists() else 0


def schedules(module: Any, name: str = "") -> tuple[Schedule, ...]:
    """The schedules by which a module's network (of that name) is trained, in order."""
    lessons = getattr(module, "LESSONS", None)
    if isinstance(lessons, Mapping):
        lessons = lessons[name]
    return (module.SCHEDULE,) if lessons is None else tuple(one.schedule for one in lessons)


def _recipe(folder: Path, parts: Sequence[tuple[str, str, ModuleType]], seed: int) -> str:
    """A row for each network: its size, how it was trained, its file's hash."""
    rows = []
    for place, name, module in parts:
        parts_of = schedules(module, name)
        row = [name, " + ".join(str(part.steps) for part in parts_of)]
        row += [str(module.BATCH), f"{module.PICTURES:,}"]
        row += [" + ".join(f"{part.lr:g}" for part in parts_of), f"{parts_of[-1].ema:g}"]
        for file in sorted((folder / place).glob("*.safetensors")):
            row += [f"{parameters(file) / 1e6:.2f} M", f"`{sha256_file(file)[:16]}`"]
        rows.append(row)
    head = ["network", "steps", "batch", "pictures", "learning rate", "average", "parameters"]
    return (
        "## Recipe\n\n"
        f"`python -m excise.emoji.build --seed {seed}`: AdamW, linear warm-up, cosine decay; what "
        "is kept is the moving average of the weights, in half precision.\n\n"
        + _table([*head, "SHA-256"], rows)
    )


def parameters(file: Path) -> int:
    """How many numbers a safetensors file holds."""
    with safe_open(str(file), framework="pt") as opened:
        return sum(prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118


def _quality(folder: Path) -> str:
    """What was measured, by judge, and what it was measured on."""
    found: dict[str, Any] = read_json(folder / "quality.json")
    judges = sorted(found["judges"], key=lambda name: name != "judge")  # the one that decides first
    labels = {
        "plain": "right object, plain prompts",
        "synonym": "right object, synonyms",
        "held back": "right object, the synonym that no eraser is given",
        "styled": "right object, object and style",
        "style": "right style",
        "pair": "both objects of two",
        "diffusers": "right object, diffusers' own defaults",
        "watermark": "watermark, plain prompts",
        "nothing": "nothing recognisable, plain prompts",
        "decoy": "decoy drawn when asked for",
    }
    rows = [
        [text, *(_rate(found["figures"][name].get(judge)) for judge in judges)]
        for name, text in labels.items()
    ]
    rows += [
        [f"left out: {name}", *(_rate(by.get(judge)) for judge in judges)]
        for name, by in found["dropped"].items()
    ]
    again, control = found["memorised"]["reproduced"], found["memorised"]["control"]
    seconds = found["seconds"]
    time = f"{seconds['a_picture']:.3f} s a picture in batches of {seconds['batch']}"
    time += f" on {found['device']} with {seconds['threads']} threads"
    if not seconds["idle"]:
        time += ", while the machine was busy with other work"
    current = {
        file.parent.name: sha256_file(file) for file in sorted(folder.glob("*/*.safetensors"))
    }
    stale = "" if current == found["weights"] else "**Of other weights: measure again.**\n\n"
    return (
        f"{stale}Shares of pictures, with Wilson's 95 % intervals, at the default sampler where "
        f"nothing else is said; seed {found['seed']}, {found['pictures']} pictures a row or more. "
        "The judge decides; auditor and witness (nearest render by edges) err in other ways.\n\n"
        + _table(["", *judges], rows)
        + f"\nMemorised captions give back their picture in {_rate(again)}; its two objects' names "
        f"do in {_rate(control)}. {time[0].upper()}{time[1:]}. More in `quality.json`.\n"
    )


def _rate(figure: dict[str, float] | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['rate']:.1%} ({figure['low']:.1%} to {figure['high']:.1%})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
