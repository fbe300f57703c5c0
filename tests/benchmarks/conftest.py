"""The benchmarks are scripts beside the package: their folder is put where Python looks."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks"
collect_ignore_glob = [] if FOLDER.is_dir() else ["test_*.py"]
sys.path.insert(0, str(FOLDER))
