"""The page in a real browser: it fits a phone, asks for nothing and reports no error."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.reporting.test_html import evil

from excise.reporting import Report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-sync", "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr",
    "--virtual-time-budget=2000",
)  # fmt: skip

# What a second script, let in by the page's own policy, finds and leaves in the page.
PROBE = """
addEventListener("load", () => {
  document.getElementById("unfold").click();
  const seen = (one) => one.checkVisibility({ checkVisibilityCSS: true });
  const charts = [...document.querySelectorAll("svg.chart")].filter(seen);
  const wide = [...document.querySelectorAll("body *")].filter(
    (one) => seen(one) && !one.closest(".scroll, pre") &&
      one.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
  parent.postMessage(JSON.stringify({
    width: document.documentElement.clientWidth,
    scroll: document.documentElement.scrollWidth,
    out: wide.slice(0, 5).map((one) => one.outerHTML.slice(0, 120)),
    charts: charts.length,
    text: Math.min(...charts.map((one) =>
      12 * one.getBoundingClientRect().width / one.viewBox.baseVal.width)),
    broken: [...document.images].filter((one) => !one.complete || !one.naturalWidth).length,
    images: document.images.length,
    resources: performance.getEntriesByType("resource").map((one) => one.name)
      .filter((name) => !name.startsWith("data:")),
    buttons: [...document.querySelectorAll("button")].filter(seen).length,
    slider: (() => {
      const slider = document.querySelector(".slider");
      const at = () => [...slider.querySelectorAll(".stop")].map(seen).indexOf(true);
      const input = slider.querySelector("input");
      const first = at();
      input.focus();
      input.value = 0;
      input.dispatchEvent(new Event("input"));
      const stops = [...slider.querySelectorAll(".stop")].filter(seen).length;
      return [first, at(), stops, document.activeElement === input,
        input.getAttribute("aria-valuetext")];
    })(),
    alone: [...document.querySelectorAll("details[data-alone]")].map((one) => one.open),
    folds: [...document.querySelectorAll("details:not([data-alone])")].every((one) => one.open),
    alerts: window.alerts || 0,
    dark: getComputedStyle(document.body).backgroundColor,
  }), "*");
});
window.alert = () => { window.alerts = (window.alerts || 0) + 1; };
"""

# A window of the browser has a least width; a frame has not.
FRAME = """<!doctype html><iframe src="report.html" width="{width}" height="900" style="border:0">
</iframe><script>addEventListener("message", (event) => {{
  document.documentElement.dataset.found = event.data; }});</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(NAMES)} is installed"),
]


def look(report: Report, folder: Path, width: int, *more: str) -> tuple[dict[str, Any], str]:
    """What the probe found at a width, and what the browser logged."""
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    text = report.html().replace('loading="lazy" ', "")
    text = text.replace("script-src 'sha256-", f"script-src 'sha256-{digest}' 'sha256-")
    # Before the page's own scripts, so that it is there when they run.
    text = text.replace("<body>", f"<body><script>{PROBE}</script>", 1)
    (folder / "report.html").write_text(text, encoding="utf-8")
    page = folder / "frame.html"
    page.write_text(FRAME.format(width=width), encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [str(BROWSER), *FLAGS, *more, profile, "--window-size=1400,950", "--dump-dom"]
    done = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    match = re.search(r'data-found="([^"]*)"', done.stdout)
    assert match, done.stderr[-2000:]
    return json.loads(match[1].replace("&quot;", '"').replace("&amp;", "&")), done.stderr


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_fits_the_window(report: Report, tmp_path: Path, width: int) -> None:
    found, log = look(report, tmp_path, width)
    assert found["width"] == width
    assert found["scroll"] <= width, found["out"]
    assert found["out"] == []
    assert found["charts"] >= 12
    assert found["text"] >= 8.5  # pixels of the smallest letters
    assert found["broken"] == 0
    assert found["images"] > 100
    assert found["buttons"] == 2
    assert found["slider"] == [1, 0, 1, True, "no edit"]
    assert found["resources"] == []
    assert "CONSOLE" not in log, log


def test_hostile_names_run_nothing(report: Report, tmp_path: Path) -> None:
    found, log = look(evil(report), tmp_path, 360)
    assert found["alerts"] == 0
    assert found["scroll"] <= 360, found["out"]
    assert "CONSOLE" not in log, log


def test_what_is_hidden_stays_closed_when_all_numbers_are_shown(
    report: Report, tmp_path: Path
) -> None:
    subject = report.record.subject
    unsafe = subject.model_copy(update={"concepts": ({**subject.concepts[0], "unsafe": True},)})
    record = report.record.model_copy(update={"subject": unsafe})
    found, _ = look(replace(report, record=record), tmp_path, 800)
    assert found["folds"]
    assert found["alone"] == [False]


def test_it_follows_the_system_into_the_dark(report: Report, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    light, _ = look(report, tmp_path / "a", 800)
    dark, _ = look(report, tmp_path, 800, "--blink-settings=preferredColorScheme=0")
    assert sum(map(int, re.findall(r"\d+", light["dark"]))) > 600
    assert sum(map(int, re.findall(r"\d+", dark["dark"]))) < 150
