"""Reading a cache: contiguous slices of the shards by track.
A `Cache` may be pickled and may cross a fork: file handles belong to the process that opened them. Stems are read by
`stems` alone, which only evaluation calls; training under a supervision by stems reads them in `training.clip_dataset`.

A cache may come from anyone. What the index says is checked when it is opened, what a shard says when that is: nothing
in them leads to another file (`plain`), takes more memory than they have bytes, or points beyond the data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scoresep.cache.plain import numbers, plain_dataset, text_attribute, texts
from scoresep.cache.schema import (
    DATASET_SPAN,
    INDEX_FORMAT,
    RECORDS,
    SHARD_FORMAT,
    TRACK_COLUMNS,
    CacheSettings,
    Excluded,
    StemFinding,
    TrackTable,
    check_header,
    check_table,
    rows_needed,
    shard_datasets,
    shard_folder,
    shard_name,
)
from scoresep.datasets.splits import Leak
from scoresep.errors import ScoresepError, first_line
from scoresep.files import existing_file
from scoresep.grid import PITCHES, Grid
from scoresep.instruments import Instrument, checked
from scoresep.nmf import Factors

REMEDY = "make one with `scoresep prepare slakh --out cache.h5`"
SHARD_REMEDY = "delete it, prepare again"


class Cache:
    """An index and its shards.

    Attributes:
        path: the index file.
        settings: what the cache was made with.
        corpus, split_set, rules: where its tracks come from, how they were split, which label rules were applied.
        digest: identity of the content.
        tracks: the track table.
        excluded: tracks that were left out.
        findings: oddities of the tracks that were not.
        leaks: compositions that lie in several splits.

    Raises:
        ScoresepError: no such file, a foreign HDF5 file, another version, a damaged index.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = existing_file(path, "cache", REMEDY).resolve()
        try:
            with h5py.File(self.path, "r", locking=False) as file:
                check_header(file.attrs, self.path, INDEX_FORMAT)
                self._read_index(file)
        except ScoresepError:
            raise
        except Exception as fault:  # HDF5 and values of the wrong type raise OSError, RuntimeError, KeyError, ...
            raise ScoresepError(f"{self.path} is not a readable cache ({first_line(fault)}); {REMEDY}") from fault
        self._files: dict[int, h5py.File] = {}
        self._datasets: dict[tuple[int, str], h5py.Dataset] = {}
        self._owner = os.getpid()

    def _read_index(self, file: h5py.File) -> None:
        about = json.loads(text_attribute(file, "about"))
        try:
            self.settings = CacheSettings.from_dict(about["settings"])
            checked(self.settings.instruments)
        except ScoresepError as fault:  # it would not name the file
            raise ValueError(str(fault)) from fault
        self.corpus, self.split_set = str(about["corpus"]), str(about["split_set"])
        self.rules: list[str] = [str(rule) for rule in about["rules"]]
        self.digest = text_attribute(file, "digest")
        columns = {
            name: texts(file, f"tracks/{name}") if dtype == "str" else numbers(file, f"tracks/{name}", dtype)
            for name, dtype in TRACK_COLUMNS.items()
        }
        active = numbers(file, "tracks/active", "uint8", (len(self.instruments),))
        self.tracks = TrackTable(columns, active.astype(bool))
        check_table(self.tracks)
        self.excluded: list[Excluded] = _records(file, "excluded")
        self.findings: list[StemFinding] = _records(file, "findings")
        self.leaks = [
            Leak(str(leak["uuid"]), tuple(map(str, leak["tracks"])), tuple(map(str, leak["splits"])))
            for leak in json.loads(text_attribute(file, "leaks"))
        ]

    @property
    def grid(self) -> Grid:
        return self.settings.grid

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return self.settings.instruments

    @property
    def names(self) -> tuple[str, ...]:
        """The instruments' names."""
        return self.settings.names

    @property
    def has_stems(self) -> bool:
        """Whether the cache holds isolated stems."""
        return self.settings.stems

    @property
    def has_teacher(self) -> bool:
        """Whether the cache holds a teacher's factors."""
        return self.settings.teacher != "none"

    def rows(self, split: str) -> np.ndarray:
        """Rows of the track table that belong to `split`: int64 (K,)."""
        return np.flatnonzero(self.tracks["split"] == split)

    def slice(self, name: str, row: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Rows first to first + count of dataset `name` of track `row`, as stored; `count` None: to its end."""
        span = DATASET_SPAN[name]
        start, length = int(self.tracks[f"first_{span.rstrip('s')}"][row]), int(self.tracks[span][row])
        end = length if count is None else first + count
        if not 0 <= first <= end <= length:
            raise IndexError(f"{name}[{first}:{end}] of track {self.tracks['id'][row]}, which has {length}")
        return self._dataset(int(self.tracks["shard"][row]), name)[start + first : start + end]

    def magnitude(self, row: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Mixture magnitudes, float16 (T, F); divide by `level(row)` for the networks."""
        return self.slice("magnitude", row, first, count)

    def roll(self, row: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Sounding keys, bool (T, N, P)."""
        return unpack(self.slice("roll", row, first, count), PITCHES)

    def onset(self, row: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """First frames of notes, bool (T, N, P)."""
        return unpack(self.slice("onset", row, first, count), PITCHES)

    def harmonic(self, row: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Harmonic masks, bool (T, N, F)."""
        return unpack(self.slice("harmonic", row, first, count), self.grid.bins)

    def level(self, row: int) -> float:
        """Root mean square of the track's mixture."""
        return float(self.tracks["level"][row])

    def mixture(self, row: int) -> np.ndarray:
        """Audio of the mixture, float32 (L,)."""
        return self.slice("mixture", row) * np.float32(self.tracks["scale"][row])

    def stems(self, row: int) -> np.ndarray:
        """Audio of the instruments, float32 (N, L): evaluation only.

        Raises:
            ScoresepError: the corpus has none.
        """
        if not self.has_stems:
            raise ScoresepError(f"{self.path} holds no stems: its corpus has recordings and scores only")
        return np.ascontiguousarray(self.slice("stems", row).T) * np.float32(self.tracks["scale"][row])

    def notes(self, row: int) -> np.ndarray:
        """Notes of the score, float32 (K, 5): onset s, offset s, pitch, velocity, instrument.

        Raises:
            ScoresepError: some are impossible.
        """
        notes = self.slice("notes", row)
        onset, offset, pitch, velocity, instrument = notes.T
        fits = (onset >= 0) & (onset <= offset) & np.isfinite(offset) & (pitch >= 0) & (pitch < 128)
        if not (fits & np.isfinite(velocity) & np.isin(instrument, range(len(self.instruments)))).all():
            raise self._damaged(row, "notes")
        return notes

    def factors(self, row: int) -> Factors:
        """The teacher's factors of the whole track, in half precision; magnitudes are relative to its level.

        Raises:
            ScoresepError: the cache was prepared without a teacher.
        """
        if not self.has_teacher:
            raise ScoresepError(f"{self.path} holds no teacher; prepare it with --teacher nmf")
        instrument, pitch = self.slice("template_of", row).T.astype(np.int32)
        factors = Factors(
            templates=self.slice("template", row),
            instrument=instrument,
            pitch=pitch,
            first=np.append(0, self.slice("activation_end", row)).astype(np.int64),
            component=self.slice("component", row),
            activation=self.slice("activation", row),
            instruments=len(self.instruments),
        )
        in_order = (np.diff(factors.first) >= 0).all() and factors.first[-1] == len(factors.component)
        known = np.isin(instrument, range(factors.instruments)).all()
        if not (in_order and known and factors.component.max(initial=0) < max(len(factors.templates), 1)):
            raise self._damaged(row, "factors")  # compiled loops index by them, unchecked
        return factors

    def _damaged(self, row: int, what: str) -> ScoresepError:
        path = self.shard_path(int(self.tracks["shard"][row]))
        return ScoresepError(f"{path} is damaged: {what} of {self.tracks['id'][row]} are impossible; prepare again")

    def shard_path(self, shard: int) -> Path:
        return shard_folder(self.path) / shard_name(shard)

    def _dataset(self, shard: int, name: str) -> h5py.Dataset:
        """A dataset of a shard, which holds the rows that the index expects of it."""
        if self._owner != os.getpid():  # after a fork: the parent's handles are not ours to use or to close
            self._files, self._datasets, self._owner = {}, {}, os.getpid()
        if (shard, name) not in self._datasets:
            path = existing_shard(self.shard_path(shard))
            with shard_faults(path):
                self._datasets[shard, name] = self._open(path, shard, name)
        return self._datasets[shard, name]

    def _open(self, path: Path, shard: int, name: str) -> h5py.Dataset:
        if shard not in self._files:
            self._files[shard] = open_shard(path)
        expected = shard_datasets(self.settings)[name]
        dataset = plain_dataset(self._files[shard], name, expected.shape, expected.dtype)
        needed = rows_needed(self.tracks, shard, DATASET_SPAN[name])
        if len(dataset) < needed:
            raise ValueError(f"'{name}' has {len(dataset)} rows of {needed}")
        return dataset

    def close(self) -> None:
        """Close the shards that are open in this process."""
        for file in self._files.values():
            file.close()
        self._files, self._datasets = {}, {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}, "_datasets": {}}


def existing_shard(path: Path) -> Path:
    """`path`.

    Raises:
        ScoresepError: no such file.
    """
    return existing_file(path, "shard", "the cache is incomplete; prepare it again")


def open_shard(path: Path) -> h5py.File:
    """A shard, for reading; within `shard_faults`."""
    file = h5py.File(path, "r", locking=False)
    try:
        check_header(file.attrs, path, SHARD_FORMAT)
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def shard_faults(path: Path) -> Iterator[None]:
    """Turn whatever comes of reading a shard that is none, or damaged, into one line with a remedy."""
    try:
        yield
    except ScoresepError:
        raise
    except Exception as fault:  # as in opening the index
        raise ScoresepError(f"{path} is not a readable shard ({first_line(fault)}); {SHARD_REMEDY}") from fault


def _records(file: h5py.File, name: str) -> list[Any]:
    """One of the index's lists (`schema.RECORDS`)."""
    kind = RECORDS[name]
    columns = [
        numbers(file, f"{name}/{field.name}", "uint8").astype(bool).tolist()
        if field.type == "bool"
        else texts(file, f"{name}/{field.name}").tolist()
        for field in fields(kind)
    ]
    return [kind(*values) for values in zip(*columns, strict=True)]


def unpack(bits: np.ndarray, count: int) -> np.ndarray:
    """Packed bits (..., bytes) -> bool (..., count)."""
    return np.unpackbits(bits, axis=-1, count=count, bitorder="little").view(bool)


def pack(values: np.ndarray) -> np.ndarray:
    """bool (..., count) -> packed bits uint8 (..., bytes)."""
    return np.packbits(values, axis=-1, bitorder="little")
