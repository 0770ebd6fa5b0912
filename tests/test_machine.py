"""What a machine says that it offers."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from scoresep import machine
from scoresep.errors import Unavailable
from scoresep.machine import WAITING, available_cores, choose_device, use_threads


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.integration
@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is Linux's OpenMP")
@pytest.mark.parametrize(
    ("said", "policy"),
    [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"), ({"GOMP_SPINCOUNT": "10"}, None)],
)
def test_threads_sleep_at_barriers_unless_the_user_says_otherwise(said, policy):
    """What OpenMP itself says that it heard when torch loaded it."""
    kept = {name: value for name, value in os.environ.items() if name not in WAITING}
    ended = subprocess.run(
        [sys.executable, "-c", "import scoresep, torch, os; print(os.environ.get('OMP_WAIT_POLICY'))"],
        env={**kept, **said, "OMP_DISPLAY_ENV": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == [str(policy)]
    assert "OMP_WAIT_POLICY = '" in ended.stderr
    if policy:
        assert f"OMP_WAIT_POLICY = '{policy}'" in ended.stderr


@pytest.mark.parametrize(
    ("wish", "processes", "expected"),
    [("", 1, 6), ("", 2, 3), ("", 99, 1), ("4", 1, 4), ("1", 1, 1), ("5", 2, 5), ("1", 2, 3)],
)
def test_threads_are_this_process_s_part_of_the_cores(monkeypatch, wish, processes, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", wish)
    monkeypatch.setattr(machine, "available_cores", lambda: 6)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(int(wish or 2))  # as torch takes it from the environment when it is loaded
        use_threads(processes)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


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


@pytest.mark.integration
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
def test_a_device_that_is_not_there(refused, name: str):
    with refused(Unavailable) as info:
        choose_device(name)
    assert f"'{name}'" in info.value.problem
