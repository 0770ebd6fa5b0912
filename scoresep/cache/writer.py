"""Writing shards and the index. Called by `prepare`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scoresep import __version__
from scoresep.cache.schema import (
    DATASET_SPAN,
    INDEX_FORMAT,
    SHARD_FORMAT,
    TRACK_COLUMNS,
    VERSION,
    CacheSettings,
    TrackTable,
    shard_datasets,
)
from scoresep.cache.track import Compiled
from scoresep.files import replacing


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
        row = dict(compiled.row)
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


def write_shard(path: Path, settings: CacheSettings, key: str, compiled: Iterable[Compiled | tuple[str, str]]) -> None:
    """Write one shard, whole or not at all.

    `compiled` yields a track or, for a track that cannot be used, its (id, reason). `key` identifies what the shard
    was made from; `read_shard_summary` gives it back, so a later run knows whether the shard is the one it wants.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        writer = ShardWriter(file, settings)
        excluded = []
        for item in compiled:
            if isinstance(item, Compiled):
                writer.append(item)
            else:
                excluded.append(item)
        file.attrs.update(
            format=SHARD_FORMAT,
            version=VERSION,
            key=key,
            digest=writer.digest,
            rows=json.dumps(writer.rows),
            excluded=json.dumps(excluded),
        )


def read_shard_summary(path: Path, key: str) -> dict[str, Any] | None:
    """Rows, excluded tracks and digest of a finished shard made from `key`; None if there is no such shard."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            attributes = file.attrs
            if (attributes["format"], attributes["version"], attributes["key"]) != (SHARD_FORMAT, VERSION, key):
                return None
            return {
                "rows": json.loads(attributes["rows"]),
                "excluded": json.loads(attributes["excluded"]),
                "digest": str(attributes["digest"]),
            }
    except (OSError, KeyError, ValueError):
        return None


def write_index(path: Path, about: dict[str, Any], shards: Sequence[dict[str, Any]], instruments: int) -> str:
    """Write the index over finished shards (their summaries in order), whole or not at all; returns its digest."""
    rows = [{**row, "shard": number} for number, shard in enumerate(shards) for row in shard["rows"]]
    excluded = [tuple(item) for shard in shards for item in shard["excluded"]]
    description = json.dumps(about, sort_keys=True)
    digest = hashlib.sha256(description.encode())
    for shard in shards:
        digest.update(shard["digest"].encode())
    table = TrackTable.from_rows(rows, instruments)
    text = h5py.string_dtype()
    with replacing(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        file.attrs.update(
            format=INDEX_FORMAT, version=VERSION, scoresep=__version__, about=description, digest=digest.hexdigest()
        )
        for name, dtype in TRACK_COLUMNS.items():
            file.create_dataset(f"tracks/{name}", data=table[name], dtype=text if dtype == "str" else dtype)
        file.create_dataset("tracks/active", data=table.active.astype(np.uint8))
        for column, name in enumerate(("id", "reason")):
            values = np.array([item[column] for item in excluded], dtype=object)
            file.create_dataset(f"excluded/{name}", data=values, dtype=text)
    return digest.hexdigest()
