"""The benchmarks run: on next to nothing, for their results rather than their times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("bench_prepare.py --tracks 1 --seconds 4 --repeats 1", ["prepare / floor", "usual / prepare", "score check"]),
        ("bench_masks.py --repeats 1", ["times as long"]),
        ("bench_factorise.py --seconds 4 --repeats 1", ["times real time"]),
        ("bench_separate.py --minutes 0.02 --recipe mini --open-unmix-minutes=", ["| separate | 0.02 |"]),
    ],
)
def test_a_benchmark_runs(tmp_path, line, words):
    ended = subprocess.run(
        [sys.executable, TOOLS / line.split()[0], *line.split()[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert all(word in ended.stdout for word in words), ended.stdout
