from dataclasses import replace
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pretty_midi
import pytest
import soundfile
import torch

from scoresep.audio.spectrogram import level_of, stft
from scoresep.errors import AlreadyExists, InvalidValue, WrongFormat
from scoresep.grid import LOWEST_PITCH, Grid
from scoresep.instruments import INSTRUMENTS, choose
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings
from scoresep.score.parts import read_midi
from scoresep.separation.nmf_refine import refined_blocks
from scoresep.transcription.note_decoder import NoteDecoder
from scoresep.transcription.transcribe import key_strength, transcribe_array, transcribe_file, write_midi


def noise(*shape: int) -> np.ndarray:
    return (np.random.default_rng(3).standard_normal(shape) * 0.1).astype(np.float32)


def test_roll_is_the_thresholded_network(model: Model) -> None:
    mixture = noise(40000)
    relative = np.abs(stft(mixture, model.grid.n_fft, model.grid.hop)) / np.float32(level_of(mixture))
    with torch.inference_mode():
        logits = model.transcriptor(torch.from_numpy(relative.T[None].copy())).frame[0].numpy()
    roll = transcribe_array(mixture, 16000, model).roll
    direct = logits.transpose(2, 0, 1) >= 0
    assert direct.any()
    assert roll.shape == direct.shape
    assert (roll != direct).mean() < 1e-4  # rounding on the threshold


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_notes_do_not_depend_on_the_blocks(model: Model, rate: int) -> None:
    mixture = noise(rate * 6, 2)
    whole, blocks = (transcribe_array(mixture, rate, model, block_seconds=seconds) for seconds in (30.0, 0.3))
    assert sum(map(len, whole.notes.values())) > 10
    for name in model.names:
        np.testing.assert_array_equal(whole.notes[name], blocks.notes[name])


@pytest.mark.parametrize("samples", [1, 511, 513])
def test_short_input_ends_with_the_input(model: Model, samples: int) -> None:
    notes = transcribe_array(noise(samples), 16000, model).notes
    assert all((table[:, 1] <= samples / 16000).all() for table in notes.values())


def test_midi_has_a_track_per_instrument(model: Model, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(16000 * 8), 16000, subtype="FLOAT")
    notes = transcribe_file(song, model, tmp_path / "song.mid")
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
    heard = [name for name in model.names if len(notes[name])]
    assert heard  # pretty_midi leaves tracks without notes out when it reads
    assert [part.name for part in midi.instruments] == heard
    for part in midi.instruments:
        assert part.program == INSTRUMENTS[part.name].midi_program
        read = sorted((note.start, note.pitch, note.end) for note in part.notes)
        assert len(read) == len(notes[part.name])
        expected = sorted((on, pitch, off) for on, off, pitch, _ in notes[part.name])
        np.testing.assert_allclose(read, expected, atol=2e-3)


def test_midi_of_every_instrument_has_drums_alone_on_the_drum_channel(tmp_path: Path) -> None:
    groups = list(INSTRUMENTS.values())
    write_midi(tmp_path / "all.mid", {group.name: np.array([[0.5, 1.0, 60, 80]]) for group in groups}, groups)
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "all.mid"))
    assert sorted(part.name for part in midi.instruments) == sorted(INSTRUMENTS)
    assert [part.name for part in midi.instruments if part.is_drum] == ["drums"]


@pytest.mark.parametrize("name", ["Flöte", "ピアノ", "фортепиано", "a" * 100])
def test_midi_has_names_of_all_letters(tmp_path: Path, name: str) -> None:
    groups = [replace(INSTRUMENTS["pipe"], name=name), INSTRUMENTS["bass"]]
    write_midi(tmp_path / "a.mid", {group.name: np.array([[0.5, 1.0, 60, 80]]) for group in groups}, groups)
    assert [part.name for part in read_midi(tmp_path / "a.mid")] == [name, "bass"]
    assert name in {track.name for track in mido.MidiFile(tmp_path / "a.mid", charset="utf-8").tracks}


def test_what_has_no_score_is_not_transcribed(tmp_path: Path) -> None:
    model = Model(
        Grid(), choose(["piano", "drums", "other"]), Architecture.both(TCNSettings(16, 32, 3, 1)), "softmax"
    ).eval()
    assert list(transcribe_array(noise(16000), 16000, model).notes) == ["piano", "drums"]


def test_midi_without_a_note_is_a_midi_file(tmp_path: Path) -> None:
    write_midi(tmp_path / "none.mid", {"piano": np.zeros((0, 4)), "bass": np.zeros((0, 4))}, choose(["piano", "bass"]))
    assert pretty_midi.PrettyMIDI(str(tmp_path / "none.mid")).instruments == []


def test_strength_finds_the_key_that_sounds() -> None:
    grid = Grid()
    for pitch in (45, 60, 81):
        hertz = 440 * 2 ** ((pitch - 69) / 12)
        tone = np.sin(2 * np.pi * hertz * np.arange(16000) / 16000).astype(np.float32)
        magnitude = torch.from_numpy(np.abs(stft(tone, grid.n_fft, grid.hop)).T[None].copy())
        strength = key_strength(magnitude, grid)[0, :, 10]
        assert strength.shape == (88,)
        assert strength[pitch - LOWEST_PITCH] > 0.7
        assert strength[pitch - LOWEST_PITCH + 5] < 0.1


