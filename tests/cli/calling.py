from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from excise.cli.app import app


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
