from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small batches gain nothing from a second thread, and lose much where others want it."""
    with threadpool_limits(1):
        yield
