"""Damaged scores: each kind of error does what it says, sound and test songs stay, and the pipeline runs to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "pipelines" / "score_errors"
sys.path.insert(0, str(FOLDER))
from damage import DAMAGES, Condition, damaged, damaged_corpus  # noqa: E402

sys.path.remove(str(FOLDER))
COUNT = 400


def write_score(path: Path) -> Path:
    """Notes of half a second, one every half second, in a corpus's layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    score = pretty_midi.PrettyMIDI()
    part = pretty_midi.Instrument(0)
    part.notes = [pretty_midi.Note(100, 40 + n % 40, 1 + n / 2, 1.5 + n / 2) for n in range(COUNT)]
    score.instruments.append(part)
    score.write(str(path))
    return path


def notes_of(score: pretty_midi.PrettyMIDI) -> np.ndarray:
    """Start, end and pitch of each note, in their order: (K, 3)."""
    return np.array([(note.start, note.end, note.pitch) for note in score.instruments[0].notes])


@pytest.fixture
def score(tmp_path) -> Path:
    return write_score(tmp_path / "Track00001" / "MIDI" / "S00.mid")


def errors(score: Path, kind: str, size: float) -> np.ndarray:
    return notes_of(damaged(score, Condition(kind, size))) - notes_of(pretty_midi.PrettyMIDI(str(score)))


def test_an_offset_moves_all_notes_of_all_parts_alike(score):
    moved = errors(score, "offset", 0.1)
    np.testing.assert_allclose(moved[:, :2], moved[0, 0], atol=1e-3)
    assert abs(moved[0, 0]) == pytest.approx(0.1, abs=1e-3)
    other = write_score(score.with_name("S01.mid"))
    np.testing.assert_allclose(errors(other, "offset", 0.1), moved, atol=1e-3)


def test_jitter_moves_onsets_by_its_deviation_and_keeps_offsets(score):
    moved = errors(score, "jitter", 0.05)
    assert np.std(moved[:, 0]) == pytest.approx(0.05, rel=0.15) and abs(np.mean(moved[:, 0])) < 0.01
    assert np.abs(moved[:, 1]).max() < 0.01
    other = errors(write_score(score.with_name("S01.mid")), "jitter", 0.05)
    assert not np.allclose(other, moved, atol=1e-3)


def test_drift_grows_with_time(score):
    moved = errors(score, "drift", 0.01)[:, 0]
    start = notes_of(pretty_midi.PrettyMIDI(str(score)))[:, 0]
    np.testing.assert_allclose(np.abs(moved), 0.01 * start, atol=2e-3)


def test_missing_and_extra_notes_have_their_share(score):
    assert len(notes_of(damaged(score, Condition("missing", 0.2)))) == pytest.approx(0.8 * COUNT, rel=0.1)
    added = notes_of(damaged(score, Condition("extra", 0.2)))
    assert len(added) == pytest.approx(1.2 * COUNT, rel=0.1)
    assert set(map(tuple, np.round(notes_of(pretty_midi.PrettyMIDI(str(score))), 3))) <= set(
        map(tuple, np.round(added, 3))
    )


def test_octave_errors_move_a_share_by_twelve(score):
    moved = errors(score, "octave", 0.5)[:, 2]
    assert set(moved) == {-12.0, 0.0, 12.0} and np.mean(moved != 0) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_song_decides_the_damage(score, kind):
    first, second = (notes_of(damaged(score, Condition(kind, 0.2))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_corpus_keeps_its_sound_and_its_test_songs(tmp_path):
    for split in ("train", "validation", "test"):
        song = tmp_path / "corpus" / split / f"Track{split}"
        write_score(song / "MIDI" / "S00.mid")
        (song / "mix.flac").write_bytes(split.encode())
    before = (tmp_path / "corpus" / "train" / "Tracktrain" / "MIDI" / "S00.mid").read_bytes()
    damaged_corpus(tmp_path / "corpus", tmp_path / "twin", Condition("offset", 0.2))
    for split in ("train", "validation", "test"):
        song, twin = (tmp_path / name / split / f"Track{split}" for name in ("corpus", "twin"))
        assert (twin / "mix.flac").read_bytes() == split.encode()
        same = (twin / "MIDI" / "S00.mid").read_bytes() == (song / "MIDI" / "S00.mid").read_bytes()
        assert same == (split == "test")
    assert (tmp_path / "corpus" / "train" / "Tracktrain" / "MIDI" / "S00.mid").read_bytes() == before


TINY = (
    "network.channels=8 network.hidden=16 network.blocks=2 data.clip_frames=32 data.batch_size=4 "
    "data.validation_clips=4"
)
STEPS = "stage1.steps=2 stage2.steps=2 stage3.steps=0 precision=float32"


@pytest.mark.integration
def test_the_pipeline_runs_and_goes_on(corpus, tmp_path):
    sets = [word for setting in f"{TINY} {STEPS}".split() for word in ("--set", setting)]
    line = [sys.executable, str(FOLDER / "run.py"), str(corpus), "--out", "errors", "--size", "mini", *sets]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}

    def go(conditions: str) -> subprocess.CompletedProcess[str]:
        words = [*line, "--conditions", conditions]
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    ended = go("none-0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    ended = go("offset-0.2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = (tmp_path / "errors" / "table.md").read_text().splitlines()
    assert [row.split("|")[1].strip() for row in table[2:]] == ["none", "offset 200 ms"]
    assert all(abs(float(cell)) < 50 for row in table[2:] for cell in row.split("|")[2:4])
    assert (tmp_path / "errors" / "curves.png").stat().st_size > 1000
    ended = go("offset-1")
    assert ended.returncode == 2 and "unknown condition 'offset-1'" in ended.stderr
