import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Small batches gain nothing from a second thread, and lose much where others want it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
