"""Which emoji the small world is made of, and the atlas that holds their drawings.

The drawings come from Noto Color Emoji (pictures Apache-2.0, font SIL OFL 1.1). The atlas is one
WebP of 72x72 tiles with an index beside it, so that nobody needs the font to rebuild the models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TILE = 72
"""Side of a tile of the atlas, in pixels."""

LOSSLESS: Mapping[str, Any] = {"format": "WEBP", "lossless": True, "exact": True, "method": 6}
"""How drawings are saved: every value as it is, also under what is transparent."""

ATLAS = Path(__file__).resolve().parent.parent / "assets" / "atlas"
COLUMNS = 32

# Drawings after the bar are held out: judges know them, no U-Net ever sees them.
OBJECTS: dict[str, str] = {
    "cat": "🐱 😺 😸 😻 😼 😿 🐈 🐈‍⬛ | 😽 😾",
    "dog": "🐶 🐕 🦮 🐕‍🦺 | 🐩",
    "horse": "🐴 🐎",
    "bird": "🐦 🐤 🕊 | 🐥",
    "fish": "🐟 🐠 🐡",
    "car": "🚗 🚙 🚕 🚓 🚘 | 🚖",
    "truck": "🚚 🚛 🛻 | 🚒",
    "boat": "⛵ 🚤 ⛴ 🚢 | 🛥",
    "airplane": "✈ 🛩 🛫 | 🛬",
    "house": "🏠 🏡 🏚 | 🏘",
    "church": "⛪ 💒",
    "tree": "🌲 🌳 🌴 | 🎄",
    "flower": "🌸 🌻 🌷 🌹 | 🌼",
    "apple": "🍎 🍏",
    "cake": "🎂 🍰 🧁",
    "star": "⭐ 🌟",
    "clock": "🕐 🕓 🕗 ⏰ | 🕰",
    "ball": "⚽ 🏀 🏈 | 🏐",
    "book": "📕 📗 📘 📖 | 📚",
    "umbrella": "☂ ☔ | ⛱",
    "shoe": "👟 👞 🥾 | 👠",
    "key": "🔑 🗝",
}

# Known to the autoencoder, the text tower and the judges, never to a U-Net.
DECOYS: dict[str, str] = {
    "fox": "🦊",
    "rabbit": "🐰 🐇",
    "panda": "🐼",
    "tractor": "🚜",
    "castle": "🏰",
    "cherry": "🍒",
    "rocket": "🚀",
    "mushroom": "🍄",
}

# Neither an object nor safely "something else": a duck is a bird, a second alarm clock is a clock.
AMBIGUOUS = (
    "😹🙀🏇🎠🦄🦆🐧🦜🦅🦉🐓🦃🦢🦩🐔🐣🦈🐬🐳🐋🚐🚑🏎🛳🛶🚣⛵🏣🏤🛖💐🏵💮🥀🪷🪻🌺🌠✨💫✴🔯✡🌃🌟"
    "⌚⏱⏲🏉🥎⚾🎾🎱🔮🪀🏐🎳📓📔📒📰📙👡👢🩰🩴🥿🔐🔏🌂🏖🌕🌝🌞🪅🐾🐅🐆🪺🪹🐦🛩🛦🛪🏠🏡🧢🎂🍰🥮🍥🎍🎋🌱🏝🎑"
    "🕛🕐🕑🕒🕓🕔🕕🕖🕗🕘🕙🕚🕜🕝🕞🕟🕠🕡🕢🕣🕤🕥🕦🕧🪽🪿🐡🥾🚘🚖🚍🛬🛫🪧🎀⭐☄🌌🎆🎇"
)


BLOCKS = (
    (0x2600, 0x27C0),
    (0x1F300, 0x1F5FF),
    (0x1F600, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F90C, 0x1F9FF),
    (0x1FA70, 0x1FAFF),
)
"""First and last code points among which "other" glyphs are looked for."""


@dataclass(frozen=True, kw_only=True)
class Glyph:
    """One drawing: its characters, what it shows, and whether it is held out of U-Net training."""

    characters: str
    label: str  # an object, a decoy, or "other"
    held_out: bool
    index: int  # tile number in the atlas


class Atlas:
    """The drawings, read once. `tile(i)` is an RGBA picture of 72x72 pixels."""

    def __init__(self, folder: Path = ATLAS) -> None:
        """Read `atlas.webp` and `atlas.json` from `folder`."""
        rows = json.loads((folder / "atlas.json").read_text(encoding="utf-8"))["glyphs"]
        self.glyphs = tuple(
            Glyph(characters=r[0], label=r[1], held_out=bool(r[2]), index=i)
            for i, r in enumerate(rows)
        )
        sheet = Image.open(folder / "atlas.webp").convert("RGBA")
        self._tiles = tuple(sheet.crop(_box(i)) for i in range(len(self.glyphs)))

    def tile(self, index: int) -> Image.Image:
        """The drawing with that number, RGBA, 72x72."""
        return self._tiles[index]

    def drawings(self, label: str, *, held_out: bool | None = False) -> tuple[int, ...]:
        """Tile numbers that show `label`; `held_out=None` for all of them."""
        return tuple(
            g.index
            for g in self.glyphs
            if g.label == label and (held_out is None or g.held_out == held_out)
        )


def _box(index: int) -> tuple[int, int, int, int]:
    row, column = divmod(index, COLUMNS)
    return (column * TILE, row * TILE, (column + 1) * TILE, (row + 1) * TILE)


def _draw(characters: str, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """The glyph, cropped to what it draws and centred on a 72x72 tile; None if it draws nothing."""
    canvas = Image.new("RGBA", (400, 170))
    ImageDraw.Draw(canvas).text((10, 10), characters, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None or box[2] - box[0] > 150:  # nothing, or a sequence that the font cannot join
        return None
    glyph = canvas.crop(box)
    scale = (TILE - 2) / max(glyph.size)
    size = (max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale)))
    # Premultiplied, so that shrinking does not bleed the colour of transparent pixels into the rim.
    glyph = glyph.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    tile = Image.new("RGBA", (TILE, TILE))
    tile.paste(glyph, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return tile


def _others(font_file: Path) -> list[str]:
    """Single-character emoji that are neither objects, nor decoys, nor ambiguous."""
    from fontTools.ttLib import TTFont

    used = set("".join([*OBJECTS.values(), *DECOYS.values(), AMBIGUOUS]))
    cmap = TTFont(font_file).getBestCmap()
    points = [p for a, b in BLOCKS for p in range(a, b + 1) if p in cmap and chr(p) not in used]
    skin_tones = range(0x1F3FB, 0x1F400)
    return [chr(p) for p in points if p not in skin_tones]


def make_atlas(font_file: Path, folder: Path = ATLAS, *, others: int = 480) -> None:
    """Draw the atlas from the font (a maintainer's step: the repository holds the result)."""
    font = ImageFont.truetype(str(font_file), 109)
    rows: list[tuple[str, str, int]] = []
    for label, text in (OBJECTS | DECOYS).items():
        shown, _, held = text.partition("|")
        rows += [(c, label, 0) for c in shown.split()] + [(c, label, 1) for c in held.split()]
    candidates = _others(font_file)
    keep = np.linspace(0, len(candidates) - 1, min(others, len(candidates))).round().astype(int)
    must = "🐯🦁🐺🐻🐨🐮🐷🐭🐹🍐🍅🍑🚌🚎🕌🕍🏯🚂🛵🦓"
    chosen = list(dict.fromkeys([*must, *(candidates[i] for i in keep)]))
    rows += [(c, "other", 0) for c in chosen]
    drawn = [(row, tile) for row in rows if (tile := _draw(row[0], font)) is not None]
    sheet = Image.new("RGBA", (COLUMNS * TILE, -(-len(drawn) // COLUMNS) * TILE))
    for i, (_, tile) in enumerate(drawn):
        sheet.paste(tile, _box(i)[:2])
    folder.mkdir(parents=True, exist_ok=True)
    sheet.save(folder / "atlas.webp", **LOSSLESS)
    text = json.dumps({"tile": TILE, "glyphs": [r for r, _ in drawn]}, ensure_ascii=False)
    (folder / "atlas.json").write_text(text + "\n", encoding="utf-8")
