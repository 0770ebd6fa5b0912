"""From a corpus to figures for what the paper did not have: drums, leftovers, recordings without stems."""

from __future__ import annotations

import math
from pathlib import Path

import pretty_midi
import pytest
import soundfile

from scoresep.cache.build import prepare
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings
from scoresep.datasets.pairs import open_pairs
from scoresep.datasets.slakh import open_slakh
from scoresep.evaluation.evaluate import Evaluation, evaluate, open_subject
from scoresep.evaluation.tables import result_tables
from scoresep.executor import Engine
from scoresep.instruments import choose
from scoresep.training.log import RunLog
from scoresep.training.run import Run

pytestmark = pytest.mark.integration
BAND = ("piano", "bass", "drums", "other")


def trained(cache: Cache, folder: Path, make) -> Evaluation:
    """All three stages with every loss at work, then an evaluation."""
    log = RunLog(folder / "run")
    frames = "stage2.separator.frame_mixture=1"
    config = make.config(frames, "data.transpose=2", "stage1.steps=2", "stage2.steps=2", "stage3.steps=2")
    Run(cache, config, folder / "run", folder / "ckpt.pt", log).train()
    log.close()
    losses = (folder / "run" / "log.jsonl").read_text()
    assert "frame_mixture" in losses and "NaN" not in losses
    return evaluate(open_subject(folder / "ckpt.pt"))


def test_drums_and_what_is_left_over(corpus, tmp_path, make):
    prepare(open_slakh(corpus), tmp_path / "c.h5", CacheSettings(instruments=choose(BAND)), Engine(1))
    result = trained(Cache(tmp_path / "c.h5"), tmp_path, make)
    assert list(result.summary["separation"]) == list(BAND)
    assert list(result.summary["transcription"]) == list(BAND[:3])
    assert all(math.isfinite(figures["si_sdr"]) for figures in result.summary["separation"].values())
    result_tables(result)


@pytest.fixture
def songs(tmp_path, make) -> Path:
    """Eight recordings of a piano and a bass, and their scores; nothing else."""
    folder = tmp_path / "songs"
    folder.mkdir()
    for number in range(8):
        stems = make.usual_stems(number)
        midi = pretty_midi.PrettyMIDI(resolution=1000, initial_tempo=120.0)
        heard = []
        for program, name in ((0, "S00"), (33, "S02")):
            part = pretty_midi.Instrument(program)
            part.notes = [pretty_midi.Note(90, pitch, onset, offset) for onset, offset, pitch in stems[name].notes]
            midi.instruments.append(part)
            heard += stems[name].notes
        midi.write(str(folder / f"{number}.mid"))
        soundfile.write(folder / f"{number}.ogg", make.play(heard, 3.0), 16000)
    return folder


def test_recordings_without_stems(songs, tmp_path, make):
    """Trained and transcribed as ever; separation cannot be scored, and the result says so."""
    settings = CacheSettings(instruments=choose(["piano", "bass", "other"]))
    found = prepare(open_pairs(songs), tmp_path / "c.h5", settings, Engine(1))
    assert sum(found.tracks.values()) == 8 and set(found.tracks) == {"train", "validation", "test"}
    result = trained(Cache(tmp_path / "c.h5"), tmp_path, make)
    assert result.about["split_set"] == "seed-0" and any("no stems" in note for note in result.notes)
    assert result.summary["separation"]["piano"]["si_sdr"] is None
    assert math.isfinite(result.summary["transcription"]["bass"]["frame_f1"])
    result_tables(result)
