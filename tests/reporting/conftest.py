from __future__ import annotations

import pytest
from tests.reporting import factory

from excise.reporting import Report


@pytest.fixture(scope="session")
def report() -> Report:
    """A report with every section."""
    return factory.record()
