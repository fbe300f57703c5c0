"""The command line: each command is one call of the function of that name."""

from __future__ import annotations


def main() -> None:
    """Run ``excise``; what the installed script calls."""
    from excise.cli.app import run

    run()
