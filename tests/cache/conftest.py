"""Caches to compare, and a folder of songs that takes `scoresep prepare` three shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

SONGS = 18
"""Two full shards of the default size, and a shard of two songs."""


def content_of(index: Path) -> dict[str, object]:
    """Every dataset and attribute of a cache, by file and name."""
    found: dict[str, object] = {}
    for path in [index, *sorted(index.with_name(f"{index.stem}.shards").glob("shard-*.h5"))]:
        with h5py.File(path, "r", locking=False) as file:
            place = "index" if path == index else path.name
            found |= {f"{place}@{name}": value for name, value in file.attrs.items()}
            datasets: list[str] = []
            file.visit(datasets.append)
            found |= {f"{place}/{name}": file[name][()] for name in datasets if isinstance(file[name], h5py.Dataset)}
    return found


def assert_same_caches(a: Path, b: Path) -> None:
    one, other = content_of(a), content_of(b)
    assert one.keys() == other.keys() and len(one) > 20
    for name in one:
        assert np.array_equal(one[name], other[name]), name


@pytest.fixture(scope="session")
def content() -> Callable[[Path], dict[str, object]]:
    """A function that gives all that a cache holds."""
    return content_of


@pytest.fixture(scope="session")
def assert_same() -> Callable[[Path, Path], None]:
    """A function that fails unless two caches are equal, dataset by dataset."""
    return assert_same_caches


@pytest.fixture
def songs(tmp_path: Path, make) -> Path:
    """A folder of recordings of one second with their scores, song00 to song17; piano alone."""
    folder = tmp_path / "songs"
    for number in range(SONGS):
        notes = [(0.1, 0.5, 50 + number), (0.5, 0.9, 55 + number)]
        make.midi(folder / f"song{number:02d}.mid", notes)
        soundfile.write(folder / f"song{number:02d}.wav", make.play(notes, 1.0), make.rate)
    return folder
