"""SoundFonts: what they hold, and that rendered notes are where and what the MIDI says."""

from __future__ import annotations

import io

import midirenderer
import numpy as np
import pytest
import soundfile

from scoresep.errors import AlreadyExists, Damaged, Failed, InvalidValue, ScoresepError
from scoresep.rendering.pools import FEWEST_TO_HOLD_OUT, check_soundfonts, preset_of_program, preset_pool
from scoresep.rendering.song import Song
from scoresep.rendering.sources import soundfont
from scoresep.rendering.sources.soundfont import default_soundfont, presets, render_part
from scoresep.score.midi_writing import midi_bytes
from scoresep.score.parts import part_from_notes

RATE = 22050
DRY = ((91, 0), (93, 0))


def _play(notes, program, seconds=3.0, is_drum=False, **fields) -> np.ndarray:
    part = part_from_notes(notes, program=program, is_drum=is_drum, **fields)
    return render_part(default_soundfont(), Song((part,), seconds), part, RATE, DRY)


def _fundamental(sound: np.ndarray, pitch: int) -> tuple[float, float]:
    """Level (dB below the strongest) of the written fundamental and of the partials an octave below would add."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    hertz = 440 * 2 ** ((pitch - 69) / 12)

    def level(number: float) -> float:
        centre = number * hertz * len(sound) / RATE
        return 20 * np.log10(spectrum[int(centre * 0.985) : int(centre * 1.015) + 2].max() / spectrum.max())

    return level(1), max(level(0.5), level(1.5))


@pytest.mark.parametrize(("program", "pitch"), [(0, 60), (4, 50), (25, 52), (27, 64), (33, 33), (38, 40), (48, 60)])
def test_pitch_and_onset_are_the_written_ones(program, pitch):
    sound = _play([(0.75, 2.0, pitch, 100)], program)
    assert len(sound) == 3 * RATE and sound.dtype == np.float32
    onset = np.argmax(np.abs(sound) > 0.02 * np.abs(sound).max()) / RATE
    assert 0 <= onset - 0.75 < 0.02
    fundamental, below = _fundamental(sound[int(0.8 * RATE) : int(1.9 * RATE)], pitch)
    assert fundamental > -26 and below < -30


def test_a_bend_of_two_semitones_is_heard():
    bend = {"bend_time": np.array([0.0]), "bend": np.array([2.0])}
    sound = _play([(0.0, 2.0, 60, 100)], 25, **bend)[: 2 * RATE]
    assert _fundamental(sound, 62)[0] > -12 > _fundamental(sound, 60)[0] + 10


def test_drums_sound_and_the_end_is_padded():
    sound = _play([(0.5, 0.6, 36, 100)], 0, seconds=4.0, is_drum=True)
    assert len(sound) == 4 * RATE and np.abs(sound).max() > 0.01


def test_loud_polyphony_does_not_clip(monkeypatch):
    loudest = []
    real = midirenderer.render_wave_from

    def spy(bank, midi):
        wave = real(bank, midi)
        samples, _ = soundfile.read(io.BytesIO(wave), dtype="int16")
        loudest.append(int(np.abs(samples.astype(int)).max()))
        return wave

    monkeypatch.setattr(midirenderer, "render_wave_from", spy)
    _play([(0.0, 1.5, pitch, 127) for pitch in range(36, 84)], 62, seconds=2.0)
    assert loudest[0] >= soundfont.CLIPPED > loudest[-1]


@pytest.mark.parametrize("program", [0, 30, 48, 62, 128])
def test_a_bank_of_one_preset_sounds_as_the_whole_one(program, tmp_path):
    """To the last bit, bends and reverberation too; and it holds that preset alone."""
    bank, number = (soundfont.DRUM_BANK, 0) if program == 128 else (0, program)
    path = default_soundfont()
    one = soundfont.bank_of(path, bank, number)
    notes = [(0.1 * n, 0.1 * n + 0.4, 36 + 5 * n, 60 + 8 * n) for n in range(8)]
    bend = {"bend_time": np.array([0.3]), "bend": np.array([1.0])}
    part = part_from_notes(notes, program=number, is_drum=bank == soundfont.DRUM_BANK, **bend)
    midi = midi_bytes([part], 1.2, controls=((91, 60),))
    assert midirenderer.render_wave_from(one, midi) == midirenderer.render_wave_from(path.read_bytes(), midi)
    (tmp_path / "one.sf2").write_bytes(one)
    (kept,) = presets(tmp_path / "one.sf2")
    (whole,) = (preset for preset in presets(path) if (preset.bank, preset.program) == (bank, number))
    assert (kept.name, kept.keys, kept.is_drum) == (whole.name, whole.keys, whole.is_drum)
    assert len(one) < 0.5 * path.stat().st_size


def test_a_bank_without_the_preset_is_taken_whole(tmp_path):
    assert soundfont.bank_of(default_soundfont(), soundfont.DRUM_BANK, 99) == default_soundfont().read_bytes()


def test_presets_of_the_shipped_bank():
    found = presets(default_soundfont())
    assert {preset.program for preset in found if preset.bank == 0} == set(range(128))
    assert len([preset for preset in found if preset.bank == soundfont.DRUM_BANK]) >= 3
    assert preset_of_program([default_soundfont()], 104).program == 104


def test_every_way_a_soundfont_can_be_wrong(tmp_path, refused):
    whole = default_soundfont().read_bytes()
    with pytest.raises(ScoresepError, match=r"none\.sf2"):
        presets(tmp_path / "none.sf2")
    for name, content in {"empty": b"", "text": b"hello" * 50, "cut": whole[:100000], "riff": whole[:12]}.items():
        path = tmp_path / f"{name}.sf2"
        path.write_bytes(content)
        with refused(Damaged, path):
            presets(path)
    with refused(InvalidValue):
        check_soundfonts([])
    twin = tmp_path / default_soundfont().name
    twin.write_bytes(whole)
    with refused(AlreadyExists, twin):
        check_soundfonts([default_soundfont(), twin])


def test_a_bank_the_synthesizer_refuses_is_named(tmp_path, refused):
    path = tmp_path / "odd.sf2"
    path.write_bytes(b"not a bank")
    part = part_from_notes([(0.0, 1.0, 60, 90)])
    with refused(Failed, path):
        render_part(path, Song((part,), 2.0), part, RATE)


def test_hold_out_is_seeded_disjoint_and_a_quarter():
    pools = {seed: preset_pool([default_soundfont()], ["piano", "guitar", "bass"], seed) for seed in (0, 1)}
    again = preset_pool([default_soundfont()], ["bass"], 0)
    assert again.test["bass"] == pools[0].test["bass"]
    assert pools[0].test != pools[1].test
    for pool in pools.values():
        for group, held in pool.test.items():
            kept = pool.training[group]
            assert held and len(kept) + len(held) >= FEWEST_TO_HOLD_OUT
            assert not {patch.label for patch in held} & {patch.label for patch in kept}
            assert all(not patch.label.endswith(".nkm") for patch in (*held, *kept))


def test_a_sound_above_its_written_pitch_is_rejected():
    pool = preset_pool([default_soundfont()], ["guitar"], 0)
    assert pool.rejected == {"TimGM6mb.sf2:031": "sounds above its written pitch"}  # guitar harmonics


def test_the_same_bank_twice_gives_no_new_patches(tmp_path):
    twin = tmp_path / "twin.sf2"
    twin.write_bytes(default_soundfont().read_bytes())
    one = preset_pool([default_soundfont()], ["bass"], 0)
    two = preset_pool([default_soundfont(), twin], ["bass"], 0)
    assert one.test == two.test and "the same sound as" in two.rejected["twin.sf2:032"]
