"""What a machine says that it offers."""

from __future__ import annotations

import os

import pytest
import torch

from scoresep.errors import ScoresepError
from scoresep.machine import available_cores, choose_device


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_a_device_by_its_name():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu", "cuda:99", ""])
def test_a_device_that_is_not_there(name: str):
    with pytest.raises(ScoresepError, match=f"device '{name}' is not to be had here; auto and cpu always are"):
        choose_device(name)
