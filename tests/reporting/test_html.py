from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
import torch
from tests.reporting.test_record import bare

from excise.reporting import Arm, Check, Pictures, Report, html, images

EVIL = "<script>alert(1)</script></script><img src=x onerror=alert(2)>\"'{{7*7}}&amp;"
VOID = {"input", "meta", "link", "img", "br", "rect", "line", "circle", "polygon", "polyline"}


class Page(HTMLParser):
    """Elements, texts and ids of a page; elements must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self._open and self._open[-1] == "script" else self.texts).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    return report.html()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def evil(report: Report) -> Report:
    """The report with markup in every text that can come from outside."""
    record = report.record
    concept = {**record.subject.concepts[0], "name": EVIL, "synonyms": [EVIL]}
    kept = record.kept
    assert kept is not None
    return Report(
        record=record.model_copy(
            update={
                "subject": record.subject.model_copy(
                    update={"concepts": (concept,), "model": EVIL}
                ),
                "arms": tuple(arm.model_copy(update={"label": EVIL}) for arm in record.arms),
                "pictures": tuple(
                    group.model_copy(
                        update={"title": EVIL, "prompts": (EVIL,) * len(group.prompts)}
                    )
                    for group in record.pictures
                ),
                "rates": tuple(row.model_copy(update={"label": EVIL}) for row in record.rates),
                "attacks": tuple(
                    attack.model_copy(
                        update={"label": EVIL, "definition": EVIL, "budget": {EVIL: EVIL}}
                    )
                    for attack in record.attacks
                ),
                "kept": kept.model_copy(
                    update={"rows": tuple(r.model_copy(update={"label": EVIL}) for r in kept.rows)}
                ),
                "checks": (Check(name=EVIL, found=EVIL, meaning=EVIL, advice=EVIL),),
                "versions": {EVIL: EVIL},
                "budget": EVIL,
                "notes": (EVIL,),
            }
        ),
        pictures=report.pictures,
    )


def test_markup_in_names_and_prompts_is_text(report: Report) -> None:
    hostile = evil(report)
    text = hostile.html()
    found = Page(text)
    assert len(found.all("script")) == 2
    assert all((image["src"] or "").startswith("data:image/") for image in found.all("img"))
    assert not [a for _, attributes in found.elements for a in attributes if a.startswith("on")]
    shown = "".join(found.texts)
    assert shown.count(EVIL) > 50
    assert "49" not in shown.split("What this is not")[0].replace("{{7*7}}", "")
    assert json.loads(found.scripts[0])["subject"]["model"] == EVIL


def test_the_data_is_in_the_page(page: Page, report: Report) -> None:
    assert json.loads(page.scripts[0]) == json.loads(json.dumps(report.to_json()))


def test_json_in_a_script_cannot_close_it() -> None:
    text = str(html.script_json({"<a>": "</script><!-- & -->"}))
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"<a>": "</script><!-- & -->"}


def test_the_page_asks_for_nothing(page: Page, text: str) -> None:
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), value
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert (policy or "").startswith("default-src 'none'; img-src data:;")
    digest = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in (policy or "")


def test_every_chart_can_be_read_without_seeing_it(page: Page, text: str) -> None:
    charts = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(charts) > 15
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    for chart in charts:
        for name in (chart["aria-labelledby"] or "").split():
            assert name in ids
    assert text.count('<figure class="plot">\n<figcaption>') == text.count('class="plot"')
    plots = re.findall(r'<figure class="plot">.*?</figure>', text, re.DOTALL)
    assert len(plots) >= 8
    assert all("<table" in plot for plot in plots)
    assert all(image.get("alt") for image in page.all("img"))


def test_links_lead_somewhere(page: Page) -> None:
    ids = {attributes.get("id") for _, attributes in page.elements}
    links = [link["href"] or "" for link in page.all("a")]
    assert len(links) > 10
    assert all(link.removeprefix("#") in ids for link in links)


def test_headings_do_not_skip_a_level(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_every_section_is_optional(report: Report) -> None:
    text = Report(record=bare()).html()
    assert "Nobody looked" in text
    assert "What this is not" in text
    for name in ("rates", "attacks", "pictures", "agreement", "judges", "checks", "costs"):
        assert Page(_without(report, **{name: ()}).html())
    for name in ("kept", "strength", "inversions", "blocks", "replacement", "excess"):
        assert Page(_without(report, **{name: None}).html())


def _without(report: Report, **fields: Any) -> Report:
    return Report(record=report.record.model_copy(update=fields), pictures={})


def test_a_page_of_large_pictures_stays_small() -> None:
    size = 768
    numbers = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (16, 3, size, size), dtype=torch.uint8, generator=numbers)
    keys = [f"group-{i}" for i in range(4)]
    groups = tuple(
        Pictures(
            key=key,
            kind="concept",
            title=key,
            prompts=("a cat",) * 16,
            seeds=tuple(range(16)),
            sheets={"base": f"images/{key}.png"},
            size=(size, size),
        )
        for key in keys
    )
    report = Report(record=bare(pictures=groups), pictures={f"images/{k}.png": noise for k in keys})
    text = report.html()
    assert len(text.encode()) <= html.MOST
    assert text.count("data:image/webp") >= 64


def test_what_does_not_fit_is_left_out(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = report.record.pictures[:4]
    small = Report(record=bare(arms=report.record.arms, pictures=groups), pictures=report.pictures)
    whole = small.html()
    monkeypatch.setattr(html, "MOST", len(whole.encode()) * 2 // 3)
    few = small.html()
    assert len(few.encode()) <= html.MOST
    assert 0 < few.count("data:image/") < whole.count("data:image/")
    monkeypatch.setattr(html, "MOST", 1)
    assert "data:image/" not in small.html()


def test_small_pictures_keep_every_pixel(report: Report) -> None:
    import io

    import numpy as np
    from PIL import Image

    picture = report.pictures["images/concept-base.png"][0]
    data = images.data_uri(picture).removeprefix("data:image/png;base64,")
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    assert (found == picture.permute(1, 2, 0).numpy()).all()


def test_more_arms_than_colours_still_draw() -> None:
    arms = tuple(Arm(key=f"a{i}", label=f"arm {i}", role="rival") for i in range(9))
    assert Page(Report(record=bare(arms=arms)).html())
