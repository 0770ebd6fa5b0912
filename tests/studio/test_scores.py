"""Scores that are loaded: in time with the recording afterwards, if they were not before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from scoresep.errors import Damaged, Mismatch, NothingToDo
from scoresep.models.model import Model
from scoresep.studio.scores import LoadedScore, load_score
from scoresep.transcription.notation import write_musicxml

RATE, BEAT = 16000, 0.25
Notes = list[tuple[float, float, int]]


def composed(seed: int) -> Notes:
    """Sixteen bars of a melody over broken chords, all drawn by chance."""
    rng, notes = np.random.default_rng(seed), []
    for bar in range(16):
        root, third = int(rng.integers(45, 57)), int(rng.integers(3, 5))
        for beat in range(4):
            begin = (4 * bar + beat) * BEAT
            notes.append((begin, begin + 0.9 * BEAT, root + (0, third, 7, third)[beat]))
            notes.append((begin, begin + 0.9 * BEAT, root + 12 + int(rng.choice([0, third, 7, 12, 14]))))
    return sorted(notes)


NOTES = composed(1)


def slower(notes: Notes, ratio: float, start: float = 0.0, semitones: int = 0) -> Notes:
    return [(start + ratio * begin, start + ratio * end, pitch + semitones) for begin, end, pitch in notes]


@pytest.fixture(scope="module")
def recording(make: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The piece a fifth slower than it is written, from one second on."""
    path = tmp_path_factory.mktemp("recording") / "song.wav"
    soundfile.write(path, make.play(slower(NOTES, 1.2, 1.0), 21.0, RATE), RATE, subtype="FLOAT")
    return path


def onsets(loaded: LoadedScore) -> np.ndarray:
    return np.array([row[0] for row in loaded.notes["piano"]])


def test_a_score_in_another_tempo_and_key_is_put_in_time(
    make: Any, model: Model, recording: Path, tmp_path: Path
) -> None:
    make.midi(tmp_path / "a.mid", slower(NOTES, 1.0, 0.0, -2))
    stages: list[tuple[str, float, float]] = []
    loaded = load_score(tmp_path / "a.mid", recording, model.instruments, True, lambda *step: stages.append(step))
    true = slower(NOTES, 1.2, 1.0)
    assert "aligned: confidence" in loaded.found and "transposed by +2" in loaded.found
    assert "no part of guitar, bass" in loaded.found
    off = np.abs(onsets(loaded) - [note[0] for note in true])
    assert np.median(off) < 0.02 and (off < 0.1).mean() > 0.9
    assert sorted(row[2] for row in loaded.notes["piano"]) == sorted(note[2] for note in true)
    assert stages == [("aligning", step, 4) for step in range(4)]


def test_musicxml_is_put_in_time(model: Model, recording: Path, tmp_path: Path) -> None:
    tables = {"piano": np.array([(*note, 90) for note in NOTES], dtype=np.float64)}
    write_musicxml(tmp_path / "a.musicxml", tables, model.instruments)
    loaded = load_score(tmp_path / "a.musicxml", recording, model.instruments, True)
    true = np.unique([note[0] for note in slower(NOTES, 1.2, 1.0)])
    off = np.abs(onsets(loaded)[:, None] - true).min(axis=1)
    assert len(onsets(loaded)) == len(NOTES) and np.median(off) < 0.02


def test_a_score_that_is_in_time_stays_as_it_is(make: Any, model: Model, recording: Path, tmp_path: Path) -> None:
    true = slower(NOTES, 1.2, 1.0)
    make.midi(tmp_path / "a.mid", true)
    loaded = load_score(tmp_path / "a.mid", recording, model.instruments, True)
    assert loaded.found.startswith("in time with the recording, taken as it is written")
    np.testing.assert_allclose(onsets(loaded), [note[0] for note in true], atol=1e-3)


def test_the_score_of_something_else_is_refused_unless_it_is_taken_as_it_is(
    make: Any, model: Model, recording: Path, tmp_path: Path, refused: Callable[..., Any]
) -> None:
    make.midi(tmp_path / "a.mid", slower(composed(2), 1.7), program=33)
    with refused(Mismatch, tmp_path / "a.mid") as info:
        load_score(tmp_path / "a.mid", recording, model.instruments, True)
    assert "not aligned: the score is" in str(info.value) and "Align" in info.value.remedy
    loaded = load_score(tmp_path / "a.mid", recording, model.instruments, False)
    assert loaded.found == "taken as it is written; no part of piano, guitar"
    assert len(loaded.notes["bass"]) == len(NOTES)


def test_what_is_no_score_is_refused(
    make: Any, model: Model, recording: Path, tmp_path: Path, refused: Callable[..., Any]
) -> None:
    make.midi(tmp_path / "flute.mid", NOTES, program=73)
    make.midi(tmp_path / "drums.mid", [(0.5, 0.6, 38)], is_drum=True)
    (tmp_path / "text.mid").write_text("no MIDI")
    (tmp_path / "text.mxl").write_text("no MusicXML")
    for name, kind in (("flute.mid", Mismatch), ("text.mid", Damaged), ("text.mxl", Damaged)):
        with refused(kind, tmp_path / name):
            load_score(tmp_path / name, recording, model.instruments, name != "flute.mid")
    with refused(NothingToDo, tmp_path / "drums.mid"):
        load_score(tmp_path / "drums.mid", recording, model.instruments, True)
