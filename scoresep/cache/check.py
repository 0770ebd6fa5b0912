"""Whether a cache's bytes are those that were written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import h5py
import numpy as np

from scoresep.cache.plain import text_attribute
from scoresep.cache.reader import Cache
from scoresep.cache.schema import shard_datasets
from scoresep.errors import ScoresepError


def check_cache(cache: Cache, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Read every shard and compare with the digests that they and the index carry; what is wrong, a line each.

    `progress` is called with shards done and shards in all.
    """
    shards = sorted(set(cache.tracks["shard"].tolist()))
    wrong = []
    for done, shard in enumerate(shards, start=1):
        if fault := check_shard(cache, shard):
            wrong.append(fault)
        if progress:
            progress(done, len(shards))
    cache.close()
    return wrong


def check_shard(cache: Cache, shard: int) -> str:
    """What is wrong with a shard; '' for nothing."""
    path = cache.shard_path(shard)
    digest = hashlib.sha256()
    try:
        for row in np.flatnonzero(cache.tracks["shard"] == shard):
            for name in shard_datasets(cache.settings):
                digest.update(np.ascontiguousarray(cache.slice(name, int(row))))
        with h5py.File(path, "r", locking=False) as file:
            same = digest.hexdigest() == text_attribute(file, "digest")
    except ScoresepError as fault:
        return str(fault)
    except (OSError, KeyError, ValueError) as fault:
        return f"{path} cannot be read through ({fault}); delete it, prepare again"
    return "" if same else f"{path} is damaged: its bytes are not those that were written; delete it, prepare again"
