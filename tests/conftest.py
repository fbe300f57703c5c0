"""What all tests share: no network, no cache of the user's, hypothesis without surprises."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["HF_HUB_OFFLINE"] = "1"  # before any test imports a library that would ask the hub
os.environ["TRANSFORMERS_OFFLINE"] = "1"

# Workers beside one another share the cores; each would take all of them, also what it starts.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    cores = str(max(1, (os.cpu_count() or 1) // int(workers)))
    os.environ.setdefault("OMP_NUM_THREADS", cores)

# A shell starts what runs in its background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Derandomised, so that a failure is the code's and not the day's.
settings.register_profile(
    "excise",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("excise")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests out of the user's cache, and each out of the other's."""
    monkeypatch.setenv("EXCISE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def source() -> Path:
    """The folder of the package's source."""
    return Path(__file__).parents[1] / "src" / "excise"
