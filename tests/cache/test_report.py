"""What a preparation tells: the lines on the terminal, the CSV file, `--strict`."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import yaml

from scoresep.cache.build import prepare
from scoresep.cache.prepare_report import Report, ReportRow, problem_lines, report_rows, table_of, write_csv
from scoresep.cache.reader import Cache
from scoresep.cache.schema import (
    NO_AUDIO,
    NO_GROUP,
    NO_SCORE,
    CacheSettings,
    Excluded,
    StemFinding,
)
from scoresep.cache.track import OFF_KEYBOARD, ONE_NOTE, TOO_LATE
from scoresep.datasets.slakh import open_slakh
from scoresep.datasets.splits import SplitLeakage, deduplicated
from scoresep.errors import Failed
from scoresep.executor import Engine
from scoresep.instruments import choose

SETTINGS = CacheSettings(tracks_per_shard=2)
OUTCOME = Report(
    Path("cache.h5"),
    {"train": 2},
    (
        Excluded("Track00004", "train", "same music (UUID a) as Track00007 in test", deliberate=True),
        Excluded("Track00005", "train", 'S00.flac is truncated, "badly" : 1, 2'),
        Excluded("Track00006", "test", "été\N{MUSICAL SYMBOL G CLEF}"),
    ),
    (
        StemFinding("Track00001", "S02", "octave", "sounds an octave lower : agreement 0.9"),
        StemFinding("Track00002", "", "metadata", "no audio for S03"),
    ),
    (
        SplitLeakage("b", ("Track00001", "Track00003"), ("train", "test")),
        SplitLeakage("c", ("Track1", "Track2"), ("train", "test")),
    ),
    reused=0,
    shards=3,
)


def table(path: Path) -> list[ReportRow]:
    """The rows of a CSV file, after its header."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *found = csv.reader(file)
    assert header == ["what", "track", "stem", "split", "kind", "detail"]
    return [ReportRow(*row) for row in found]


def faults(path: Path) -> list[ReportRow]:
    """The rows of tracks, without what of them is not used: here the drums, which were not chosen."""
    return [row for row in table(path) if row.what != "not used"]


def test_rows_come_worst_first():
    assert report_rows(OUTCOME) == [
        ReportRow("left out", "Track00005", "", "train", "", 'S00.flac is truncated, "badly" : 1, 2'),
        ReportRow("left out", "Track00006", "", "test", "", "été\N{MUSICAL SYMBOL G CLEF}"),
        ReportRow("flagged", "Track00001", "S02", "", "octave", "sounds an octave lower : agreement 0.9"),
        ReportRow("flagged", "Track00002", "", "", "metadata", "no audio for S03"),
        ReportRow("split leakage", "Track00001 Track00003", "", "train test", "", "b"),
        ReportRow("split leakage", "Track1 Track2", "", "train test", "", "c"),
        ReportRow("omitted", "Track00004", "", "train", "", "same music (UUID a) as Track00007 in test"),
    ]


def test_lines_say_the_same_and_sum_split_leakage_up():
    assert problem_lines(OUTCOME) == [
        "2 compositions lie in several splits; --dedupe leaves copies out",
        'left out Track00005: S00.flac is truncated, "badly" : 1, 2',
        "left out Track00006: été\N{MUSICAL SYMBOL G CLEF}",
        "flagged Track00001 S02: sounds an octave lower : agreement 0.9",
        "flagged Track00002: no audio for S03",
        "omitted Track00004: same music (UUID a) as Track00007 in test",
    ]


def test_nothing_to_tell(tmp_path):
    good = replace(OUTCOME, path=tmp_path / "a.b.h5", excluded=(), findings=(), split_leakage=())
    write_csv(good)
    assert problem_lines(good) == [] and table(tmp_path / "a.b.report.csv") == []


def test_the_table_is_found_beside_the_index_and_read_back(tmp_path):
    outcome = replace(OUTCOME, path=tmp_path / "deep" / "cache.h5")
    write_csv(outcome)
    assert outcome.table == table_of(outcome.path) == tmp_path / "deep" / "cache.report.csv"
    assert table(outcome.table) == report_rows(outcome)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["cache.report.csv"]


@pytest.fixture
def odd_corpus(corpus_copy) -> Path:
    """A track without a score, one cut short, one silent, one whose bass is an octave off, music in two splits."""
    tracks = {path.name: path for path in corpus_copy.glob("*/Track*")}
    (tracks["Track00002"] / "MIDI" / "S00.mid").unlink()
    stem = tracks["Track00003"] / "stems" / "S01.flac"
    stem.write_bytes(stem.read_bytes()[:5000])
    for n in range(4):
        soundfile.write(tracks["Track00004"] / "stems" / f"S0{n}.flac", np.zeros(48000), 16000)
    shutil.copytree(tracks["Track00005"], corpus_copy / "train" / "Track00006")
    return corpus_copy


