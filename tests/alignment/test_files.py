"""`scoresep align`, `separate --align` and `prepare pairs --align` on files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.alignment.files import align_files
from scoresep.cache.reader import Cache
from scoresep.errors import Damaged, Mismatch, NothingToDo
from scoresep.score.midi_writing import midi_bytes
from scoresep.score.parts import read_midi
from scoresep.score.reading import Score


@pytest.fixture(scope="module")
def made(music, recording: np.ndarray, score: Score, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings and scores of two pieces, the scores of the second exchanged for that of a third. Read only."""
    folder = tmp_path_factory.mktemp("pieces")
    for place in ("recordings", "scores"):
        (folder / place).mkdir()
    soundfile.write(folder / "recordings" / "song.wav", recording, music.rate)
    soundfile.write(folder / "recordings" / "other.wav", music.played(music.composed(4).parts, 33.0), music.rate)
    (folder / "scores" / "song.mid").write_bytes(midi_bytes(score.parts, 32.0))
    (folder / "scores" / "other.mid").write_bytes(midi_bytes(music.composed(7).parts, 32.0))
    return folder


@pytest.fixture
def pieces(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, in which the test runs."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.integration
def test_a_folder_is_aligned_and_what_does_not_belong_is_named(command, music, pieces: Path, score: Score) -> None:
    status, out, err = command("scoresep align recordings scores --plot")
    assert status == 2 and "1 of 2 files are done" in out
    (line,) = err.splitlines()
    assert line.startswith("error: scores/other.mid: the score is not of this recording")
    parts = read_midi(pieces / "aligned" / "song.mid")
    assert [part.name for part in parts] == [part.name for part in score.parts]
    off = np.sort(parts[1].onset) - np.sort(music.drifting(score.parts[1].onset))
    assert np.median(np.abs(off)) < 0.02
    report = json.loads((pieces / "aligned" / "song.json").read_text())
    assert report["transposition"] == 2 and len(report["bars"]) == 16
    assert (pieces / "aligned" / "song.png").read_bytes()[:4] == b"\x89PNG"
    assert "passed over" in command("scoresep align recordings scores")[1]


@pytest.mark.integration
def test_a_file_is_written_where_it_is_asked_for_and_never_over_the_score(command, pieces: Path) -> None:
    assert command("scoresep align recordings/song.wav scores/song.mid --out there/one.mid")[0] == 0
    assert (pieces / "there" / "one.mid").exists() and (pieces / "there" / "one.json").exists()
    status, _, err = command("scoresep align recordings/song.wav scores/song.mid --out scores/song.mid --force")
    assert status == 2 and "the score itself" in err
    status, _, err = command("scoresep align scores/song.mid recordings/song.wav")
    assert status == 2 and err.startswith("error: scores/song.mid: the score is given first")


def test_files_that_cannot_be_aligned(music, pieces: Path, refused) -> None:
    song, written = pieces / "recordings" / "song.wav", pieces / "scores" / "song.mid"
    soundfile.write(pieces / "silent.wav", np.zeros(10 * music.rate), music.rate)
    (pieces / "broken.musicxml").write_text("<score-partwise><part-list>")
    (pieces / "other.xml").write_text("<html/>")
    (pieces / "empty.mid").write_bytes(midi_bytes([], 10.0))
    with refused(NothingToDo, pieces / "silent.wav"):
        align_files(pieces / "silent.wav", written)
    for name in ("broken.musicxml", "other.xml"):
        with refused(Damaged, pieces / name):
            align_files(song, pieces / name)
    with refused(NothingToDo, pieces / "empty.mid"):
        align_files(song, pieces / "empty.mid")
    with refused(Mismatch, pieces / "scores" / "other.mid"):
        align_files(song, pieces / "scores" / "other.mid")


@pytest.mark.integration
def test_pairs_are_aligned_as_they_are_prepared(command, pieces: Path, score: Score) -> None:
    for name in ("song", "other"):
        shutil.copy(pieces / "scores" / f"{name}.mid", pieces / "recordings")
    line = "scoresep prepare pairs recordings --align --teacher none --instruments piano,guitar,bass --jobs 1"
    status, out, _ = command(line)
    assert status == 0 and "left out other: other.mid: the score is not of this recording" in out
    assert "flagged song: aligned: confidence" in out
    cache = Cache(pieces / "cache.h5")
    (row,) = cache.rows(cache.tracks["split"][0])
    notes = cache.notes(row)
    assert set(notes[:, 2]) <= {pitch + 2 for part in score.parts for pitch in part.pitch}
    assert 0.5 * sum(map(len, score.parts)) < len(notes) <= sum(map(len, score.parts))
    assert "1 of 1 shards were there" in command(line)[1]
    status, _, err = command(line.replace(" --align", ""))
    assert status == 2 and "rules" in err


@pytest.mark.integration
def test_a_score_is_aligned_to_separate_by(command, pieces: Path) -> None:
    status, out, _ = command("scoresep separate recordings/song.wav --score scores/song.mid --align")
    assert status == 0 and "scores/song.mid aligned: confidence" in out
    assert len(list((pieces / "stems" / "song").glob("*.wav"))) >= 3
    assert "--score" in command("scoresep separate recordings/song.wav --align")[2]
