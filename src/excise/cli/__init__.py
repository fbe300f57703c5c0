"""The command line: each command is one call of the function of that name."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``excise``; what the installed script calls."""
    try:
        from excise.cli.app import run
    except KeyboardInterrupt:  # before anything has begun
        sys.stderr.write("Stopped.\n")
        sys.exit(130)
    run()
