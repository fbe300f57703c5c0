"""Plugins of another package, as registered there by entry points."""

from __future__ import annotations

import importlib.metadata

import pytest


def install(monkeypatch: pytest.MonkeyPatch, group: str, **found: str) -> None:
    """As if a package with these plugins were installed, alone; each as ``module:Class``."""

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        own = found if group == wanted else {}
        return [importlib.metadata.EntryPoint(name, of, group) for name, of in own.items()]

    wanted = group
    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
