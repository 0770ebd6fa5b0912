"""Writing shards and the index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scoresep import __version__
from scoresep.cache.hdf5 import new_hdf5
from scoresep.cache.schema import (
    DATASET_SPAN,
    FIRST_COLUMN,
    INDEX_FORMAT,
    RECORDS,
    SHARD_FORMAT,
    TRACK_COLUMNS,
    CacheSettings,
    Excluded,
    StemFinding,
    Unused,
    shard_datasets,
)
from scoresep.cache.track import TrackFeatures
from scoresep.datasets.splits import SplitLeakage


class ShardWriter:
    """Appends tracks to an open shard file and keeps their rows and the digest of their bytes."""

    def __init__(self, file: h5py.File, settings: CacheSettings) -> None:
        self._datasets = {
            name: file.create_dataset(
                name,
                shape=(0, *dataset.shape),
                maxshape=(None, *dataset.shape),
                chunks=(dataset.rows, *dataset.shape),
                dtype=dataset.dtype,
            )
            for name, dataset in shard_datasets(settings).items()
        }
        self.digest = hashlib.sha256()
        self.rows: list[dict[str, Any]] = []

    def append(self, track: TrackFeatures) -> None:
        """Add one track."""
        row = {**dict.fromkeys(FIRST_COLUMN.values(), 0), **track.row}
        for name, dataset in self._datasets.items():
            array = track.arrays[name]
            first = len(dataset)
            row[FIRST_COLUMN[DATASET_SPAN[name]]] = first
            dataset.resize(first + len(array), axis=0)
            dataset[first:] = array
            self.digest.update(np.ascontiguousarray(array).data)
        row["active"] = [bool(value) for value in track.row["active"]]
        self.rows.append(row)


@dataclass(frozen=True)
class Summary:
    """What a finished shard says of itself.

    Attributes:
        rows: of the track table.
        digest: of the data.
        excluded: tracks that were left out.
        findings: oddities of the tracks that were not.
        unused: what of the tracks is not in the cache.
    """

    rows: list[dict[str, Any]]
    digest: str
    excluded: list[Excluded]
    findings: list[StemFinding]
    unused: list[Unused]


ITEMS: dict[str, type] = {"excluded": Excluded, "findings": StemFinding, "unused": Unused}
"""Lists of a summary, which lie in the shard's attributes as JSON."""


def write_shard(path: Path, settings: CacheSettings, key: str, tracks: Iterable[TrackFeatures | Excluded]) -> None:
    """Write one shard, whole or not at all.

    Args:
        key: identifies what the shard is made from, so that a later run knows whether it is the one it wants.
        tracks: each with its arrays, or why it cannot be used.

    Raises:
        Unwritable: the disk is full, ...
    """
    with new_hdf5(path) as (file, sink):
        writer = ShardWriter(file, settings)
        items: dict[str, list[Any]] = {name: [] for name in ITEMS}
        for track in tracks:
            if isinstance(track, Excluded):
                items["excluded"].append(track)
            else:
                writer.append(track)
                items["findings"] += track.findings
                items["unused"] += track.unused
                sink.check()
        file.attrs.update(
            format=SHARD_FORMAT,
            version=settings.version,
            key=key,
            digest=writer.digest.hexdigest(),
            rows=json.dumps(writer.rows),
            **{name: json.dumps([asdict(item) for item in several]) for name, several in items.items()},
        )


def read_shard_summary(path: Path, key: str) -> Summary | None:
    """What a finished shard made from `key` holds; None if there is no such shard."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            attributes = file.attrs
            if (attributes["format"], attributes["key"]) != (SHARD_FORMAT, key):  # the key knows the version
                return None
            items = {name: json.loads(attributes.get(name, "[]")) for name in ITEMS}  # older shards lack `unused`
            return Summary(
                json.loads(attributes["rows"]),
                str(attributes["digest"]),
                **{name: [kind(**item) for item in items[name]] for name, kind in ITEMS.items()},
            )
    except (OSError, KeyError, ValueError, TypeError):
        return None


def write_index(
    path: Path,
    about: dict[str, Any],
    shards: Sequence[Summary],
    settings: CacheSettings,
    leakage: Sequence[SplitLeakage],
) -> str:
    """Write the index over finished shards (their summaries in order), whole or not at all; returns its digest."""
    rows = [{**row, "shard": number} for number, shard in enumerate(shards) for row in shard.rows]
    description = json.dumps(about, sort_keys=True)
    digest = hashlib.sha256(description.encode())
    for shard in shards:
        digest.update(shard.digest.encode())
    with new_hdf5(path) as (file, _):
        file.attrs.update(
            format=INDEX_FORMAT,
            version=settings.version,
            scoresep=__version__,
            about=description,
            leaks=json.dumps([asdict(item) for item in leakage]),
            digest=digest.hexdigest(),
        )
        for name, dtype in TRACK_COLUMNS.items():
            _write_column(file, f"tracks/{name}", [row[name] for row in rows], dtype)
        active = np.array([row["active"] for row in rows]).reshape(len(rows), len(settings.instruments))
        _write_column(file, "tracks/active", active, "uint8")
        for name, kind in RECORDS.items():
            records = [record for shard in shards for record in getattr(shard, name)]
            for column in fields(kind):
                values = [getattr(record, column.name) for record in records]
                _write_column(file, f"{name}/{column.name}", values, "uint8" if column.type == "bool" else "str")
    return digest.hexdigest()


def _write_column(file: h5py.File, name: str, values: Any, dtype: str) -> None:
    """One column of the index; 'str' for texts of any length."""
    text = dtype == "str"
    array = np.array(values, dtype=object if text else dtype)
    file.create_dataset(name, data=array, dtype=h5py.string_dtype() if text else dtype)
