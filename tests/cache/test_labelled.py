"""Recordings with weak labels beside such with scores: what a cache holds of them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from scoresep.cache.build import prepare
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings
from scoresep.datasets.pairs import open_pairs
from scoresep.errors import NothingToDo
from scoresep.executor import Engine
from scoresep.instruments import choose
from scoresep.score.weak_labels import ABSENT, FIRST_SET, PRESENT, SCORED, UNKNOWN
from scoresep.training.checks import check_stages

SETTINGS = CacheSettings(instruments=choose(["piano", "bass", "drums", "other"]))
LABELS = "start,end,instrument,notes\n0,1,piano,\n1,2,piano,60 64\n2,3,drums,36\n0,3,flute,\n"


@pytest.fixture
def folder(tmp_path: Path, make) -> Path:
    """Three songs with scores and one with labels."""
    folder = tmp_path / "songs"
    notes = [(0.1, 1.0, 60), (1.2, 2.0, 64)]
    for name, program in (("a", 0), ("b", 33), ("c", 128)):
        make.midi(folder / f"{name}.mid", notes, program % 128, is_drum=program == 128)
    for name in ("a", "b", "c", "weak"):
        soundfile.write(folder / f"{name}.wav", make.play(notes, 3.0), make.rate)
    (folder / "weak.csv").write_text(LABELS, "utf-8")
    return folder


def prepared(folder: Path, out: Path) -> Cache:
    prepare(open_pairs(folder), out, SETTINGS, Engine(1))
    return Cache(out)


def test_a_cache_knows_what_labels_tell_and_what_they_leave_open(folder, tmp_path):
    cache = prepared(folder, tmp_path / "c.h5")
    assert cache.tracks["id"].tolist() == ["a", "b", "c", "weak"] and cache.tracks["split"][3] == "train"
    assert [(each.track, each.kind) for each in cache.findings] == [("weak", "labels")]
    weak = cache.slice("weak", 3)
    at = cache.grid.frame_at
    assert not any(cache.slice("weak", row).any() for row in range(3))
    assert weak[at(0.5)].tolist() == [PRESENT, ABSENT, ABSENT, SCORED]
    assert weak[at(2.5)].tolist()[1:] == [ABSENT, FIRST_SET, SCORED]
    assert weak[at(2.1), 0] == UNKNOWN and weak[at(1.5), 0] >= FIRST_SET
    assert len(cache.notes(3)) == 0 and cache.tracks.active[3].tolist() == [True, False, True, True]
    roll, mask = cache.roll(3), cache.harmonic(3)
    assert roll[at(0.5), 0].all() and mask[at(0.5), 0].all() and not cache.onset(3).any()
    assert np.flatnonzero(roll[at(1.5), 0]).tolist() == [39, 43] and not roll[:, 1].any() and not mask[:, 1].any()
    c, e = (cache.harmonic(0)[at(seconds), 0] for seconds in (0.6, 1.6))  # as song a plays them
    assert np.array_equal(mask[at(1.5), 0], c | e)
    assert mask[at(2.5), 2].all() and mask[:, 3].all()


def test_the_teacher_learns_from_scores_alone(folder, tmp_path):
    cache = prepared(folder, tmp_path / "c.h5")
    factors = cache.factors(3)
    assert len(cache.factors(0).templates) > 8 and set(factors.instrument.tolist()) <= {3}  # 'other' may sound anywhere
    assert set(factors.pitch.tolist()) <= {-2}


def test_a_recording_of_a_low_rate_is_told_of_with_labels_as_with_scores(folder, tmp_path):
    for name in ("a", "weak"):
        sound, rate = soundfile.read(folder / f"{name}.wav")
        soundfile.write(folder / f"{name}.wav", sound[::2], rate // 2)
    cache = prepared(folder, tmp_path / "c.h5")
    assert [(each.track, each.kind) for each in cache.findings] == [("a", "rate"), ("weak", "labels"), ("weak", "rate")]


def test_a_cache_without_labels_is_what_it_was(folder, tmp_path):
    """Version 3, of which nothing has changed; with labels it is 4, which an older scoresep refuses."""
    cache = prepared(folder, tmp_path / "weak.h5")
    (folder / "weak.csv").unlink()
    plain = prepared(folder, tmp_path / "plain.h5")
    versions = {}
    for each in (cache, plain):
        with h5py.File(each.path) as index, h5py.File(each.shard_path(0)) as shard:
            versions[each.path.stem] = {int(index.attrs["version"]), int(shard.attrs["version"])}
            assert ("weak" in shard) == each.settings.weak == (each is cache)
    assert versions == {"weak": {4}, "plain": {3}}
    assert [item.track for item in plain.excluded] == ["weak"]
    for name in ("magnitude", "roll", "harmonic", "activation"):
        assert np.array_equal(cache.slice(name, 1), plain.slice(name, 1))


def test_labels_are_for_training_and_of_chosen_instruments(folder, tmp_path):
    splits = tmp_path / "splits.csv"
    splits.write_text("name,split\na,train\nb,train\nc,train\nweak,test\n", "utf-8")
    prepare(open_pairs(folder, splits), tmp_path / "test.h5", SETTINGS, Engine(1))
    (excluded,) = Cache(tmp_path / "test.h5").excluded
    assert "test" in excluded.reason
    few = CacheSettings(instruments=choose(["piano", "bass"]))
    (folder / "weak.csv").write_text("instrument\nbass guitar solo\n", "utf-8")
    prepare(open_pairs(folder), tmp_path / "few.h5", few, Engine(1))
    *_, excluded = Cache(tmp_path / "few.h5").excluded
    assert "bass guitar solo" in excluded.reason


def test_training_by_weak_labels_alone_is_refused(folder, tmp_path, make, refused):
    splits = {"a": "test", "b": "validation", "c": "test", "weak": "train"}
    (tmp_path / "s.csv").write_text("name,split\n" + "".join(f"{name},{split}\n" for name, split in splits.items()))
    prepare(open_pairs(folder, tmp_path / "s.csv"), tmp_path / "c.h5", SETTINGS, Engine(1))
    with refused(NothingToDo, tmp_path / "c.h5"):
        check_stages(Cache(tmp_path / "c.h5"), [1], make.config("data.batch_size=4"))


def test_names_that_are_no_group_and_labels_by_which_nobody_plays_are_told(folder, tmp_path):
    (folder / "weak.csv").write_text("start,end,instrument\n0,3,pianno\n100,200,piano\n", "utf-8")
    report = prepare(open_pairs(folder), tmp_path / "c.h5", SETTINGS, Engine(1))
    assert [(each.track, each.stems, each.count) for each in report.unused] == [("weak", "pianno", 1)]
    (folder / "weak.csv").write_text("start,end,instrument\n100,200,piano\n", "utf-8")
    report = prepare(open_pairs(folder), tmp_path / "d.h5", SETTINGS, Engine(1))
    assert [each.detail.endswith("nobody plays") for each in report.findings] == [True]


def test_a_csv_beside_a_score_or_alone_is_not_read(folder, tmp_path):
    (folder / "a.csv").write_text("no labels", "utf-8")
    (folder / "alone.csv").write_text("no labels", "utf-8")
    tracks = {track.id: track for track in open_pairs(folder).tracks}
    assert tracks.keys() == {"a", "b", "c", "weak"} and not any(track.problem for track in tracks.values())
    assert tracks["a"].score and not tracks["a"].labels and tracks["weak"].labels == folder / "weak.csv"
    assert tracks["weak"].files == (folder / "weak.wav", folder / "weak.csv")
