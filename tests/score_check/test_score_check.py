"""The score check: tones with known answers, every kind of fault, every boundary, and a rendered corpus."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from scoresep.audio.loading import read_audio
from scoresep.datasets.base import Stem
from scoresep.datasets.slakh import open_slakh
from scoresep.rendering.render import RenderSettings, render_corpus
from scoresep.score.parts import Part, part_from_notes, read_midi
from scoresep.score_check import DISAGREEMENTS, check_stem, evidence, kernels, pitch, timing

SECONDS = 20.0


def melody(seed: int, low: int = 45, high: int = 70, seconds: float = SECONDS) -> list[tuple[float, float, int]]:
    """Notes of uneven rhythm, some together, some after a rest."""
    rng = np.random.default_rng(seed)
    notes, now = [], 0.3
    while now < seconds - 1.0:
        length = float(rng.uniform(0.15, 0.5))
        pitches = rng.choice(np.arange(low, high), size=int(rng.integers(1, 3)), replace=False)
        notes += [(now, now + length, int(pitch)) for pitch in pitches]
        now += length + float(rng.choice([0.0, 0.0, 0.11, 0.4]))
    return notes


def part(notes, **fields) -> Part:
    return part_from_notes([(on, off, pitch, 90) for on, off, pitch in notes], **fields)


def kinds(samples, parts, rate, is_drum=False) -> list[str]:
    found = check_stem(np.asarray(samples, dtype=np.float32), rate, parts, is_drum)
    assert all(finding.kind in DISAGREEMENTS and "\n" not in finding.detail for finding in found)
    return [finding.kind for finding in found]


def stem_parts(stem: Stem) -> list[Part]:
    return [part.transposed(stem.transpose) for part in read_midi(stem.score)]


def moved(samples: np.ndarray, shift: int) -> np.ndarray:
    """Samples later by `shift`, which may be negative."""
    silence = np.zeros(abs(shift))
    return np.concatenate([silence, samples[:-shift]] if shift > 0 else [samples[-shift:], silence])


def white(like: np.ndarray, db: float, seed: int = 0) -> np.ndarray:
    """White noise `db` above the mean level of `like`."""
    return np.random.default_rng(seed).normal(0, np.sqrt(np.mean(like**2)) * 10 ** (db / 20), len(like))


@pytest.fixture(scope="module")
def notes():
    return melody(1)


@pytest.fixture(scope="module")
def stem(make, notes):
    return make.play(notes, SECONDS)


def drum_hits(seed: int = 3) -> list[tuple[float, float, int]]:
    """Kick, snare and hat on an uneven grid."""
    rng = np.random.default_rng(seed)
    onsets = np.cumsum(rng.choice([0.15, 0.3, 0.45], size=50))
    return [(float(t), float(t) + 0.05, int(rng.choice([36, 38, 42]))) for t in onsets]


def play_drums(hits, rate: int, seconds: float) -> np.ndarray:
    """Each drum as a decaying burst of noise, of its own loudness and colour."""
    samples = np.zeros(round(seconds * rate))
    time = np.arange(round(0.1 * rate)) / rate
    for number, (onset, _, key) in enumerate(hits):
        burst = (
            np.random.default_rng(number).normal(size=len(time)) * np.exp(-60 * time) * {36: 0.5, 38: 0.3, 42: 0.1}[key]
        )
        if key == 36:
            burst = np.convolve(burst, np.ones(16) / 4, "same")
        first = round(onset * rate)
        samples[first : first + len(burst)] += burst[: len(samples) - first]
    return samples


# Stems that agree


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_a_stem_that_plays_its_score_has_no_findings(make, notes, rate):
    assert kinds(make.play(notes, SECONDS, rate), [part(notes)], rate) == []


@pytest.mark.parametrize(("low", "high"), [(28, 45), (84, 103)])
def test_the_lowest_and_the_highest_registers_agree(make, low, high):
    notes = melody(2, low, high)
    assert kinds(make.play(notes, SECONDS, 44100), [part(notes)], 44100) == []


def test_notes_of_all_parts_count(make, notes):
    parts = [part(notes[::2]), part(notes[1::2])]
    assert kinds(make.play(notes, SECONDS), parts, make.rate) == []
    assert "missing audio" in kinds(make.play(notes[:20], SECONDS), parts, make.rate)


def test_slow_attacks_late_releases_and_hiss_are_no_fault(make, notes):
    attack = np.concatenate([np.zeros(1), np.hanning(round(0.3 * make.rate))[: round(0.15 * make.rate)]])
    swells = np.convolve(make.play(notes, SECONDS), np.diff(attack), "full")[: round(SECONDS * make.rate)]
    assert kinds(swells + white(swells, -25), [part(notes)], make.rate) == []


@pytest.mark.parametrize("cents", [-40, 40])
def test_a_stem_that_is_out_of_tune_agrees(make, cents):
    notes = melody(5, 72, 96)
    tuned = [(on, off, pitch + cents / 100) for on, off, pitch in notes]
    assert kinds(make.play(tuned, SECONDS), [part(notes)], make.rate) == []


# One fault each


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize(("shift", "said"), [(12, "an octave lower"), (-12, "an octave higher")])
def test_a_label_that_is_an_octave_off_is_found(make, notes, rate, shift, said):
    (finding,) = check_stem(make.play(notes, SECONDS, rate).astype(np.float32), rate, [part(notes).transposed(shift)])
    assert finding.kind == "octave" and said in finding.detail


def test_a_bass_that_is_labelled_an_octave_high_is_found(make):
    notes = melody(4, 28, 43)
    assert kinds(make.play(notes, SECONDS, 44100), [part(notes).transposed(12)], 44100) == ["octave"]


@pytest.mark.parametrize(("shift", "said"), [(5, "5 semitones lower"), (-9, "9 semitones higher")])
def test_another_interval_is_found_and_named(make, stem, notes, shift, said):
    (finding,) = check_stem(stem.astype(np.float32), make.rate, [part(notes).transposed(shift)])
    assert finding.kind == "pitch" and said in finding.detail


@pytest.mark.parametrize("seconds", [0.1, -0.1, 0.25, -0.25, 1.0, -1.0, 6.0, -6.0])
def test_an_offset_is_found_with_its_size(make, stem, notes, seconds):
    late = moved(stem, round(seconds * make.rate)).astype(np.float32)
    offset = check_stem(late, make.rate, [part(notes)])[0]
    size, side = re.match(r"sounds (\d+\.\d+) s (after|before)", offset.detail).groups()
    assert offset.kind == "offset"
    assert float(size) == pytest.approx(abs(seconds), abs=0.021)
    assert side == ("after" if seconds > 0 else "before")


def test_a_stem_that_is_late_and_an_octave_low_is_both(make, stem, notes):
    assert kinds(moved(stem, make.rate), [part(notes).transposed(12)], make.rate) == ["offset", "octave"]


def test_noise_instead_of_the_stem_is_found(make, stem, notes):
    assert kinds(white(stem, 0), [part(notes)], make.rate) == ["noise"]


def test_coloured_noise_instead_of_the_stem_is_found(make, stem, notes):
    brown = np.cumsum(white(stem, 0))
    brown -= np.convolve(brown, np.ones(500) / 500, "same")
    assert "noise" in kinds(0.1 * brown / brown.std(), [part(notes)], make.rate)


@pytest.mark.parametrize("db", [0, -6])
def test_noise_over_the_stem_is_found(make, stem, notes, db):
    assert kinds(stem + white(stem, db), [part(notes)], make.rate) == ["noise"]


def test_a_gap_is_found_and_its_notes_are_counted(make, stem, notes):
    gap = stem.copy()
    gap[5 * make.rate : 12 * make.rate] = 0.0
    silent = sum(on >= 5.0 and off + 0.1 < 12.0 for on, off, _ in notes)
    (finding,) = check_stem(gap.astype(np.float32), make.rate, [part(notes)])
    assert finding.kind == "missing audio"
    assert finding.detail.startswith(f"{silent} of {len(notes)} notes")


def test_silence_is_found_however_few_the_notes(make, notes):
    silence = np.zeros(round(SECONDS * make.rate))
    assert kinds(silence, [part(notes)], make.rate) == ["silent"]
    assert kinds(silence, [part(notes[:1])], make.rate) == ["silent"]
    assert kinds(silence, [part(notes)], make.rate, is_drum=True) == ["silent"]


def test_other_music_is_foreign(make, notes):
    other = [(on, off, pitch) for (on, off, _), (_, _, pitch) in zip(notes, melody(9, 46, 71), strict=False)]
    assert kinds(make.play(other, SECONDS), [part(notes)], make.rate) == ["foreign"]


def test_bends_that_are_not_heard_are_found_and_those_that_are_heard_are_not(make, stem, notes):
    onsets = np.unique([on for on, _, _ in notes])
    bends = np.where(np.arange(len(onsets)) % 2, -2.0, 0.0)
    bent = part(notes, bend_time=onsets, bend=bends)
    heard = [(on, off, pitch + bends[np.searchsorted(onsets, on)]) for on, off, pitch in notes]
    assert kinds(make.play(heard, SECONDS), [bent], make.rate) == []
    assert kinds(stem, [bent], make.rate) == ["bends"]


# Drums


def test_drums_are_judged_by_time_silence_and_gaps_alone(make):
    hits = drum_hits()
    drums = play_drums(hits, make.rate, SECONDS)
    score = part(hits, is_drum=True)
    assert kinds(drums, [score], make.rate, is_drum=True) == []
    assert kinds(drums, [score.transposed(12)], make.rate, is_drum=True) == []
    assert kinds(moved(drums, make.rate // 4), [score], make.rate, is_drum=True) == ["offset"]
    gap = np.where(np.arange(len(drums)) > 7 * make.rate, 0.0, drums)
    assert kinds(gap, [score], make.rate, is_drum=True) == ["missing audio"]
    assert kinds(drums + white(drums, 0), [score], make.rate, is_drum=True) == ["noise"]


def test_an_even_beat_is_placed_by_which_drum_sounds(make):
    beat = [(0.5 * n + 0.5, 0.5 * n + 0.55, [36, 42, 38, 42, 36, 36, 38][n % 7]) for n in range(34)]
    drums = play_drums(beat, make.rate, SECONDS)
    assert kinds(drums, [part(beat)], make.rate, is_drum=True) == []
    assert kinds(moved(drums, make.rate), [part(beat)], make.rate, is_drum=True) == ["offset"]


def test_percussion_and_effects_have_no_pitch_to_judge(make, stem, notes):
    assert kinds(stem, [part(notes, program=118).transposed(12)], make.rate) == []


# Little or doubtful evidence


def test_a_handful_of_notes_is_not_judged(make):
    few = [(0.5 * n, 0.5 * n + 0.4, 50 + 3 * n) for n in range(1, 7)]
    sound = make.play(few, SECONDS)
    for wrong in (part(few).transposed(12), replace(part(few), onset=part(few).onset + 5, offset=part(few).offset + 5)):
        assert kinds(sound, [wrong], make.rate) == []


@pytest.mark.parametrize("parts", [[], [part([])], [part([(30.0, 31.0, 60)])]])
def test_no_notes_within_the_recording_is_no_evidence(make, stem, parts):
    assert kinds(stem, parts, make.rate) == []
    assert kinds(np.zeros(0), parts, make.rate) == []
    assert kinds(np.zeros(5), parts, make.rate) == []


def test_a_recording_that_ends_before_its_score_is_judged_as_far_as_it_goes(make, stem, notes):
    assert kinds(stem[: 8 * make.rate], [part(notes)], make.rate) == []


@pytest.mark.parametrize(("velocity", "found"), [(10, []), (80, ["missing audio"])])
def test_soft_notes_may_stay_unheard(make, notes, velocity, found):
    soft = [5.0 < on < 10.0 for on, _, _ in notes]
    heard = [note for note, unheard in zip(notes, soft, strict=True) if not unheard]
    score = part_from_notes([(*note, velocity if unheard else 90) for note, unheard in zip(notes, soft, strict=True)])
    assert kinds(make.play(heard, SECONDS), [score], make.rate) == found


@pytest.mark.parametrize(("attack", "gap", "found"), [(0.005, 0.1, ["offset"]), (0.16, 0.0, [])])
def test_a_tenth_of_a_second_may_be_the_attack_of_a_slow_sound(make, attack, gap, found):
    """Notes swell from -40 dB and die away after their ends; those with a sharp attack are late."""
    onsets = np.cumsum(np.random.default_rng(4).choice([0.4, 0.5, 0.7], size=30))
    notes = [(on, off - gap, 50 + n * 5 % 13) for n, (on, off) in enumerate(itertools.pairwise(onsets))]
    samples = np.zeros(round(SECONDS * make.rate))
    for on, off, key in notes:
        sound = make.tone(key, off - on + 0.3)
        time = np.arange(len(sound)) / make.rate
        level = np.minimum(0.0, -40 + 40 * time / attack) - 400 * np.maximum(time - (off - on), 0.0)
        first = round((on + gap) * make.rate)
        samples[first : first + len(sound)] += sound * 10 ** (level / 20)
    assert kinds(samples, [part(notes)], make.rate) == found


@pytest.mark.parametrize(("share", "found"), [(0.6, []), (0.9, ["octave"])])
def test_most_notes_must_sound_at_another_octave(make, notes, share, found):
    raised = np.random.default_rng(0).random(len(notes)) < share
    heard = [(on, off, pitch + 12 * up) for (on, off, pitch), up in zip(notes, raised, strict=True)]
    assert kinds(make.play(heard, SECONDS), [part(notes)], make.rate) == found


@pytest.mark.parametrize("upper", [0.5, 1.0, 4.0])
def test_octaves_doubled_above_are_no_other_octave(make, stem, notes, upper):
    doubled = make.play([(on, off, pitch + 12) for on, off, pitch in notes], SECONDS)
    assert kinds(stem + upper * doubled, [part(notes)], make.rate) == []


def test_other_music_in_the_same_rhythm_is_not_taken_for_late(make, notes):
    other = [(on, off, pitch) for (on, off, _), (_, _, pitch) in zip(notes, melody(9, 46, 71), strict=False)]
    assert kinds(moved(make.play(other, SECONDS), make.rate // 2), [part(notes)], make.rate) == ["foreign"]


def test_a_few_drums_are_not_judged(make):
    hits = drum_hits()[:8]
    late = moved(play_drums(hits, make.rate, SECONDS), make.rate // 4)
    assert kinds(late, [part(hits)], make.rate, is_drum=True) == []


def test_an_organ_is_not_called_an_octave_low(make, stem, notes):
    assert kinds(stem, [part(notes, program=16).transposed(12)], make.rate) == []
    assert kinds(stem, [part(notes, program=16).transposed(-12)], make.rate) == ["octave"]


@pytest.mark.parametrize(("program", "found"), [(0, ["foreign"]), (9, [])])
def test_bells_may_sound_unlike_their_score(make, notes, program, found):
    """Two partials of a struck bar, which are no multiples of the written pitch."""
    bars = sum(make.play([(on, off, pitch + up) for on, off, pitch in notes], SECONDS) for up in (17.6, 29.2))
    assert kinds(bars, [part(notes, program=program)], make.rate) == found


def test_the_real_clip_is_not_flagged(real_clip):
    checked = 0
    for layout in ("slakh2100_flac_redux", "babyslakh_16k"):
        for track in open_slakh(real_clip / layout).tracks:
            for stem in track.stems:
                samples, rate = read_audio(stem.audio)
                assert check_stem(samples, rate, stem_parts(stem), stem.is_drum) == []
                checked += 1
    assert checked == 20


# Measures, against independent ones


def test_envelopes_are_mean_squares_and_those_of_differences():
    samples = np.random.default_rng(0).normal(size=44100).astype(np.float32)
    envelope = timing.envelope_of(samples, 44100)
    steps = samples.astype(np.float64).reshape(-1, 441)
    assert envelope.rate == 100
    assert envelope.energy == pytest.approx(np.square(steps[:, 1:]).sum(axis=1) / 441, rel=1e-4)
    assert envelope.edges == pytest.approx(np.square(np.diff(steps, axis=1)).sum(axis=1) / 441, rel=1e-4)


def test_onsets_fit_fully_where_sounds_begin_and_by_chance_elsewhere(make, stem, notes):
    envelope = timing.envelope_of(stem.astype(np.float32), make.rate)
    score = evidence.notes_within([part(notes)], SECONDS)
    fit, count = timing.onset_fit(envelope, score)
    middle = len(fit) // 2
    assert count == len({round(on, 3) for on, _, _ in notes})
    assert fit[middle - 2 : middle + 3].max() > 0.9
    assert np.abs(fit[middle + 300 :: 37]).mean() < 0.3


def test_agreement_is_the_cosine_with_the_partials_of_the_sounding_notes(make):
    lone = [(0.2 * n, 0.2 * n + 0.2, 57) for n in range(60)]
    sound = make.play([(0.0, 12.0, 57)], 12.0)
    score = [part(lone)]
    envelope = timing.envelope_of(sound.astype(np.float32), make.rate)
    whole = evidence.Sound(
        sound.astype(np.float32), make.rate, score, False, evidence.notes_within(score, 12.0), envelope
    )
    spectra = pitch.note_spectra(whole)
    bins = np.arange(spectra.partials.shape[1])
    for shift in (0.0, 7.0):
        template = np.zeros(len(bins))
        for h in range(1, kernels.PARTIALS + 1):
            centre = 220.0 * 2 ** (shift / 12) * h * np.sqrt(1 + kernels.INHARMONICITY * h**2) / spectra.bin_width
            half = kernels.HALF_WIDTH + kernels.SPREAD * centre
            lobe = h**-kernels.DECAY * (1 - ((bins - centre) / half) ** 2)
            template = np.maximum(template, lobe)
        expected = spectra.partials @ template / np.linalg.norm(template)
        found = pitch.agreement(spectra, whole.notes, (shift,))[:, 0]
        # Windows reach over two notes, which weigh by the share of the window that they fill: the louder one decides.
        assert found == pytest.approx(expected, rel=1e-4)


def test_steady_noise_is_measured_at_its_level(make, stem, notes):
    noise = white(stem, 0)
    spectrum = np.abs(np.fft.rfft(noise[: 100 * 2048].reshape(100, 2048) * np.hanning(2048)))
    assert pitch.steady_level(spectrum.astype(np.float32)) == pytest.approx(0.0, abs=1.0)
    assert pitch.steady_level(np.eye(100, 900, dtype=np.float32)) < -60


# A rendered corpus


@pytest.mark.integration
def test_rendered_stems_agree_and_their_wrong_octaves_do_not(tmp_path):
    render_corpus(tmp_path / "corpus", RenderSettings(songs=2, seconds=20.0, seed=11, groups=("piano", "bass")), jobs=1)
    found = {}
    for track in open_slakh(tmp_path / "corpus").tracks:
        for stem in track.stems:
            samples, rate = read_audio(stem.audio)
            parts = stem_parts(stem)
            assert check_stem(samples, rate, parts, stem.is_drum) == []
            found[track.id, stem.name] = kinds(samples, [part.transposed(12) for part in parts], rate)
    assert len(found) >= 2
    assert all(found.values()) and all(names == ["octave"] for names in found.values())
