"""Writes the pages of ``docs`` that say what the code says: python docs/make.py [--check]."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

from excise import registry
from excise.erasers.declared import SAID
from excise.erasers.mending import ELSEWHERE
from excise.erasers.task_vector import OWN, TaskVector
from excise.method import Budget
from excise.primitives.readers import CHOSEN
from excise.primitives.swaps import RETAINED
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
SELECTORS = {
    "denoiser": "the denoising network, whatever a family calls it",
    "cross_attention": "in it, what attends to text",
    "cross_attention_kv": "of these the keys and values, which read the text",
    "not_cross_attention": "all others in it",
    "self_attention": "in it, what attends to the picture; and so `feed_forward` and `resnet`",
    "mid": "a block, with `down.1` or `up.0`; `down.1.cross_attention` is part of one",
    "unet.conv_out.*": "weights by their names, with `*` and `?` for any others",
}
KINDS_OF_WEIGHTS = {
    "key": "of cross-attention",
    "value": "of cross-attention",
    "context": "what embeds the text for all layers, where a model has no cross-attention (SD 3)",
    "pooled": "what reads a prompt's one pooled state (SDXL, SD 3)",
}
WEIGHTINGS = {
    "uniform": "every level alike",
    "min_snr": "little noise less, as Hang et al. 2023 (arXiv:2303.09556) do",
}
SHARED: Mapping[str, str] = {
    "selector": "selector",
    "kinds": "kinds",
    **{
        " | ".join(map(repr, said)): place
        for said, place in ((CHOSEN, "tokens"), (RETAINED, "retain"), (WEIGHTINGS, "weighting"))
    },
}
"""By the name or the type of a setting, where its choices are explained."""
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


def variants(cls: type[Any]) -> dict[str, Any]:
    """By the key of `measured`, the method as it comes for that model; by "" as for any other."""
    found = {"": cls()}
    for key in sorted(getattr(cls, "measured", {})):
        name, _, kind = key.partition("/")
        family = name if name in registry.names("family") else "stable-diffusion"
        model: Any = SimpleNamespace(name=name, family=family)
        found[key] = cls.fitted(model, kind=kind or None)
    return found


def parent(key: str, known: Mapping[str, object]) -> str:
    """What a variant has its other settings from: ``emoji/style`` from ``emoji``, that from ""."""
    above = key.partition("/")[0]
    return above if above != key and above in known else ""


def by_budget(methods: Mapping[str, Any], name: str, budget: Budget) -> str:
    """What a budget makes of a setting, said once for all variants for which it is the same."""
    told: dict[str, object] = {}
    for key, method in methods.items():
        value, usual = recipe(method.at(budget))[name], recipe(method)[name]
        above = parent(key, methods)
        while above and above not in told:
            above = parent(above, methods)
        if value != (told.get(above, usual) if key else usual):
            told[key] = value
    return "; ".join(f"{key}: {cell(value)}" if key else cell(value) for key, value in told.items())


def unset(cls: type[Any]) -> Mapping[str, str]:
    """By setting, what None stands for."""
    if cls is not TaskVector:
        return getattr(cls, "unset", {})
    return {
        **{
            name: f"{cell(OWN['healed'][name])}; of the variant `paper` {cell(value)}"
            for name, value in OWN["paper"].items()
        },
        "strength": "searched for, which needs a judge",
        "judged": "all of `spaces`; of a style `token`, where it is among them",
        "hard": "the smallest at which the concept is gone",
        "pin_to": "`away` for a style, else `hard`",
        "anywhere": f"`0` for an object, else `{ELSEWHERE}`",
    }


def settings_table(cls: type[Any], shared: Mapping[str, str] | None = None) -> list[str]:
    """A row a setting: its type, the default, what a model has instead, and what budgets set.

    shared: by the name or the type of a setting, where on the page it is explained.
    """
    methods = variants(cls)
    columns: dict[str, dict[str, str]] = {}
    for key, method in methods.items():
        own, usual = recipe(method), recipe(methods[parent(key, methods)])
        columns[key] = {name: cell(own[name]) for name in own if own[name] != usual[name]}
    for budget in get_args(Budget):
        columns[budget] = {one: by_budget(methods, one, budget) for one in recipe(methods[""])}
    columns = {name: own for name, own in columns.items() if any(own.values())}
    lines = [
        f"| setting | type | default | {' | '.join(columns)} |".replace("|  |", "|"),
        f"|---|---|---|{'---|' * len(columns)}",
    ]
    for one in describe(cls):
        place = (shared or {}).get(one.name) or (shared or {}).get(one.type)
        said = unset(cls).get(one.name)
        row = [
            f"`{one.name}`" if place is None else f"[`{one.name}`](#{place})",
            cell(one.type),
            cell(one.default) if said is None else f"{cell(one.default)}: {said}",
            *(own.get(one.name, "") for own in columns.values()),
        ]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def choices(what: Mapping[Any, str]) -> list[str]:
    """A list of what may be chosen."""
    return [f"- `{name}`: {said}" for name, said in what.items()]


def shared() -> list[str]:
    """What settings of several methods mean."""
    return [
        "## What several methods have in common",
        "",
        "Values are typed as `--set steps=300`, several as `--set kinds=key,value`, and what is "
        "left to the method as `--set lr=none`. A concept's *anchor*, something else that may "
        "stand in its place, and its *neighbours*, which are close to it and stay, are given in a "
        "`concept.toml`; neighbours also by `--neighbour`, and the embedded model knows those of "
        "its concepts. Below, p(c) is what the unedited model predicts under the prompt c, and "
        "p(null) without one; a *soft token* is a word embedding that was found by gradients; a "
        "*walk* is the way of the sampler from noise to a picture.",
        "",
        "### selector",
        "",
        "Which weights are trained: one or several, whose union is meant; after a `!`, those that "
        "are left out.",
        "",
        *choices(SELECTORS),
        "",
        "### kinds",
        "",
        "Which weights that read text a closed form changes.",
        "",
        *choices(KINDS_OF_WEIGHTS),
        "",
        "### tokens",
        "",
        "Which of a prompt's states, one a token, a closed form is solved for.",
        "",
        *choices(CHOSEN),
        "",
        "### retain",
        "",
        "What a closed form has read as before.",
        "",
        *choices(RETAINED),
        "",
        "### weighting",
        "",
        "How much a noise level counts in the denoising loss.",
        "",
        *choices(WEIGHTINGS),
    ]


def erasers() -> str:
    """Every way to erase."""
    lines = [
        "# Ways to erase",
        "",
        "`excise erase CONCEPT --method NAME --set setting=value`. The default is the value of the "
        "paper or of its authors' code, for Stable Diffusion 1.x, unless the section says "
        "otherwise; `None` leaves a setting to the method, and beside it stands what it comes to. "
        "A column with a family's name (`sdxl`, `sd3`) has what the authors take there; one with a "
        "model's, what was measured for it, unless the section says otherwise (of `emoji/style` "
        "what differs where a style is to go); one with a budget's, what that makes of the value, "
        "with the model's name where it is of that model alone. `standard` changes nothing. "
        "`excise list erasers --model MODEL` says which serve a model of yours.",
        "",
        "| method | paper | a concept is given by | the model needs |",
        "|---|---|---|---|",
    ]
    classes = {name: registry.get("eraser", name) for name in registry.names("eraser")}
    for name, cls in classes.items():
        needs = ", ".join(SAID[need] for need in sorted(cls.needs)) or "nothing else"
        given = " or ".join(sorted(cls.given, reverse=True))
        if "pictures" not in cls.given and cls.sees("object"):
            given += ", with pictures if there are any"
        lines.append(f"| [`{name}`](#{name}) | {cls.paper} | {given} | {needs} |")
    lines += ["", *shared()]
    for name, cls in classes.items():
        lines += [
            "",
            f"## {name}",
            "",
            f"{cls.paper}",
            "",
            about(cls),
            "",
            *settings_table(cls, SHARED),
        ]
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
