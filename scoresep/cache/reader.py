"""Reading a cache: contiguous slices of the shards by track.

A `Cache` may be pickled and may cross a fork: file handles belong to the process that opened them. Stems are read by
`stems` alone.

A cache may come from anyone. What the index says is checked when it is opened, what a shard says when that is: nothing
in them leads to another file (`hdf5`), takes more memory than they have bytes, or points beyond the data.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scoresep.cache.hdf5 import numbers, plain_dataset, text_attribute, texts
from scoresep.cache.schema import (
    CACHE_VERSION,
    INDEX_FORMAT,
    PLAIN_VERSION,
    RECORDS,
    SHARD_FORMAT,
    TRACK_COLUMNS,
    CacheSettings,
    Excluded,
    StemFinding,
    TrackTable,
    shard_datasets,
    shard_folder,
    shard_name,
    unpack,
)
from scoresep.datasets.splits import SplitLeakage
from scoresep.errors import Damaged, NotFound, ScoresepError, WrongFormat, WrongVersion, first_line
from scoresep.files import existing_file
from scoresep.grid import PITCHES, Grid
from scoresep.instruments import Instrument, checked
from scoresep.nmf import Factors

CACHE_REMEDY = "make one with `scoresep prepare slakh --out cache.h5`"
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
        split_leakage: compositions that lie in several splits.

    Raises:
        ScoresepError: no such file, a foreign HDF5 file, another version, a damaged index.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = existing_file(path, "cache", CACHE_REMEDY).resolve()
        try:
            with h5py.File(self.path, "r", locking=False) as file:
                check_header(file, INDEX_FORMAT)
                self._read_index(file)
        except (WrongFormat, WrongVersion):
            raise
        except Exception as fault:  # HDF5 and values of the wrong type raise OSError, RuntimeError, KeyError, ...
            raise Damaged(f"not a readable cache ({first_line(fault)})", file=self.path, remedy=CACHE_REMEDY) from fault
        self._files: dict[int, h5py.File] = {}
        self._datasets: dict[tuple[int, str], h5py.Dataset] = {}
        self._owner = os.getpid()

    def _read_index(self, file: h5py.File) -> None:
        about = json.loads(text_attribute(file, "about"))
        self.settings = CacheSettings.from_dict(about["settings"])
        checked(self.settings.instruments)
        self.corpus, self.split_set = str(about["corpus"]), str(about["split_set"])
        self.rules: list[str] = [str(rule) for rule in about["rules"]]
        self.digest = text_attribute(file, "digest")
        columns = {
            name: texts(file, f"tracks/{name}") if dtype == "str" else numbers(file, f"tracks/{name}", dtype)
            for name, dtype in TRACK_COLUMNS.items()
        }
        active = numbers(file, "tracks/active", "uint8", (len(self.instruments),))
        self.tracks = TrackTable(columns, active.astype(bool))
        self.tracks.check()
        self.excluded: list[Excluded] = _records(file, "excluded")
        self.findings: list[StemFinding] = _records(file, "findings")
        self.split_leakage = [
            SplitLeakage(str(item["uuid"]), tuple(map(str, item["tracks"])), tuple(map(str, item["splits"])))
            for item in json.loads(text_attribute(file, "leaks"))
        ]

    @property
    def grid(self) -> Grid:
        return self.settings.grid

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return self.settings.instruments

    @property
    def names(self) -> tuple[str, ...]:
        return self.settings.names

    @property
    def has_stems(self) -> bool:
        return self.settings.stems

    @property
    def has_teacher(self) -> bool:
        return self.settings.teacher != "none"

    def rows(self, split: str) -> np.ndarray:
        """Rows of the track table that belong to `split`: int64 (K,)."""
        return np.flatnonzero(self.tracks["split"] == split)

    def slice(self, name: str, row: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Rows first to first + count of dataset `name` of track `row`, as stored; `count` None: to its end."""
        start, length = self.tracks.span(name, row)
        end = length if count is None else first + count
        if not 0 <= first <= end <= length:
            raise IndexError(f"{name}[{first}:{end}] of track {self.tracks['id'][row]}, which has {length}")
        rows: np.ndarray = self._dataset(int(self.tracks["shard"][row]), name)[start + first : start + end]
        return rows

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
            NotFound: the dataset has none.
        """
        if not self.has_stems:
            raise NotFound(
                "the cache holds no stems, only recordings and scores",
                file=self.path,
                remedy="prepare a dataset that has stems",
            )
        return np.ascontiguousarray(self.slice("stems", row).T) * np.float32(self.tracks["scale"][row])

    def notes(self, row: int) -> np.ndarray:
        """Notes of the score, float32 (K, 5): onset s, offset s, pitch, velocity, instrument.

        Raises:
            Damaged: some are impossible.
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
            NotFound: the cache was prepared without a teacher.
            Damaged: they contradict each other.
        """
        if not self.has_teacher:
            raise NotFound("the cache holds no teacher", file=self.path, remedy="prepare it with --teacher nmf")
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

    def _damaged(self, row: int, what: str) -> Damaged:
        path = self.shard_path(int(self.tracks["shard"][row]))
        return Damaged(f"the {what} of {self.tracks['id'][row]} are impossible", file=path, remedy=SHARD_REMEDY)

    def shard_path(self, shard: int) -> Path:
        return shard_folder(self.path) / shard_name(shard)

    def _dataset(self, shard: int, name: str) -> h5py.Dataset:
        """A dataset of a shard, which holds the rows that the index expects of it."""
        if self._owner != os.getpid():  # after a fork: the parent's handles are not ours to use or to close
            self._files, self._datasets, self._owner = {}, {}, os.getpid()
        if (shard, name) not in self._datasets:
            path = self.shard_path(shard)
            with shard_faults(path):
                if shard not in self._files:
                    self._files[shard] = open_shard(path)
                expected = shard_datasets(self.settings)[name]
                dataset = plain_dataset(self._files[shard], name, expected.shape, expected.dtype)
                needed = self.tracks.rows_needed(name, shard)
                if len(dataset) < needed:
                    raise ValueError(f"'{name}' has {len(dataset)} rows of {needed}")
                self._datasets[shard, name] = dataset
        return self._datasets[shard, name]

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files, self._datasets = {}, {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}, "_datasets": {}}


def open_shard(path: Path) -> h5py.File:
    """A shard, for reading; within `shard_faults`.

    Raises:
        NotFound: no such file.
        WrongFormat, WrongVersion: it is no shard of this version.
    """
    existing_file(path, "shard", "the cache is incomplete; prepare it again")
    file = h5py.File(path, "r", locking=False)
    try:
        check_header(file, SHARD_FORMAT)
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def shard_faults(path: Path) -> Iterator[None]:
    """Turn whatever comes of reading a shard that is foreign or damaged into one line with a remedy."""
    try:
        yield
    except ScoresepError:
        raise
    except Exception as fault:  # as in opening the index
        raise Damaged(f"not a readable shard ({first_line(fault)})", file=path, remedy=SHARD_REMEDY) from fault


def check_header(file: h5py.File, expected: str) -> None:
    """Refuse an HDF5 file that is not ours or of another version.

    Raises:
        WrongFormat, WrongVersion: with what the file is and what to do.
        ValueError: its version is no number.
    """
    path = Path(file.filename)
    try:
        kind = text_attribute(file, "format")
    except (KeyError, ValueError):
        kind = ""
    if kind != expected and kind == SHARD_FORMAT:
        raise WrongFormat("one shard of a cache", file=path, remedy="give the index beside its folder instead")
    if kind != expected:
        raise WrongFormat("not a scoresep cache", file=path, remedy=CACHE_REMEDY)
    version = file.attrs["version"] if "version" in file.attrs and file.attrs.get_id("version").shape == () else -1
    if int(version) not in (PLAIN_VERSION, CACHE_VERSION):
        folder = f"it and the folder {shard_folder(path).name}" if expected == INDEX_FORMAT else "the whole cache"
        raise WrongVersion(
            f"a cache of version {version}, this scoresep reads versions {PLAIN_VERSION} and {CACHE_VERSION}",
            file=path,
            remedy=f"delete {folder}, then prepare it anew",
        )


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


def check_cache(cache: Cache, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Read every shard and compare with the digests that they carry; what is wrong, a line each.

    Args:
        progress: called with shards done and shards in all.
    """
    shards = sorted(set(cache.tracks["shard"].tolist()))
    wrong = []
    for done, shard in enumerate(shards, start=1):
        try:
            _check_shard(cache, shard)
        except ScoresepError as fault:
            wrong.append(str(fault))
        if progress:
            progress(done, len(shards))
    cache.close()
    return wrong


def _check_shard(cache: Cache, shard: int) -> None:
    """Raises Damaged if a shard's bytes are not those that were written, or cannot be read."""
    path, digest = cache.shard_path(shard), hashlib.sha256()
    with shard_faults(path):
        for row in np.flatnonzero(cache.tracks["shard"] == shard):
            for name in shard_datasets(cache.settings):
                digest.update(np.ascontiguousarray(cache.slice(name, int(row))).data)
        with open_shard(path) as file:
            same = digest.hexdigest() == text_attribute(file, "digest")
    if not same:
        raise Damaged("its bytes are not those that were written", file=path, remedy=SHARD_REMEDY)
