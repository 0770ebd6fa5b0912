"""What is in a cache: names, types and axes of every dataset. Shared by `prepare`, `writer` and `reader`.

An index file (`cache.h5`) names the shards that lie in a folder beside it (`cache.shards/`). docs/cache-format.md is
the same for people.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scoresep.errors import ScoresepError
from scoresep.features.harmonics import HarmonicSettings, packed_width
from scoresep.grid import PITCHES, Grid
from scoresep.instruments import DEFAULT_INSTRUMENTS

INDEX_FORMAT = "scoresep-cache"
SHARD_FORMAT = "scoresep-shard"
VERSION = 1
SPLITS = ("train", "validation", "test")
FULL_SCALE = 32767
"""int16 value of a track's largest sample, see `TRACK_COLUMNS['scale']`."""
NOTE_COLUMNS = ("onset", "offset", "pitch", "velocity", "instrument")


@dataclass(frozen=True)
class CacheSettings:
    """Everything that decides what a cache holds, besides the audio and the scores.

    Attributes:
        grid: frame grid.
        instruments: names of the groups, in the order of axis N.
        harmonic: shape of the harmonic masks.
        tracks_per_shard: tracks that share a shard file, the unit of parallel work and of going on after a stop.
    """

    grid: Grid = field(default_factory=Grid)
    instruments: tuple[str, ...] = DEFAULT_INSTRUMENTS
    harmonic: HarmonicSettings = field(default_factory=HarmonicSettings)
    tracks_per_shard: int = 8

    def to_dict(self) -> dict[str, Any]:
        return {
            "grid": self.grid.to_dict(),
            "instruments": list(self.instruments),
            "harmonic": self.harmonic.to_dict(),
            "tracks_per_shard": self.tracks_per_shard,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CacheSettings:
        return cls(
            Grid.from_dict(values["grid"]),
            tuple(values["instruments"]),
            HarmonicSettings(**values["harmonic"]),
            int(values["tracks_per_shard"]),
        )


@dataclass(frozen=True)
class Dataset:
    """One dataset of a shard; its first axis grows track by track.

    Attributes:
        shape: the other axes.
        dtype: of the elements.
        rows: rows of one HDF5 chunk along the first axis; chunks are uncompressed and whole in the other axes.
    """

    shape: tuple[int, ...]
    dtype: str
    rows: int


def shard_datasets(settings: CacheSettings) -> dict[str, Dataset]:
    """The datasets of a shard, by name."""
    count, bins = len(settings.instruments), settings.grid.bins
    return {
        "magnitude": Dataset((bins,), "float16", 128),
        "roll": Dataset((count, packed_width(PITCHES)), "uint8", 1024),
        "onset": Dataset((count, packed_width(PITCHES)), "uint8", 1024),
        "harmonic": Dataset((count, packed_width(bins)), "uint8", 512),
        "mixture": Dataset((), "int16", 1 << 16),
        "stems": Dataset((count,), "int16", 1 << 15),
        "notes": Dataset((len(NOTE_COLUMNS),), "float32", 1024),
    }


TRACK_COLUMNS: dict[str, str] = {
    "id": "str",
    "split": "str",
    "uuid": "str",
    "shard": "int32",
    "first_frame": "int64",
    "frames": "int64",
    "first_sample": "int64",
    "samples": "int64",
    "first_note": "int64",
    "notes": "int64",
    "level": "float64",
    "scale": "float64",
}
"""Columns of the track table besides `active` (bool, tracks x N). Sample values are int16 * scale; `level` is the root
mean square of the mixture, which the networks divide magnitudes by."""

DATASET_SPAN = {
    "magnitude": "frames",
    "roll": "frames",
    "onset": "frames",
    "harmonic": "frames",
    "mixture": "samples",
    "stems": "samples",
    "notes": "notes",
}
"""Which span of the track table a dataset's first axis follows: `first_<span>` and `<span>`."""


@dataclass
class TrackTable:
    """One row a track, one NumPy array a column (Python lists would grow in the memory of workers)."""

    columns: dict[str, np.ndarray]
    active: np.ndarray

    def __len__(self) -> int:
        return len(self.columns["id"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @classmethod
    def from_rows(cls, rows: list[dict[str, Any]], instruments: int) -> TrackTable:
        columns = {
            name: np.array([row[name] for row in rows], dtype=object if dtype == "str" else dtype)
            for name, dtype in TRACK_COLUMNS.items()
        }
        active = np.array([row["active"] for row in rows], dtype=bool).reshape(len(rows), instruments)
        return cls(columns, active)


def shard_folder(index: Path) -> Path:
    """Where the shards of the cache `index` lie."""
    return index.with_name(index.stem + ".shards")


def shard_name(number: int) -> str:
    """File name of shard `number` inside the shard folder."""
    return f"shard-{number:05d}.h5"


def difference(made: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> str:
    """The first setting in which two settings differ, as 'name: made, not wanted', or ''."""
    for name in made.keys() | wanted.keys():
        a, b = made.get(name), wanted.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            if inner := difference(a, b, f"{prefix}{name}."):
                return inner
        elif json.dumps(a) != json.dumps(b):
            return f"{prefix}{name} is {json.dumps(a)}, not {json.dumps(b)}"
    return ""


def check_header(attributes: Any, path: Path, expected: str) -> None:
    """Refuse an HDF5 file that is not ours or of another version.

    Raises:
        ScoresepError: with what the file is and what to do.
    """
    found = attributes.get("format")
    if found != expected:
        if found == SHARD_FORMAT:
            raise ScoresepError(f"{path} is one shard of a cache; give the index beside its folder instead")
        raise ScoresepError(f"{path} is not a scoresep cache; make one with `scoresep prepare slakh --out cache.h5`")
    if int(attributes.get("version", -1)) != VERSION:
        raise ScoresepError(
            f"{path} is a cache of version {attributes.get('version')}, this scoresep reads version {VERSION}; "
            "prepare it anew"
        )
