"""Pictures of several arms, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from excise.reporting.charts import Series
from excise.reporting.page.parts import Column, Strip, Tile
from excise.reporting.subject import Pictures
from excise.reporting.wording import number

Uris = Mapping[str, tuple[str, ...]]
BAND = 4  # columns that stay together; two bands on a wide page, one on a phone
MOST = 16  # columns of a group that the page shows


def strip(
    group: Pictures,
    uris: Uris,
    series: Sequence[Series],
    *,
    title: str,
    note: str = "",
    most: int = MOST,
    facts: str = "",
    bare: bool = False,
) -> Strip | None:
    """A group of pictures; None if the page has none of them. bare: without rings and counts."""
    arms = [one for one in series if group.sheets.get(one.key) in uris]
    if not arms:
        return None
    n = min(len(group.seeds), most)
    # With one prompt for all, it stands once, in the note.
    same = len(set(group.prompts)) == 1
    columns = [
        Column(
            caption="" if same else group.prompts[i],
            tiles=tuple(_tile(group, uris, one, i, bare) for one in arms),
        )
        for i in range(n)
    ]
    parts = [note] if note else []
    if same:
        parts.append(f"“{group.prompts[0]}”")
    if n < len(group.seeds) and not bare:
        parts.append(f"{number(n)} of {number(len(group.seeds))} pictures")
    return Strip(
        title=title,
        note=" · ".join(parts),
        arms=tuple(arms),
        bands=tuple(tuple(columns[i : i + BAND]) for i in range(0, n, BAND)),
        captions=not same,
        facts=facts,
    )


def _tile(group: Pictures, uris: Uris, one: Series, i: int, bare: bool) -> Tile | None:
    pictures = uris[group.sheets[one.key]]
    if i >= len(pictures):
        return None
    flags = group.shown.get(one.key)
    hit = bool(flags and flags[i])
    alt = f"{one.label}: {group.prompts[i]}, seed {group.seeds[i]}"
    if flags is not None:
        alt += ", the judge sees it" if hit else ", the judge does not see it"
    return Tile(uri=pictures[i], alt=alt, hit=hit and not bare)
