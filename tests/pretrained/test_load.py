import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest

import scoresep
from scoresep.errors import Mismatch, NotFound, Unavailable
from scoresep.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from scoresep.models.model import Model
from scoresep.pretrained import Pretrained


@pytest.fixture(scope="module")
def checkpoint(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loaded") / "ckpt.pt"
    save_checkpoint(path, Checkpoint(model, stage=3, steps=1, complete=True, config={}, cache="", cache_digest=""))
    return path


@pytest.fixture
def loaded(checkpoint: Path) -> Pretrained:
    return scoresep.load(checkpoint, device="cpu")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(6).standard_normal(shape) * 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stems_of_an_array_add_up_to_it(loaded: Pretrained, dtype: type) -> None:
    audio = noise(30000, 2).astype(dtype)
    stems = loaded.separate(audio, 44100)
    assert tuple(stems) == loaded.instruments == ("piano", "guitar", "bass")
    assert all(stem.dtype == np.float32 and stem.shape == audio.shape for stem in stems.values())
    np.testing.assert_allclose(sum(stems.values()), audio, atol=1e-6)
    some = loaded.separate(audio, 44100, instruments=["bass"])
    assert list(some) == ["bass", "residual"]
    np.testing.assert_allclose(sum(some.values()), audio, atol=1e-6)


def test_a_score_helps(loaded: Pretrained, make: type, tmp_path: Path) -> None:
    make.midi(tmp_path / "bass.mid", [(0.0, 1.0, 40)], program=33)
    audio = make.play([(0.0, 1.0, 40)], 1.0)
    blind, guided = (loaded.separate(audio, 16000, score=score)["bass"] for score in (None, tmp_path / "bass.mid"))
    assert not np.array_equal(blind, guided)
    np.testing.assert_allclose(
        sum(loaded.separate(audio, 16000, score=tmp_path / "bass.mid").values()), audio, atol=1e-6
    )


def test_refined_stems_add_up_too(loaded: Pretrained, make: type) -> None:
    audio = make.play([(0.0, 1.0, 40), (0.2, 0.9, 64)], 1.0)
    plain, refined = (loaded.separate(audio, 16000, refine=each) for each in (False, True))
    assert not np.array_equal(plain["bass"], refined["bass"])
    np.testing.assert_allclose(sum(refined.values()), audio, atol=1e-6)


def test_notes_of_an_array_and_their_midi_file(loaded: Pretrained, tmp_path: Path) -> None:
    result = loaded.transcribe(noise(60000), 16000)
    assert result.roll.shape == (loaded.model.grid.frames(60000), 3, 88)
    assert loaded.transcribe(noise(60000), 16000, signal="separated").roll.shape == result.roll.shape
    loaded.write_midi(tmp_path / "a.mid", result.notes)
    read = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid")).instruments
    assert sum(len(part.notes) for part in read) == sum(map(len, result.notes.values())) > 0


def test_it_says_what_it_is(loaded: Pretrained) -> None:
    assert repr(loaded) == "<scoresep model of piano, guitar, bass on cpu>"
    assert loaded.sample_rate == 16000


def test_what_cannot_be_loaded(checkpoint: Path, tmp_path: Path, refused: Any) -> None:
    with refused(NotFound, tmp_path / "none.pt"):
        scoresep.load(tmp_path / "none.pt")
    with refused(Unavailable):
        scoresep.load(checkpoint, "tpu")


def test_a_checkpoint_of_stage_1_transcribes_only(checkpoint: Path, tmp_path: Path, refused: Any) -> None:
    save_checkpoint(tmp_path / "stage1.pt", replace(load_checkpoint(checkpoint), stage=1))
    loaded = scoresep.load(tmp_path / "stage1.pt", device="cpu")
    assert set(loaded.transcribe(noise(8000), 16000).notes) == set(loaded.instruments)
    with refused(Mismatch):
        loaded.separate(noise(8000), 16000)
    with refused(Mismatch):
        loaded.transcribe(noise(8000), 16000, signal="separated")


def test_importing_scoresep_is_light() -> None:
    code = "import sys, scoresep; print(sorted({'torch', 'numpy', 'numba', 'h5py', 'typer'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
