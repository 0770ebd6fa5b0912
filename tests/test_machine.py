"""What a machine says that it offers."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from scoresep.errors import ScoresepError
from scoresep.machine import available_cores, choose_device


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


FAULTS = """
import resource, sys
import numpy as np
from scoresep.machine import keep_freed_memory
if len(sys.argv) > 1:
    keep_freed_memory()
np.ones(3_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    a, b, c = (np.ones(3_000_000) for _ in range(3))
    del a, b, c
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_kept_memory_needs_no_new_pages():
    """20 times three arrays of 24 MB: page by page anew, or the same pages again."""

    def faults(*arguments: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FAULTS, *arguments], capture_output=True, check=True).stdout)

    assert faults("keep") < 0.2 * faults()


def test_a_device_by_its_name():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu", "cuda:99", ""])
def test_a_device_that_is_not_there(name: str):
    with pytest.raises(ScoresepError, match=f"device '{name}' is not to be had here; auto and cpu always are"):
        choose_device(name)
