"""A small cache of tones with a score, and a random model that fits it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile
import torch

from scoresep.cache.build import prepare
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings
from scoresep.datasets.base import Corpus, Stem, Track
from scoresep.executor import Engine
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models.checkpoint import Checkpoint, save_checkpoint
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings

GRID = Grid(8000, 1024, 256)
SECONDS = 3.0
PITCHES = {"piano": (72, 76, 79), "guitar": (60, 64, 55), "bass": (36, 43, 38)}
PROGRAMS = {"piano": 0, "guitar": 25, "bass": 33}

Notes = list[tuple[float, float, int]]


def tones(notes: Notes, gain: float) -> np.ndarray:
    """Six partials a note, decaying."""
    time = np.arange(int(SECONDS * GRID.sample_rate)) / GRID.sample_rate
    sound = np.zeros_like(time)
    for onset, offset, pitch in notes:
        hertz = 440 * 2 ** ((pitch - 69) / 12)
        envelope = np.where((time >= onset) & (time < offset), np.exp(-2 * (time - onset)), 0)
        sound += sum(envelope * np.sin(2 * np.pi * h * hertz * time) / h for h in range(1, 7) if h * hertz < 4000)
    return (gain * sound).astype(np.float32)


def write_stem(folder: Path, name: str, notes: Notes, program: int, gain: float) -> Stem:
    folder.mkdir(parents=True, exist_ok=True)
    audio, score = folder / f"{name}.wav", folder / f"{name}.mid"
    soundfile.write(audio, tones(notes, gain), GRID.sample_rate, subtype="FLOAT")
    midi, part = pretty_midi.PrettyMIDI(resolution=960), pretty_midi.Instrument(program)
    part.notes = [pretty_midi.Note(90, pitch, onset, offset) for onset, offset, pitch in notes]
    midi.instruments.append(part)
    midi.write(str(score))
    return Stem(name, program, False, audio, score)


def melody(pitches: tuple[int, ...], step: float, shift: float) -> Notes:
    starts = np.arange(shift, SECONDS - step, step)
    return [(start, start + 0.9 * step, pitches[n % len(pitches)]) for n, start in enumerate(starts.tolist())]


def write_track(root: Path, track: str, split: str, gains: dict[str, float]) -> Track:
    stems = [
        write_stem(root / track, name, melody(PITCHES[name], 0.4 + 0.1 * n, 0.13 * n), PROGRAMS[name], gains[name])
        for n, name in enumerate(gains)
    ]
    return Track(track, split, track, tuple(stems))


@pytest.fixture(scope="session")
def cache_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two validation tracks and three test tracks: one full, one without bass, one where the piano plays alone."""
    root = tmp_path_factory.mktemp("corpus")
    full = {"piano": 0.1, "guitar": 0.1, "bass": 0.2}
    tracks = (
        write_track(root, "v1", "validation", full),
        write_track(root, "v2", "validation", full),
        write_track(root, "full", "test", full),
        write_track(root, "no_bass", "test", {"piano": 0.1, "guitar": 0.05}),
        write_track(root, "piano_alone", "test", {"piano": 0.2, "guitar": 0.004}),
    )
    out = root / "cache.h5"
    prepare(Corpus("tones", root, "handmade", (), tracks), out, CacheSettings(grid=GRID), Engine(1))
    return out


@pytest.fixture(scope="session")
def cache(cache_path: Path) -> Cache:
    return Cache(cache_path)


def build(grid: Grid = GRID, instruments: tuple[str, ...] = ("piano", "guitar", "bass")) -> Model:
    torch.manual_seed(0)
    return Model(grid, choose(instruments), Architecture.both(TCNSettings(16, 32, 3, 1)), "softmax").eval()


@pytest.fixture
def model() -> Model:
    return build()


@pytest.fixture
def checkpoint_path(cache: Cache, tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "ckpt.pt", build(), str(cache.path), cache.digest)


def write_checkpoint(path: Path, model: Model, cache: str, digest: str) -> Path:
    save_checkpoint(path, Checkpoint(model, 3, 7, True, {"seed": 5, "name": "test"}, cache, digest))
    return path


@pytest.fixture(scope="session")
def make_checkpoint():
    """`write_checkpoint(path, model, cache, digest)`, as tests cannot import from here."""
    return write_checkpoint


@pytest.fixture(scope="session")
def make_model():
    """`build(grid, instruments)`."""
    return build
