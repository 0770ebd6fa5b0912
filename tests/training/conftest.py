"""What several tests of training need."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.losses.batch import Batch, Crop
from scoresep.training.loader import stream


@pytest.fixture
def read() -> Callable[[Cache, Sequence[Crop]], Batch]:
    """A function that reads clips as one batch on the CPU."""

    def make(cache: Cache, crops: Sequence[Crop], frames: int = 32) -> Batch:
        (batch,) = stream(cache, frames, [crops], 0, torch.device("cpu"))
        return batch

    return make
