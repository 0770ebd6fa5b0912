"""A cache for the next round: the teacher's factors found anew, from where a trained separator begins them.

    python pipelines/evidence/rounds.py corpus.h5 ckpt.pt --out next.h5
    python pipelines/paper/run.py next.h5 --table pipelines/evidence --rows teacher --seeds 0 --out next

Each instrument is first explained by itself, from what the separator's mask gives it, then all of them together, from
what was found. It did not help (docs/research/teacher.md, Rounds), so `prepare` does not do it; this is what it was
tried with.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from scoresep.cache.hdf5 import text_attribute  # before torch, whose threads it tells how to wait
from scoresep.files import sha256_of

# isort: split
import h5py
import numpy as np
import torch

from scoresep.cache.reader import Cache
from scoresep.cache.schema import TRACK_COLUMNS, Excluded, shard_datasets, shard_folder, shard_name
from scoresep.cache.track import TrackFeatures, scored_mixture, with_factors
from scoresep.cache.writer import read_shard_summary, write_index, write_shard
from scoresep.console import meter
from scoresep.errors import ScoresepError
from scoresep.grid import Grid
from scoresep.machine import use_threads
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.nmf import FactoriseSettings, Factors
from scoresep.nmf.factorisation import Begun, begin, search, with_peaks_of_one

LEAST = np.float32(1e-6)
"""Activation that an entry keeps, in track levels: multiplicative updates bring nothing back from zero."""

COLUMNS = tuple(name for name in TRACK_COLUMNS if name != "shard" and not name.startswith("first_"))
"""Of the track table, those that say nothing of places in shards."""


def next_cache(cache: Cache, checkpoint: Path, out: Path) -> None:
    """Write the cache of the next round; shards that are there are kept."""
    model = load_checkpoint(checkpoint).model
    with h5py.File(cache.path, "r", locking=False) as file:
        about = json.loads(text_attribute(file, "about"))
    about["round"] = sha256_of(checkpoint)
    shard_folder(out).mkdir(parents=True, exist_ok=True)
    count, summaries = int(cache.tracks["shard"].max()) + 1, []
    with meter("shards") as progress:
        for number in range(count):
            path, key = shard_folder(out) / shard_name(number), f"{about['round']} {cache.digest} {number}"
            if read_shard_summary(path, key) is None:
                write_shard(path, cache.settings, key, again(cache, number, model))
            summaries.append(read_shard_summary(path, key))
            progress("factorising", number + 1, count)
    write_index(out, about, summaries, cache.settings, cache.split_leakage)


def again(cache: Cache, shard: int, model: Model) -> Iterator[TrackFeatures | Excluded]:
    """The tracks of a shard with other factors; with the first shard what was left out of the corpus."""
    if shard == 0:
        yield from cache.excluded
    for row in np.flatnonzero(cache.tracks["shard"] == shard).tolist():
        arrays = {name: cache.slice(name, row) for name in shard_datasets(cache.settings)}
        about = {name: cache.tracks.columns[name][row : row + 1].tolist()[0] for name in COLUMNS}
        findings = tuple(finding for finding in cache.findings if finding.track == about["id"])
        track = TrackFeatures(arrays, about | {"active": cache.tracks.active[row]}, findings)
        yield with_factors(track, found_again(track, cache, model))


def found_again(track: TrackFeatures, cache: Cache, model: Model) -> Factors:
    """Factors of a track that began with the separator's masks."""
    song, kinds = scored_mixture(track), [instrument.kind for instrument in cache.instruments]
    with torch.no_grad():
        masks = model.separator(torch.from_numpy(song.magnitude.copy())[None])[0].numpy()
    begun = begin(*song[:2], kinds, cache.grid, song.onsets, cache.settings.factorise)
    return restarted(begun, masks, cache.grid, cache.settings.factorise)


def restarted(begun: Begun, masks: np.ndarray, grid: Grid, settings: FactoriseSettings) -> Factors:
    """The factorisation, begun with what explains masks (N, F, T) of the mixture one by one."""
    templates, activation = begun.factors.templates.copy(), begun.factors.activation.copy()
    for n, mask in enumerate(masks):
        own = np.flatnonzero(begun.factors.instrument == n)
        entries = np.flatnonzero(begun.factors.instrument[begun.factors.component] == n)
        alone = part(begun, own, entries, mask)
        found = search(alone.factors, alone.start, alone.mixture, grid, settings)
        templates[own], activation[entries] = found.templates, np.maximum(found.activation, LEAST)
    factors = replace(begun.factors, templates=templates, activation=activation)
    return with_peaks_of_one(search(factors, begun.start, begun.mixture, grid, replace(settings, shared=0)))


def part(begun: Begun, own: np.ndarray, entries: np.ndarray, mask: np.ndarray) -> Begun:
    """What one instrument begins with, of components `own`, for what a mask (F, T) leaves of the mixture."""
    mixture = np.ascontiguousarray(begun.mixture * mask.T)
    factors, start = begun.factors, begun.start
    count = np.bincount(factors.frame[entries], minlength=factors.frames)
    return Begun(
        mixture,
        start._replace(
            templates=start.templates[own],
            support=start.support[:, own],
            instrument=start.instrument[own],
            pitch=start.pitch[own],
            pitched=np.flatnonzero(np.isin(own, start.pitched)),
        ),
        replace(
            factors,
            templates=factors.templates[own],
            instrument=factors.instrument[own],
            pitch=factors.pitch[own],
            first=np.append(0, np.cumsum(count)).astype(np.int64),
            component=np.searchsorted(own, factors.component[entries]).astype(np.int32),
            activation=np.repeat(mixture.sum(axis=1) / np.maximum(count, 1), count).astype(np.float32),
        ),
    )


def main() -> int:
    """Make the cache; exit status."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cache", type=Path, help="made by `scoresep prepare`, with a teacher")
    options.add_argument("checkpoint", type=Path, help="whose separator begins")
    options.add_argument("--out", type=Path, required=True, help="index file of the cache to write")
    chosen = options.parse_args()
    use_threads()
    try:
        next_cache(Cache(chosen.cache), chosen.checkpoint, chosen.out)
    except ScoresepError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
