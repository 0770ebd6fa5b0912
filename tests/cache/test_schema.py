"""Names, types and settings of a cache."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from scoresep.cache.schema import (
    DATASET_SPAN,
    FACTORS,
    FIRST_COLUMN,
    TRACK_COLUMNS,
    CacheSettings,
    difference,
    shard_datasets,
    shard_folder,
    shard_name,
)
from scoresep.grid import Grid
from scoresep.instruments import Instrument, choose
from scoresep.masks.harmonic import HarmonicSettings
from scoresep.masks.percussive import PercussiveSettings
from scoresep.nmf import FactoriseSettings


def test_settings_come_back_from_plain_values():
    groups = (Instrument("keys", (0, 5), 4, names=("*piano*",)), *choose(["drums", "other"]))
    shapes = HarmonicSettings(release=0.2), PercussiveSettings(decay=0.5)
    settings = CacheSettings(Grid(8000, 1024, 256), groups, *shapes, 3, "exclude", stems=False)
    settings = replace(settings, teacher="none", factorise=FactoriseSettings(iterations=3, weighted=False))
    assert CacheSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_every_dataset_follows_a_span_of_the_track_table():
    assert set(shard_datasets(CacheSettings(weak=True))) == set(DATASET_SPAN)
    assert set(shard_datasets(CacheSettings())) == set(DATASET_SPAN) - {"weak"}
    assert set(shard_datasets(CacheSettings(weak=True, stems=False))) == set(DATASET_SPAN) - {"stems"}
    assert set(shard_datasets(CacheSettings(weak=True, teacher="none"))) == set(DATASET_SPAN) - set(FACTORS)
    assert {*DATASET_SPAN.values(), *FIRST_COLUMN.values()} <= set(TRACK_COLUMNS)
    assert set(FIRST_COLUMN) == set(DATASET_SPAN.values())


def test_settings_without_weak_labels_are_those_of_version_3():
    """Its caches are read, and gone on with, as before."""
    assert "weak" not in CacheSettings().to_dict() and CacheSettings().version == 3
    assert "unwritten" not in CacheSettings().to_dict()["factorise"]
    settings = CacheSettings(weak=True, factorise=FactoriseSettings(unwritten=True))
    assert CacheSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings and settings.version == 4


def test_rows_of_datasets_by_hand():
    shapes = {name: dataset.shape for name, dataset in shard_datasets(CacheSettings()).items()}
    assert shapes["magnitude"] == (1025,) and shapes["roll"] == (3, 11) and shapes["harmonic"] == (3, 129)
    assert shapes["mixture"] == () and shapes["stems"] == (3,) and shapes["notes"] == (5,)


def test_shards_lie_beside_the_index():
    assert shard_folder(Path("a/my.cache.h5")) == Path("a/my.cache.shards")
    assert shard_name(7) == "shard-00007.h5"


def test_difference_names_the_setting_and_both_values():
    made, wanted = CacheSettings().to_dict(), CacheSettings(grid=Grid(hop=256)).to_dict()
    assert difference(made, wanted) == "grid.hop is 512, not 256"
    assert difference(made, made) == ""
    assert difference({"a": 1}, {"a": 1, "b": 2}) == "b is missing, not 2"


def test_tuples_and_lists_do_not_differ():
    assert difference({"a": (1, 2)}, {"a": [1, 2]}) == ""
