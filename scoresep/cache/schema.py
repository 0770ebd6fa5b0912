"""What is in a cache: names, types and axes of every dataset, the version, the settings.

An index file (`cache.h5`) names the shards that lie in a folder beside it (`cache.shards/`). docs/reference/cache.md is
the same for people.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from scoresep.cache import ScoreCheck, Teacher
from scoresep.grid import PITCHES, Grid, packed_width
from scoresep.instruments import DEFAULT_INSTRUMENTS, Instrument, choose
from scoresep.masks.harmonic import HarmonicSettings
from scoresep.masks.percussive import PercussiveSettings
from scoresep.nmf import FactoriseSettings

INDEX_FORMAT = "scoresep-cache"
SHARD_FORMAT = "scoresep-shard"
CACHE_VERSION, PLAIN_VERSION = 4, 3
"""Of caches with and without weakly labelled tracks; the latter are what they were before there were any."""
FULL_SCALE = 32767
"""int16 value of a track's largest sample, see `TRACK_COLUMNS['scale']`."""
MOST_ROWS = 2**48
"""Rows of a dataset; numbers above it in a track table are no places, and might not add up."""
NOTE_COLUMNS = ("onset", "offset", "pitch", "velocity", "instrument")
TEMPLATE_COLUMNS = ("instrument", "pitch")
FACTORS = ("template", "template_of", "component", "activation", "activation_end")
"""The datasets of the teacher: `nmf.Factors` in half precision, entries frame by frame."""


