"""``report.html``: one file that asks nothing of any other, made from the record."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from excise.reporting import images
from excise.reporting.charts import icon
from excise.reporting.page.build import page

if TYPE_CHECKING:
    from excise.reporting.report import Report

MOST = 15_000_000  # bytes of the whole page


def render(report: Report) -> str:
    """The page of a report; pictures are shrunk, and at last left out, to keep it under `MOST`."""
    data = report.to_json()
    bare = len(_page(report, data, {}).encode("utf-8"))
    # What stands around a picture is about 300 bytes, counted twice for safety.
    around = 600 * sum(len(group) for group in report.pictures.values())
    uris = images.embedded(report.pictures, max(MOST - bare - around, 0))
    return _page(report, data, uris)


def script_json(data: object) -> Markup:
    """JSON that may stand inside ``<script>``: it holds no ``<``, ``>`` or ``&``."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _page(report: Report, data: Mapping[str, Any], uris: Mapping[str, tuple[str, ...]]) -> str:
    style, script = _asset("report.css"), _asset("report.js")
    return _template().render(
        page=page(report.record, report.verdict, uris),
        data=script_json(data),
        style=Markup(style),
        script=Markup(script),
        script_hash=_hash(script),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("excise.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["icon"] = icon
    return environment.get_template("report.html.j2")


@cache
def _asset(name: str) -> str:
    return files("excise.reporting").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """What the page's content policy allows to run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