@pytest.mark.integration
def test_what_is_wrong_with_a_corpus_is_told_everywhere_alike(odd_corpus, tmp_path, scoresep):
    ended = scoresep(f"scoresep prepare slakh {odd_corpus} --out c.h5 --jobs 1")
    assert ended.returncode == 0 and ended.stderr == "", ended
    found = {row.track: row for row in faults(tmp_path / "c.report.csv")}
    assert list(found) == ["Track00002", "Track00003", "Track00004", "Track00005 Track00006"]
    assert [row.what for row in found.values()] == ["left out"] * 3 + ["split leakage"]
    assert found["Track00002"].detail == "stem S00 has audio but no MIDI file"
    assert found["Track00003"].detail.startswith("train/Track00003/stems/S01.flac")
    assert "silent" in found["Track00004"].detail and found["Track00004"].split == "validation"
    assert found["Track00005 Track00006"][3:] == ("test train", "", "uuid-of-Track00005")
    cache = Cache(tmp_path / "c.h5")
    assert {item.track: item.reason for item in cache.excluded} == {
        track: found[track].detail for track in ("Track00002", "Track00003", "Track00004")
    }
    assert [leak.tracks for leak in cache.split_leakage] == [("Track00005", "Track00006")]
    told = [line.strip() for line in ended.stdout.splitlines()]
    first = told.index("1 compositions lie in several splits; --dedupe leaves copies out")
    assert told[first + 1 : first + 4] == [f"left out {track}: {found[track].detail}" for track in list(found)[:3]]
    assert "3 left out" in told[-1] and told[-2] == "all of it: c.report.csv"


def test_omitted_tracks_come_last_and_are_no_fault(odd_corpus, tmp_path):
    outcome = prepare(deduplicated(open_slakh(odd_corpus)), tmp_path / "c.h5", SETTINGS, Engine(1))
    assert outcome.split_leakage == ()
    assert [row.what for row in faults(outcome.table)] == ["left out"] * 3 + ["omitted"]
    assert faults(outcome.table)[-1].detail == "same music (UUID uuid-of-Track00005) as Track00005 in test"


def test_strict_refuses_and_leaves_the_table_but_no_index(odd_corpus, tmp_path, refused):
    with refused(Failed, tmp_path / "c.h5") as fault:
        prepare(deduplicated(open_slakh(odd_corpus)), tmp_path / "c.h5", SETTINGS, Engine(1), strict=True)
    assert "Track00002: stem S00" in fault.value.problem and "c.report.csv" in fault.value.remedy
    assert not (tmp_path / "c.h5").exists()
    assert [row.what for row in faults(tmp_path / "c.report.csv")] == ["left out"] * 3 + ["omitted"]
    assert prepare(deduplicated(open_slakh(odd_corpus)), tmp_path / "c.h5", SETTINGS, Engine(1)).reused == 3


def test_strict_does_not_mind_what_is_wanted(corpus_copy, tmp_path):
    shutil.copytree(corpus_copy / "test" / "Track00005", corpus_copy / "train" / "Track00006")
    outcome = prepare(deduplicated(open_slakh(corpus_copy)), tmp_path / "c.h5", SETTINGS, Engine(1), strict=True)
    assert [item.track for item in outcome.excluded] == ["Track00006"] and (tmp_path / "c.h5").exists()


def test_flags_are_told_and_may_exclude(corpus_copy, tmp_path, make):
    """A long stem whose score is an octave too high."""
    notes = [(0.25 * n, 0.25 * n + 0.2, 60 + 7 * n % 12) for n in range(1, 60)]
    for name, pitched in (("Track00007", 12), ("Track00008", 0)):
        stem = make.stem(0, notes, written=[(on, off, pitch + pitched) for on, off, pitch in notes])
        make.track(corpus_copy / "train" / name, {"S00": stem}, 16.0)
    outcome = prepare(open_slakh(corpus_copy), tmp_path / "flag.h5", SETTINGS, Engine(1))
    (row,) = [row for row in table(outcome.table) if row.track == "Track00007"]
    assert (row.what, row.stem, row.kind) == ("flagged", "S00", "octave") and "Track00008" not in str(
        report_rows(outcome)
    )
    assert [(finding.track, finding.kind) for finding in Cache(outcome.path).findings] == [("Track00007", "octave")]
    outcome = prepare(open_slakh(corpus_copy), tmp_path / "out.h5", replace(SETTINGS, score_check="exclude"), Engine(1))
    assert [(item.track, item.deliberate) for item in outcome.excluded] == [("Track00007", False)]
    outcome = prepare(open_slakh(corpus_copy), tmp_path / "off.h5", replace(SETTINGS, score_check="off"), Engine(1))
    assert outcome.excluded == () and outcome.findings == ()