@dataclass(frozen=True)
class CacheSettings:
    """Everything that decides what a cache holds, besides the audio and the scores.

    Attributes:
        grid: frame grid.
        instruments: the groups, in the order of axis N.
        harmonic: shape of the masks of harmonic groups.
        percussive: shape of the masks of percussive groups.
        tracks_per_shard: tracks that share a shard file, the unit of parallel work and of going on after a stop.
        score_check: what becomes of a track with a stem that contradicts its score.
        stems: whether the audio of isolated stems is kept.
        teacher: what estimates the stems of training mixtures.
        factorise: shape and search of the teacher's factors.
        weak: whether some tracks have weak labels instead of a score.
    """

    grid: Grid = field(default_factory=Grid)
    instruments: tuple[Instrument, ...] = field(default_factory=lambda: choose(DEFAULT_INSTRUMENTS))
    harmonic: HarmonicSettings = field(default_factory=HarmonicSettings)
    percussive: PercussiveSettings = field(default_factory=PercussiveSettings)
    tracks_per_shard: int = 8
    score_check: ScoreCheck = "flag"
    stems: bool = True
    teacher: Teacher = "nmf"
    factorise: FactoriseSettings = field(default_factory=FactoriseSettings)
    weak: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(instrument.name for instrument in self.instruments)

    @property
    def version(self) -> int:
        """The format version of a cache with these settings."""
        return CACHE_VERSION if self.weak else PLAIN_VERSION

    def to_dict(self) -> dict[str, Any]:
        groups = {instrument.name: instrument.to_dict() for instrument in self.instruments}
        values = asdict(self) | {"instruments": list(self.names), "factorise": self.factorise.to_dict()}
        if not self.weak:
            del values["weak"]
        return {"grid": values.pop("grid"), "instruments": values.pop("instruments"), "groups": groups, **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CacheSettings:
        return cls(
            Grid.from_dict(values["grid"]),
            tuple(Instrument.from_dict(values["groups"][name]) for name in values["instruments"]),
            HarmonicSettings(**values["harmonic"]),
            PercussiveSettings(**values["percussive"]),
            int(values["tracks_per_shard"]),
            _one_of(values["score_check"], ScoreCheck),
            bool(values["stems"]),
            _one_of(values["teacher"], Teacher),
            FactoriseSettings(**values["factorise"]),
            bool(values.get("weak", False)),
        )


def _one_of(value: Any, choices: Any) -> Any:
    if value not in get_args(choices):
        raise ValueError(f"{value!r} is not one of {', '.join(get_args(choices))}")
    return value


@dataclass(frozen=True)
class ArraySpec:
    """One dataset of a shard; its first axis grows track by track.

    Attributes:
        shape: the other axes.
        dtype: of the elements.
        rows: rows of one HDF5 chunk along the first axis; chunks are uncompressed and whole in the other axes.
    """

    shape: tuple[int, ...]
    dtype: str
    rows: int


def shard_datasets(settings: CacheSettings) -> dict[str, ArraySpec]:
    """The datasets of a shard, by name."""
    count, bins = len(settings.instruments), settings.grid.bins
    datasets = {
        "magnitude": ArraySpec((bins,), "float16", 128),
        "roll": ArraySpec((count, packed_width(PITCHES)), "uint8", 1024),
        "onset": ArraySpec((count, packed_width(PITCHES)), "uint8", 1024),
        "harmonic": ArraySpec((count, packed_width(bins)), "uint8", 512),
        "weak": ArraySpec((count,), "uint8", 1 << 12),
        "mixture": ArraySpec((), "int16", 1 << 16),
        "stems": ArraySpec((count,), "int16", 1 << 15),
        "notes": ArraySpec((len(NOTE_COLUMNS),), "float32", 1024),
        "template": ArraySpec((bins,), "float16", 32),
        "template_of": ArraySpec((len(TEMPLATE_COLUMNS),), "int16", 1024),
        "component": ArraySpec((), "uint16", 1 << 14),
        "activation": ArraySpec((), "float16", 1 << 14),
        "activation_end": ArraySpec((), "uint32", 1 << 12),
    }
    absent = {*(() if settings.stems else ("stems",)), *(() if settings.weak else ("weak",))}
    absent |= set() if settings.teacher == "nmf" else {*FACTORS}
    return {name: dataset for name, dataset in datasets.items() if name not in absent}


def unpack(bits: np.ndarray, count: int) -> np.ndarray:
    """Packed bits uint8 (..., bytes) -> bool (..., count)."""
    return np.unpackbits(bits, axis=-1, count=count, bitorder="little").view(bool)


def pack(values: np.ndarray) -> np.ndarray:
    """bool (..., count) -> packed bits uint8 (..., bytes)."""
    return np.packbits(values, axis=-1, bitorder="little")


SPANS = {
    "frames": ("magnitude", "roll", "onset", "harmonic", "weak", "activation_end"),
    "samples": ("mixture", "stems"),
    "notes": ("notes",),
    "templates": ("template", "template_of"),
    "activations": ("component", "activation"),
}
"""Columns of the track table that count rows, and the datasets whose rows along the first axis they count."""
DATASET_SPAN = {dataset: span for span, datasets in SPANS.items() for dataset in datasets}
FIRST_COLUMN = {span: f"first_{span.removesuffix('s')}" for span in SPANS}
"""Which column says where they begin in the shard."""
TRACK_COLUMNS: dict[str, str] = {
    **dict.fromkeys(("id", "split", "uuid"), "str"),
    "shard": "int32",
    **{column: "int64" for span in SPANS for column in (FIRST_COLUMN[span], span)},
    **dict.fromkeys(("level", "scale"), "float64"),
}
"""Columns of the track table besides `active` (bool, tracks x N). Sample values are int16 * scale; `level` is the root
mean square of the mixture, which the networks divide magnitudes by."""


@dataclass
class TrackTable:
    """One row a track, one NumPy array a column (Python lists would grow in the memory of workers)."""

    columns: dict[str, np.ndarray]
    active: np.ndarray

    def __len__(self) -> int:
        return len(self.columns["id"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def span(self, dataset: str, row: int) -> tuple[int, int]:
        """Where the rows of `dataset` of a track begin in its shard, and how many they are."""
        count = DATASET_SPAN[dataset]
        return int(self[FIRST_COLUMN[count]][row]), int(self[count][row])

    def rows_needed(self, dataset: str, shard: int) -> int:
        """Rows of `dataset` that the tracks of a shard take."""
        count = DATASET_SPAN[dataset]
        ends = self[FIRST_COLUMN[count]] + self[count]
        return int(ends[self["shard"] == shard].max(initial=0))

    def check(self) -> None:
        """Refuse columns that contradict each other or themselves.

        Raises:
            ValueError: they do.
        """
        if {len(column) for column in (*self.columns.values(), self.active)} != {len(self)}:
            raise ValueError("columns of the track table differ in length")
        whole = [self[name] for name, dtype in TRACK_COLUMNS.items() if dtype.startswith("int")]
        if any(((column < 0) | (column > MOST_ROWS)).any() for column in whole):
            raise ValueError("the track table holds impossible places")
        if not all(((column > 0) & (column < np.inf)).all() for column in (self["level"], self["scale"])):
            raise ValueError("the track table holds impossible levels")


@dataclass(frozen=True)
class Excluded:
    """A track that is not in the cache.

    Attributes:
        track, split: its id and where it would have been.
        reason: why.
        deliberate: whether it is so by choice (the split set, a duplicate), and nothing is wrong with the track.
    """

    track: str
    split: str
    reason: str
    deliberate: bool = False


@dataclass(frozen=True)
class StemFinding:
    """Something odd about a stem of a track: see `score_check`."""

    track: str
    stem: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Unused:
    """What of a usable track is not in the cache, for one reason.

    Attributes:
        track: its id.
        stems: names of the stems, by blanks; '' where it is about notes.
        count: how many.
        reason: of what, and why.
    """

    track: str
    stems: str
    count: int
    reason: str


NO_GROUP = "stems of no chosen instrument"
NO_AUDIO = "stems without audio"
NO_SCORE = "parts of 'other', whose score is not asked for"

RECORDS: dict[str, type] = {"excluded": Excluded, "findings": StemFinding}
"""Lists of the index besides the track table: a group each, its datasets the fields."""


def shard_folder(index: Path) -> Path:
    """Where the shards of the cache `index` lie."""
    return index.with_name(index.stem + ".shards")


def shard_name(number: int) -> str:
    """File name of shard `number` inside the shard folder."""
    return f"shard-{number:05d}.h5"


def difference(made: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> str:
    """The first setting in which two settings differ, as 'name is made, not wanted', or ''."""
    for name in [*wanted, *sorted(made.keys() - wanted.keys())]:
        a, b = made.get(name), wanted.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            if inner := difference(a, b, f"{prefix}{name}."):
                return inner
        elif json.dumps(a) != json.dumps(b):
            one, other = ("missing" if value is None else json.dumps(value) for value in (a, b))
            return f"{prefix}{name} is {one}, not {other}"
    return ""
