"""What the tests on a GPU share. All are marked `gpu`: `pytest tests/gpu`, and `--device cpu` to try them without one.

Tolerances: integers, bits and halves are the same; float32 differs by rounding, since sums run in another order, by
`ROUNDING` of the largest value; bfloat16 has 8 bits, and a network's results differ by `COARSE` of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

ROUNDING, COARSE = 1e-4, 0.05


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    own = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in own:
        item.add_marker(pytest.mark.gpu)
    left_out = [item for place, item in enumerate(own) if place % config.getoption("--every")]
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device that is compared with the CPU."""
    found = torch.device(request.config.getoption("--device"))
    if found.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU here; --device cpu tries the test without one")
    return found


def near(found: Tensor, expected: Tensor, share: float = ROUNDING) -> None:
    """Assert that values differ by at most `share` of the largest one."""
    assert found.shape == expected.shape and found.dtype == expected.dtype
    wrong = float((found.detach().cpu() - expected.detach().cpu()).abs().max()) if found.numel() else 0.0
    largest = float(expected.detach().abs().max()) if found.numel() else 0.0
    assert wrong <= share * largest, f"off by {wrong:.2e}, of {largest:.2e} at most"


@pytest.fixture(scope="session")
def close():
    """`near`, and its tolerances as `close.rounding` and `close.coarse`."""
    near.rounding, near.coarse = ROUNDING, COARSE
    return near