def test_odd_metadata_is_flagged(corpus_copy, tmp_path):
    path = corpus_copy / "train" / "Track00001" / "metadata.yaml"
    metadata = yaml.safe_load(path.read_text())
    metadata["stems"]["S09"] = metadata["stems"]["S00"]
    path.write_text(yaml.safe_dump(metadata))
    outcome = prepare(open_slakh(corpus_copy), tmp_path / "c.h5", SETTINGS, Engine(1))
    (row,) = faults(outcome.table)
    assert (row.what, row.track, row.stem) == ("flagged", "Track00001", "") and "S09" in row.detail


# What of tracks is not used


def counted(path: Path) -> set[tuple[str, str, str]]:
    return {(row.track, row.stem, row.detail) for row in table(path) if row.what == "not used"}


@pytest.mark.integration
def test_what_of_a_track_is_not_used_is_counted(tmp_path, make, scoresep):
    """Drums nobody chose, a stem without audio, a note no piano has, one struck twice, one after the end."""
    notes = [(0.5, 1.0, 60), (1.5, 2.0, 64)]
    odd = [*notes, (0.51, 1.0, 60), (1.0, 1.5, 19), (2.0, 2.5, 109), (9.0, 9.5, 60)]
    stems = {
        "S00": make.stem(0, notes, written=odd),
        "S01": make.stem(25, notes),
        "S02": make.stem(128, [(0.5, 0.6, 36)], is_drum=True),
        "S03": make.stem(48, notes),
    }
    for n, split in enumerate(("train", "validation", "test"), start=1):
        folder = make.track(tmp_path / "slakh" / split / f"Track0000{n}", stems, 3.0)
        (folder / "stems" / "S03.flac").unlink()
    wanted = {
        (f"Track0000{n}", stem, detail)
        for n in (1, 2, 3)
        for stem, detail in (
            ("S02", f"1 {NO_GROUP}"),
            ("S03", f"1 {NO_AUDIO}"),
            ("", f"2 {OFF_KEYBOARD}"),
            ("", f"1 {ONE_NOTE}"),
            ("", f"1 {TOO_LATE}"),
        )
    }
    for jobs in (1, 2, 1):  # the last two find the shards of the first
        ended = scoresep(f"scoresep prepare slakh slakh --out c.h5 --instruments piano,guitar --jobs {jobs}")
        assert ended.returncode == 0, ended
        assert counted(tmp_path / "c.report.csv") == wanted
        told = [line.strip() for line in ended.stdout.splitlines() if "not used" in line]
        assert told[0] == f"not used: 6 {OFF_KEYBOARD} (in 3 tracks)" and len(told) == 5
    cache = Cache(tmp_path / "c.h5")
    assert len(cache.tracks) == 3 and cache.tracks["notes"].tolist() == [4] * 3


def test_the_score_of_other_is_counted(tmp_path, make):
    stems = {"S00": make.stem(0, [(0.5, 1.0, 60)]), "S01": make.stem(48, [(0.5, 1.0, 64)])}
    make.track(tmp_path / "slakh" / "train" / "Track00001", stems, 3.0)
    settings = replace(SETTINGS, instruments=choose(["piano", "other"]))
    outcome = prepare(open_slakh(tmp_path / "slakh"), tmp_path / "c.h5", settings, Engine(1))
    assert counted(outcome.table) == {("Track00001", "S01", f"1 {NO_SCORE}")}


def test_shards_of_before_are_read_though_they_count_nothing(corpus_copy, tmp_path):
    outcome = prepare(open_slakh(corpus_copy), tmp_path / "c.h5", SETTINGS, Engine(1))
    assert outcome.unused
    for path in (tmp_path / "c.shards").glob("*.h5"):
        with h5py.File(path, "r+") as file:
            del file.attrs["unused"]
    again = prepare(open_slakh(corpus_copy), tmp_path / "c.h5", SETTINGS, Engine(1))
    assert again.reused == again.shards and again.unused == ()
