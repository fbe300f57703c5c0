"""Writes the pages of ``docs`` that say what the code says: python docs/make.py [--check]."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from excise import registry
from excise.erasers.declared import SAID
from excise.method import Budget
from excise.reporting.worst_case import RULE
from excise.settings import describe, recipe
from excise.suite.checks import CHECKS
from excise.suite.rows import title

HERE = Path(__file__).parent
MADE = "<!-- Made by docs/make.py from the code; edit that instead. -->\n"
SETTING = r"(?:^|(?<=[.;)]) )(?P<names>[a-z_]+(?:, [a-z_]+)*): "
AUTHORS = (
    "concept_inversion", "unlearn_diff", "p4d", "ring_a_bell", "random_search", "noise_probe",
    "image_side",
)  # fmt: skip
"""Attacks whose budget is known from their papers or their authors' code."""
KINDS = {
    "confirming": "Confirm",
    "injecting": "Inject",
    "changing": "Change the model",
}


def about(cls: type[Any]) -> str:
    """A class's own words, in paragraphs; what it says of its settings becomes a list."""
    names = {one.name for one in describe(cls)}
    found: list[str] = []
    for part in inspect.cleandoc(cls.__doc__ or "").split("\n\n"):
        words = " ".join(part.split()).replace("``", "`")
        first = re.match(r"[\w, ]+(?=: )", words)
        if first and set(first[0].split(", ")) <= names:
            words = re.sub(SETTING, lambda m: item(m, names), words).lstrip()
        elif part.startswith("- "):
            words = bullets(part)
        elif part.startswith("    "):
            words = f"> {words}"
        found.append(words)
    return "\n\n".join(found)


def bullets(part: str) -> str:
    """A list, an item a line. A hyphen within a line is a minus, and stays where it is."""
    items = re.split(r"^- ", part, flags=re.MULTILINE)[1:]
    return "\n".join("- " + " ".join(one.split()).replace("``", "`") for one in items)


def item(match: re.Match[str], names: set[str]) -> str:
    """A sentence that begins with settings, as an item of a list; any other as it is."""
    found = match["names"].split(", ")
    if not set(found) <= names:
        return match[0]
    return f"\n- {', '.join(f'`{name}`' for name in found)}: "


def cell(value: object) -> str:
    """A value in a table."""
    text = str(value).replace("|", "\\|")
    return f"`{text}`"


def settings_table(cls: type[Any]) -> list[str]:
    """A row a setting: its type, the paper's value, the embedded model's, and those of budgets."""
    base = recipe(cls())
    columns: dict[str, Mapping[str, Any]] = {}
    measured = getattr(cls, "measured", {})
    for name in sorted(measured):
        columns[name] = dict(measured[name])
    for budget in get_args(Budget):
        changed = recipe(cls().at(budget))
        columns[budget] = {k: v for k, v in changed.items() if v != base[k]}
    columns = {name: own for name, own in columns.items() if own}
    lines = [
        f"| setting | type | default | {' | '.join(columns)} |".replace("|  |", "|"),
        f"|---|---|---|{'---|' * len(columns)}",
    ]
    for one in describe(cls):
        cells = [cell(own[one.name]) if one.name in own else "" for own in columns.values()]
        row = [f"`{one.name}`", cell(one.type), cell(one.default), *cells]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def erasers() -> str:
    """Every way to erase."""
    lines = [
        "# Ways to erase",
        "",
        "`excise erase CONCEPT --method NAME --set setting=value`. The defaults are the papers', "
        "for Stable Diffusion 1.x; columns with a model's or a family's name have what was "
        "measured for it (of `emoji/style` what differs where a style is to go), and those with a "
        "budget's what it changes. `excise list erasers --model MODEL` says which serve a model of "
        "yours.",
        "",
        "| method | paper | a concept is given by | the model needs |",
        "|---|---|---|---|",
    ]
    classes = {name: registry.get("eraser", name) for name in registry.names("eraser")}
    for name, cls in classes.items():
        needs = ", ".join(SAID[need] for need in sorted(cls.needs)) or "nothing else"
        given = " or ".join(sorted(cls.given, reverse=True))
        lines.append(f"| [`{name}`](#{name}) | {cls.paper} | {given} | {needs} |")
    for name, cls in classes.items():
        lines += ["", f"## {name}", "", f"{cls.paper}", "", about(cls), "", *settings_table(cls)]
    return "\n".join(lines) + "\n"


def attacks() -> str:
    """Every attack, by what its success means."""
    lines = [
        "# Attacks",
        "",
        "`excise attack CONCEPT --method NAME --set setting=value`; without `--method`, all of "
        "them. An attack *confirms* where it reaches the unedited model and not one that never saw "
        "the concept; one that *injects* may bring the concept along; one that *changes the model* "
        "gives a curve of cost against recovery. `thorough` has at least the authors' budget in "
        f"{_listed(AUTHORS)}; in the others it is the largest of ours.",
        "",
        RULE,
    ]
    classes = {name: registry.get("attack", name) for name in registry.names("attack")}
    for kind, heading in KINDS.items():
        lines += [
            "",
            f"## {heading}",
            "",
            "| attack | paper | the attacker needs |",
            "|---|---|---|",
        ]
        own = {name: cls for name, cls in classes.items() if cls.kind == kind}
        for name, cls in own.items():
            lines.append(
                f"| [{title(name)}](#{name}) | {cls.paper} | {', '.join(sorted(cls.needs))} |"
            )
        for name, cls in own.items():
            lines += ["", f"### {name}", "", cls.paper, "", about(cls), "", *settings_table(cls)]
    return "\n".join(lines) + "\n"


def _listed(names: Sequence[str]) -> str:
    """Attacks by their titles, as words."""
    found = [title(name) for name in names]
    return f"{', '.join(found[:-1])} and {found[-1]}"


def checks() -> str:
    """Every doubt that a report may raise."""
    lines = [
        "# Is this evaluation to be believed?",
        "",
        "Checks that every report goes through; what is raised stands in it.",
    ]
    for look in CHECKS:
        text = inspect.cleandoc(look.__doc__ or "")
        first, _, rest = text.partition("\n\n")
        lines += ["", f"## {first.rstrip('.')}", ""]
        words = " ".join(rest.split())
        lines.append(words.replace("Raised if:", "*Raised if:*").replace(
            " Explanation:", "\n\n*Explanation:*"))  # fmt: skip
    return "\n".join(lines) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "erasers.md": erasers,
    "attacks.md": attacks,
    "checks.md": checks,
}


def main(check: bool) -> int:
    """Write the pages, or say which of them are not what the code says."""
    stale = []
    for name, page in PAGES.items():
        text, place = MADE + page(), HERE / name
        if check and (not place.exists() or place.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not check:
            place.write_text(text, encoding="utf-8")
    if stale:
        print(f"expected {', '.join(stale)} as docs/make.py makes them; run it")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
