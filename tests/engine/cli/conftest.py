"""Commands that run inside the test process change its number of threads; each test starts with the same number."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