def test_strength_is_the_energy_of_three_partials(make: type) -> None:
    grid = Grid(n_fft=8192, hop=2048)  # bins so narrow that partials stand apart
    tone = make.tone(57, 4.0, partials=6, amplitude=0.3).astype(np.float32)
    magnitude = torch.from_numpy(np.abs(stft(tone, grid.n_fft, grid.hop)).T[None].copy())
    result = key_strength(magnitude, grid)[0, 57 - LOWEST_PITCH, 10]
    assert result == pytest.approx(0.3 * (1 + 1 / 4 + 1 / 9) ** 0.5, rel=0.1)  # a peak between two bins is lower


def test_louder_notes_have_higher_velocities(make: type) -> None:
    grid = Grid()
    soft, loud = make.tone(60, 1.0, amplitude=0.01), make.tone(60, 1.0, amplitude=0.1)
    magnitude = np.abs(stft(np.concatenate([soft, loud]).astype(np.float32), grid.n_fft, grid.hop)) / 0.2
    strength = key_strength(torch.from_numpy(magnitude.T[None].copy()), grid)[0].numpy().T
    sounding = np.zeros_like(strength)
    sounding[5:25, 60 - LOWEST_PITCH] = sounding[36:56, 60 - LOWEST_PITCH] = 1.0
    decoder = NoteDecoder(0.5, 0.5, grid)
    low, high = (note[3] for note in decoder.push(sounding, 0 * sounding, strength) + decoder.finish())
    assert 40 * np.log10(high / low) == pytest.approx(20, abs=1)  # General MIDI's curve: 20 dB


def test_what_is_heard_on_the_separated_tracks(model: Model) -> None:
    """Instrument i by its roll of track i alone, against the networks run by hand on the whole."""
    mixture = noise(60000)
    relative = np.abs(stft(mixture, model.grid.n_fft, model.grid.hop)) / np.float32(level_of(mixture))
    magnitude = torch.from_numpy(relative.T[None].copy())
    with torch.inference_mode():
        tracks = model.separator(magnitude)[0] * magnitude
        by_hand = [model.transcriptor(tracks[n : n + 1]).frame[0, n].T.numpy() for n in range(3)]
    direct = np.stack(by_hand, axis=1) >= 0
    result = transcribe_array(mixture, 16000, model, signal="separated")
    assert (result.roll != direct).mean() < 1e-4
    assert (result.roll != transcribe_array(mixture, 16000, model).roll).any()
    for seconds in (0.3, 1.0):
        blocks = transcribe_array(mixture, 16000, model, seconds, "separated")
        for name in model.names:
            np.testing.assert_array_equal(blocks.notes[name], result.notes[name])


def test_what_is_heard_on_the_refined_tracks(model: Model) -> None:
    mixture = noise(60000)
    relative = np.abs(stft(mixture, model.grid.n_fft, model.grid.hop)) / np.float32(level_of(mixture))
    ((_, masks),) = refined_blocks(iter([relative]), model, None, 1000, len(relative))
    with torch.inference_mode():
        rolls = model.transcriptor(torch.from_numpy(masks * relative.T)).frame
    direct = np.stack([rolls[n, n].numpy() for n in range(3)]).transpose(2, 0, 1) >= 0
    result = transcribe_array(mixture, 16000, model, signal="refined").roll
    assert direct.any() and (result != transcribe_array(mixture, 16000, model, signal="separated").roll).mean() > 0.01
    assert (result != direct).mean() < 1e-3  # rounding on the thresholds
    assert (transcribe_array(mixture, 16000, model, 0.3, "refined").roll != direct).mean() < 1e-3


def test_an_unknown_signal_is_refused(model: Model, refused: Any) -> None:
    with refused(InvalidValue):
        transcribe_array(noise(1000), 16000, model, signal="separate")


def test_nothing_is_replaced_unasked(model: Model, tmp_path: Path, refused: Any) -> None:
    song, midi = tmp_path / "song.wav", tmp_path / "song.mid"
    soundfile.write(song, noise(40000), 16000)
    transcribe_file(song, model, midi)
    before = midi.read_bytes()
    with refused(AlreadyExists, midi):
        transcribe_file(song, model, midi)
    transcribe_file(song, model, midi, force=True)
    assert midi.read_bytes() == before


def test_progress_of_both_passes_ends_at_the_end(model: Model, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(100000), 16000)
    seen: dict[str, list[tuple[float, float]]] = {}
    transcribe_file(song, model, tmp_path / "a.mid", 1.0, lambda what, *n: seen.setdefault(what, []).append(n))
    assert list(seen) == ["measuring", "transcribing"]
    assert all(steps == sorted(steps) and steps[-1] == (6.25, 6.25) for steps in seen.values())


def test_bad_audio_writes_no_midi(model: Model, tmp_path: Path, refused: Any) -> None:
    song = tmp_path / "text.wav"
    song.write_text("not audio")
    with refused(WrongFormat, song):
        transcribe_file(song, model, tmp_path / "text.mid")
    assert not (tmp_path / "text.mid").exists()
