"""``excise list``: what there is to name."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from excise.cli import options as o
from excise.cli.session import Session, session
from excise.errors import unknown

if TYPE_CHECKING:
    from excise.registry import Kind
    from excise.types import TextToImage

PLURALS = {
    "erasers": "eraser",
    "attacks": "attack",
    "metrics": "metric",
    "judges": "judge",
    "hooks": "hook",
    "families": "family",
}
THINGS = ("models", "concepts", *PLURALS)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A line of a list. serves, given: of an eraser and a model, whether and with what."""

    name: str
    about: str = ""
    paper: str = ""
    serves: str = ""
    given: str = ""


def list_names(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=", ".join(THINGS) + ".")] = "",
    name: Annotated[
        str | None, typer.Argument(help="One of them, for its settings (--set).")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="MODEL", help="Whose concepts; of erasers, whether they serve."
        ),
    ] = None,
    as_json: o.AsJson = False,
) -> None:
    """List what can be named; with a name, the settings of that method.

    excise list erasers --model MODEL says which of them serve a model, and if not, why.
    """
    with session(as_json=as_json, quiet=True) as run:
        if not what:
            _show(run, [Item(name=thing) for thing in THINGS])
            return
        kind = _kind(what)
        if name is not None and kind not in ("models", "concepts"):
            _settings(run, cast("Kind", kind), name)
        else:
            found = items(kind, model)
            if name is not None:
                found = [item for item in found if item.name == name] or _none(kind, name, found)
            _show(run, found)


def items(kind: str, model: str | None) -> list[Item]:
    """What there is of a kind. Plugins are read, not imported, but to be held against a model."""
    if kind == "models":
        from excise.models.load import embedded

        return [Item(name=name) for name in embedded()]
    if kind == "concepts":
        from excise import api

        return [
            Item(
                name=one.name,
                about=", ".join((*one.synonyms, *one.held_back)),
                paper="" if one.kind == "object" else one.kind,
            )
            for one in api.load(model or o.EMOJI).known
        ]
    from excise.registry import FOLDERS, names

    plugin = cast("Kind", kind)
    found = [_read(FOLDERS[plugin], name) for name in names(plugin)]
    if plugin != "eraser" or model is None:
        return found
    from excise import api

    live = api.load(model)
    return [_held(item, live) for item in found]


def _held(item: Item, model: TextToImage) -> Item:
    """An eraser, as it would be run on a model, held against it."""
    from excise import registry
    from excise.erasers.declared import SAID, lacking

    cls = registry.get("eraser", item.name)
    lacks = lacking(model, cls.fitted(model).needed)
    why = " and ".join(SAID[need] for need in lacks)
    given = " or ".join(sorted(cls.given, reverse=True))
    return replace(item, serves=f"no: it needs {why}" if lacks else "yes", given=given)


def _kind(what: str) -> str:
    plain = what.lower()
    plural = next((p for p, s in PLURALS.items() if plain in (p, s)), None)
    if plural is not None:
        return PLURALS[plural]
    if plain.rstrip("s") in ("model", "concept"):
        return plain.rstrip("s") + "s"
    raise unknown("list", what, THINGS)


def _none(kind: str, name: str, found: list[Item]) -> list[Item]:
    raise unknown(kind.removesuffix("s"), name, [item.name for item in found])


def _read(folder: str, name: str) -> Item:
    """The first line of a built-in plugin's class, and its paper, from the source alone."""
    parent = importlib.util.find_spec(folder)
    places = list(parent.submodule_search_locations or ()) if parent else []
    files = [path for place in places if (path := Path(place) / f"{name}.py").exists()]
    if not files:
        return Item(name=name, about="from another package")
    for node in ast.parse(files[0].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and _constant(node, "name") == name:
            about = inspect.cleandoc(ast.get_docstring(node) or "").split("\n")[0]
            return Item(name=name, about=about.rstrip("."), paper=_constant(node, "paper"))
    return Item(name=name)


def _constant(node: ast.ClassDef, name: str) -> str:
    for line in node.body:
        if not isinstance(line, ast.AnnAssign | ast.Assign):
            continue
        targets = [line.target] if isinstance(line, ast.AnnAssign) else line.targets
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        if named and isinstance(line.value, ast.Constant):
            return str(line.value.value)
    return ""


def _settings(run: Session, kind: Kind, name: str) -> None:
    from excise.registry import describe, get

    cls = get(kind, name)
    settings = describe(cls)
    about = inspect.cleandoc(cls.__doc__ or "")
    run.answer({
        "name": name,
        "about": about,
        "paper": str(getattr(cls, "paper", "")),
        "settings": [vars(one) for one in settings],
    })  # fmt: skip
    if run.as_json:
        return
    run.out.write(f"{about}\n\n")
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for one in settings:
        default = "must be given" if one.default is None else one.default
        table.add_row(Text(one.name, style="bold"), Text(default), Text(one.type, style="dim"))
    run.console.print(table)


def _show(run: Session, found: list[Item]) -> None:
    run.answer([vars(item) for item in found])
    if run.as_json:
        return
    if not found:
        run.out.write("There are none.\n")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    if any(item.serves for item in found):
        table.add_row(*(Text(x, style="dim") for x in ("", "serves it", "concepts given by")))
    for item in found:
        more = [Text(item.serves), Text(item.given)] if item.serves else []
        about = [Text(item.about), Text(item.paper, "dim")] if not item.serves else []
        table.add_row(Text(item.name, style="bold"), *more, *about)
    run.console.print(table)
