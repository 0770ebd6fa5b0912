"""Writing shards and the index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scoresep import __version__
from scoresep.cache.output import new_hdf5
from scoresep.cache.schema import (
    DATASET_SPAN,
    INDEX_FORMAT,
    RECORDS,
    SHARD_FORMAT,
    TRACK_COLUMNS,
    VERSION,
    CacheSettings,
    Excluded,
    StemFinding,
    TrackTable,
    Unused,
    shard_datasets,
)
from scoresep.cache.track import Compiled
from scoresep.datasets.splits import Leak


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
        self._digest = hashlib.sha256()
        self.rows: list[dict[str, Any]] = []

    def append(self, compiled: Compiled) -> None:
        """Add one track."""
        nowhere = {name: 0 for name in TRACK_COLUMNS if name.startswith("first_")}
        row = {**nowhere, **compiled.row}
        for name, dataset in self._datasets.items():
            array = compiled.arrays[name]
            first = len(dataset)
            row[f"first_{DATASET_SPAN[name].rstrip('s')}"] = first
            dataset.resize(first + len(array), axis=0)
            dataset[first:] = array
            self._digest.update(np.ascontiguousarray(array))
        row["active"] = [bool(value) for value in compiled.row["active"]]  # type: ignore[attr-defined]
        self.rows.append(row)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


@dataclass(frozen=True)
class Summary:
    """What a finished shard says of itself: rows of the track table, tracks left out, oddities, digest of the data, and
    what of its tracks is not used."""

    rows: list[dict[str, Any]]
    excluded: list[Excluded]
    findings: list[StemFinding]
    digest: str
    unused: list[Unused] = field(default_factory=list)


def write_shard(path: Path, settings: CacheSettings, key: str, compiled: Iterable[Compiled | Excluded]) -> None:
    """Write one shard, whole or not at all.

    `compiled` yields a track, or why it cannot be used. `key` identifies what the shard was made from;
    `read_shard_summary` asks for it, so a later run knows whether the shard is the one it wants.
    """
    with new_hdf5(path) as (file, sink):
        writer = ShardWriter(file, settings)
        excluded: list[Excluded] = []
        findings: list[StemFinding] = []
        unused: list[Unused] = []
        for item in compiled:
            if isinstance(item, Excluded):
                excluded.append(item)
            else:
                writer.append(item)
                findings += item.findings
                unused += item.unused
                sink.check()
        file.attrs.update(
            format=SHARD_FORMAT,
            version=VERSION,
            key=key,
            digest=writer.digest,
            rows=json.dumps(writer.rows),
            excluded=json.dumps([asdict(item) for item in excluded]),
            findings=json.dumps([asdict(item) for item in findings]),
            unused=json.dumps([asdict(item) for item in unused]),
        )


def read_shard_summary(path: Path, key: str) -> Summary | None:
    """What a finished shard made from `key` holds; None if there is no such shard."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            attributes = file.attrs
            if (attributes["format"], attributes["version"], attributes["key"]) != (SHARD_FORMAT, VERSION, key):
                return None
            return Summary(
                json.loads(attributes["rows"]),
                [Excluded(**item) for item in json.loads(attributes["excluded"])],
                [StemFinding(**item) for item in json.loads(attributes["findings"])],
                str(attributes["digest"]),
                [Unused(**item) for item in json.loads(attributes.get("unused", "[]"))],  # older shards do not say
            )
    except (OSError, KeyError, ValueError, TypeError):
        return None


def write_index(
    path: Path, about: dict[str, Any], shards: Sequence[Summary], settings: CacheSettings, leaks: Sequence[Leak]
) -> str:
    """Write the index over finished shards (their summaries in order), whole or not at all; returns its digest."""
    rows = [{**row, "shard": number} for number, shard in enumerate(shards) for row in shard.rows]
    description = json.dumps(about, sort_keys=True)
    digest = hashlib.sha256(description.encode())
    for shard in shards:
        digest.update(shard.digest.encode())
    table = TrackTable.from_rows(rows, len(settings.instruments))
    with new_hdf5(path) as (file, _):
        file.attrs.update(
            format=INDEX_FORMAT,
            version=VERSION,
            scoresep=__version__,
            about=description,
            leaks=json.dumps([asdict(leak) for leak in leaks]),
            digest=digest.hexdigest(),
        )
        for name, dtype in TRACK_COLUMNS.items():
            _write_column(file, f"tracks/{name}", table[name], dtype)
        _write_column(file, "tracks/active", table.active, "uint8")
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
