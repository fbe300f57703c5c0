from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest


@pytest.fixture
def tiny_disk() -> Iterator[int]:
    """No file may grow beyond this many bytes: the system refuses as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield 4096
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
