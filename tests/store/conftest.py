"""What the tests of the store share."""

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest


@contextmanager
def _limited(size: int) -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def tiny_disk() -> Callable[[], AbstractContextManager[int]]:
    """While it is open, no file may grow beyond so many bytes: the system refuses as a full disk.

    A context and not a state of the whole test: the limit is the process's, and would also stop
    the runner from writing its own progress to a file.
    """
    return lambda: _limited(4096)
