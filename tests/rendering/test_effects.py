"""Effects against what theory says of them, and what all of them must leave alone: onsets, pitch, silence."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from scipy.signal import hilbert

from scoresep.errors import NotFound, NothingToDo
from scoresep.rendering.chain import ROUTES, Step, apply_chain, chain_text, draw_chains
from scoresep.rendering.effects import AMPLIFIERS, EFFECTS, Scene, Tone, apply_tone, bend, compress, draw_tone
from scoresep.rendering.impulses import Impulse, convolve, minimum_phase, read_impulses, response
from scoresep.rendering.sources.base import Patch
from scoresep.score.parts import part_from_notes

RATE = 22050
SYNTHESISED = read_impulses(None).by_kind


def _sine(hertz: float, seconds: float = 1.0, level: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def _rms_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def _draws(effect: str, count: int = 12, group: str = "guitar"):
    """Settings of an effect, drawn; devices, of which none is synthesised, are played by cabinets."""
    scene = Scene(group, 27, SYNTHESISED | {"device": SYNTHESISED["cabinet"]})
    return [EFFECTS[effect].draw(np.random.default_rng(n), scene) for n in range(count)]


# Every effect


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("effect", EFFECTS)
def test_silence_stays_silence_and_no_length_is_a_problem(effect, rate):
    for settings in _draws(effect, 4):
        for length in (0, 1, 30, 3000):
            for level in (0, 1):
                heard = apply_chain(np.full(length, level, dtype=np.float32), (Step(effect, settings),), rate)
                assert heard.shape == (length,) and heard.dtype == np.float32 and np.isfinite(heard).all()
                assert level or not heard.any()


@pytest.mark.parametrize("effect", EFFECTS)
def test_onsets_stay(effect):
    start = RATE // 2
    struck = np.zeros(RATE, dtype=np.float32)
    struck[start:] = _sine(500, 0.5)[: RATE - start] * np.exp(-np.arange(RATE - start) / (0.1 * RATE))
    for settings in _draws(effect):
        heard = np.abs(EFFECTS[effect].apply(struck, RATE, settings))
        assert heard[: start - 30].max() < 1e-3 * heard.max()  # what rings ahead is the resampler's filter
        first = int(np.argmax(heard > 0.05 * heard[start : start + RATE // 20].max()))
        assert abs(first - start) <= 0.003 * RATE


@pytest.mark.parametrize("effect", EFFECTS)
def test_pitch_stays(effect):
    for settings in _draws(effect, 6):
        heard = EFFECTS[effect].apply(_sine(440.0, 2.0), RATE, settings)
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        assert np.argmax(spectrum[: (2 * 660)]) / 2 == pytest.approx(440.0, abs=4.0)


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_seed_decides(effect):
    assert _draws(effect, 3) == _draws(effect, 3)
    assert len({str(settings) for settings in _draws(effect, 3)}) > 1


# Each by itself


def test_a_unit_impulse_changes_nothing_and_a_late_one_delays():
    noise = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    np.testing.assert_allclose(convolve(noise, np.array([1.0], dtype=np.float32)), noise, atol=1e-5)
    late = np.zeros(101, dtype=np.float32)
    late[100] = 0.5
    np.testing.assert_allclose(convolve(noise, late)[100:], 0.5 * noise[:-100], atol=1e-5)


@pytest.mark.parametrize("ratio", [1.5, 4.0, 8.0])
def test_a_compressor_s_ratio(ratio):
    levels = [-40.0, -20.0, -10.0, 0.0]  # dB of a full sine, whose mean square is -3 dB
    heard = [
        _rms_db(compress(_sine(1000, 2.0, 10 ** (level / 20)), RATE, -23.0, ratio, 0.005, 0.1)[RATE:])
        for level in levels
    ]
    assert heard[0] == pytest.approx(-43, abs=0.1)  # below the threshold
    assert heard[1] == pytest.approx(-23, abs=0.2)
    np.testing.assert_allclose(np.diff(heard[1:]), 10 / ratio, atol=0.3)


def test_a_compressor_s_times():
    loud = np.concatenate([_sine(1000, 1.0, 0.01), _sine(1000, 1.0, 1.0), _sine(1000, 1.0, 0.01)])
    gain = np.abs(hilbert(compress(loud, RATE, -23.0, 100.0, 0.05, 0.2))) / np.abs(hilbert(loud))
    reduction = -20 * np.log10(gain)
    at = [reduction[int(second * RATE)] for second in (0.9, 1.05, 1.9, 2.2, 2.9)]
    full = 20 * 0.99
    np.testing.assert_allclose(at, [0, full * (1 - np.exp(-1)), full, full * np.exp(-1), 0], atol=0.8)


def test_a_tremolo_s_rate_and_depth():
    settings = {"rate": 5.0, "depth": 0.4, "phase": 0.1}
    envelope = np.abs(hilbert(EFFECTS["tremolo"].apply(_sine(800, 4.0), RATE, settings)))[RATE:-RATE]
    assert np.argmax(np.abs(np.fft.rfft(envelope - envelope.mean()))) / 2 == 5.0
    assert envelope.max() == pytest.approx(1, abs=0.02) and envelope.min() == pytest.approx(0.6, abs=0.02)


def test_an_equaliser_s_gain():
    settings = {"tone": Tone((0.0, 200.0), (7.0, 1000.0), (0.0, 3000.0), 2.0)}
    for hertz, gain in ((1000.0, 7.0), (50.0, 0.0)):
        assert _rms_db(EFFECTS["equaliser"].apply(_sine(hertz), RATE, settings)[2000:]) == pytest.approx(
            gain - 3, abs=0.3
        )


def test_echoes_are_where_and_as_strong_as_they_are_set():
    click = np.zeros(RATE, dtype=np.float32)
    click[100] = 1.0
    heard = EFFECTS["delay"].apply(click, RATE, {"seconds": 0.2, "feedback": 0.5, "wet": 0.3})
    assert np.flatnonzero(heard).tolist() == [100, 4510, 8920, 13330, 17740]
    np.testing.assert_allclose(heard[np.flatnonzero(heard)], [1, 0.3, 0.15, 0.075, 0.0375], rtol=1e-6)


def test_a_chorus_is_the_signal_and_a_copy_of_it():
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    settings = {"rate": 1.0, "depth": 0.0, "mix": 0.5, "phase": 0.0}
    delay = 0.005 * RATE
    copy = EFFECTS["chorus"].apply(noise, RATE, settings) - noise
    whole, part = int(delay), delay - int(delay)
    expected = (1 - part) * noise[1 : 1 - whole - 1 or None][: RATE - whole - 1] + part * noise[: RATE - whole - 1]
    np.testing.assert_allclose(copy[whole + 1 :], 0.5 * expected, atol=1e-4)


def test_a_phaser_has_two_notches():
    """Four first-order all-pass filters turn by 180 degrees at tan(22.5) and at tan(67.5) times their frequency."""
    noise = np.random.default_rng(0).standard_normal(8 * RATE).astype(np.float32)
    still = EFFECTS["phaser"].apply(noise, RATE, {"rate": 1e-9, "mix": 1.0, "phase": 0.75})  # at 200 Hz
    power = [np.abs(np.fft.rfft(x.reshape(-1, RATE), axis=1)).mean(axis=0) for x in (still, noise)]
    ratio = power[0] / power[1]
    notches = (200 * np.tan(np.pi / 8), 200 / np.tan(np.pi / 8))
    for hertz in notches:
        assert np.argmin(ratio[int(0.7 * hertz) : int(1.4 * hertz)]) + int(0.7 * hertz) == pytest.approx(
            hertz, rel=0.03
        )
    assert ratio[5] == pytest.approx(2, abs=0.1) and ratio[200] == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("kind", AMPLIFIERS)
def test_an_amplifier_bends_without_folding_back(kind):
    """What is not a partial of the note is aliasing."""
    rate, hertz = 44100, 1301.0
    amplifier = AMPLIFIERS[kind]
    driven = bend(_sine(hertz, 1.0, rate=rate), rate, amplifier.gain[1], amplifier.bias, amplifier.hard)
    spectrum = np.abs(np.fft.rfft(driven * np.blackman(len(driven))))
    partial = np.zeros(len(spectrum), dtype=bool)
    for n in range(18):
        partial[max(0, int(n * hertz) - 4) : int(n * hertz) + 5] = True
    assert (
        20 * np.log10(spectrum[~partial].max() / spectrum.max())
        < {"clean": -75, "crunch": -60, "distorted": -46, "fuzz": -42}[kind]
    )
    third = 20 * np.log10(spectrum[int(3 * hertz)] / spectrum[int(hertz)])
    assert third == pytest.approx({"clean": -23, "crunch": -10, "distorted": -9.5, "fuzz": -9.5}[kind], abs=3.5)


def test_driving_harder_sustains_longer():
    decay = np.exp(-np.arange(2 * RATE) / (0.3 * RATE)).astype(np.float32) * _sine(220, 2.0)
    soft, hard = (bend(decay, RATE, gain) for gain in (-10.0, 30.0))
    tails = [_rms_db(x[RATE : RATE + RATE // 2]) - _rms_db(x[: RATE // 2]) for x in (soft, hard)]
    assert tails[1] > tails[0] + 10


# Tones


TONE_RATE = 44100


def _gain_db(tone: Tone, frequency: float) -> float:
    time = np.arange(TONE_RATE) / TONE_RATE
    sine = np.sin(2 * np.pi * frequency * time).astype(np.float32)
    filtered = apply_tone(sine, tone, TONE_RATE)[TONE_RATE // 2 :]
    return 20 * np.log10(np.sqrt(np.mean(np.square(filtered, dtype=np.float64))) / np.sqrt(0.5))


def test_flat_tone_changes_nothing():
    tone = Tone((0.0, 200.0), (0.0, 1000.0), (0.0, 3000.0), 1.0)
    for frequency in (60.0, 1000.0, 9000.0):
        assert _gain_db(tone, frequency) == pytest.approx(0.0, abs=0.05)


def test_bell_lifts_its_centre_by_its_gain_and_leaves_the_ends():
    tone = Tone((0.0, 200.0), (9.0, 1000.0), (0.0, 3000.0), 2.0)
    assert _gain_db(tone, 1000.0) == pytest.approx(9.0, abs=0.3)
    assert _gain_db(tone, 50.0) == pytest.approx(0.0, abs=0.3)
    assert _gain_db(tone, 15000.0) == pytest.approx(0.0, abs=0.3)


def test_shelves_reach_their_gains_at_the_ends():
    tone = Tone((-6.0, 200.0), (0.0, 1000.0), (6.0, 3000.0), 1.0)
    assert _gain_db(tone, 25.0) == pytest.approx(-6.0, abs=0.5)
    assert _gain_db(tone, 15000.0) == pytest.approx(6.0, abs=0.5)


def test_low_rates_do_not_break_the_high_shelf():
    tone = Tone((0.0, 200.0), (0.0, 3999.0), (9.0, 5000.0), 1.0)
    assert np.isfinite(apply_tone(np.ones(800, dtype=np.float32), tone, 8000)).all()


def test_the_seed_decides_the_tone():
    def draw(seed: int) -> Tone:
        return draw_tone(np.random.default_rng(seed))

    assert draw(1) == draw(1) != draw(2)
    assert all(abs(draw(seed).bell[0]) <= 9 and 300 <= draw(seed).bell[1] <= 4000 for seed in range(50))


# Impulse responses


def test_impulse_responses_start_with_their_direct_sound(impulses):
    found = read_impulses(impulses)
    (box,) = found.by_kind["cabinet"]
    assert np.argmax(np.abs(response(box, RATE))) <= 2
    assert np.square(response(box, 48000)).sum() == pytest.approx(1, rel=1e-5)
    assert (box.credit.licence, box.credit.attribution) == ("CC BY 4.0", "Hanna")
    assert [i.label for i in found.by_kind["room"]] == ["room/hall.wav"]
    assert all(i.path is None for i in found.by_kind["bass cabinet"]) and not found.by_kind["device"]


@pytest.mark.parametrize("kind", SYNTHESISED)
def test_synthesised_ones_differ_and_are_the_same_every_time(kind):
    if kind == "device":
        assert not SYNTHESISED[kind]
        return
    first, second = (response(i, RATE) for i in SYNTHESISED[kind][:2])
    assert len(first) != len(second) or np.abs(first - second).max() > 0.01
    again = Impulse(kind, "again", number=SYNTHESISED[kind][0].number)
    np.testing.assert_array_equal(response(again, RATE), first)
    assert np.argmax(np.abs(first)) < 0.002 * RATE


def test_minimum_phase_keeps_the_magnitude_and_comes_first():
    hertz = np.linspace(0, 1, 513)
    magnitude = 1 / np.sqrt(1 + (hertz / 0.1) ** 2)
    found = minimum_phase(magnitude)
    np.testing.assert_allclose(np.abs(np.fft.rfft(found)), magnitude, rtol=1e-3)
    assert np.square(found[:20]).sum() > 0.9 * np.square(found).sum()


def test_impulse_responses_that_cannot_be_used_are_named(tmp_path, refused):
    with refused(NotFound, tmp_path / "none"):
        read_impulses(tmp_path / "none")
    with refused(NothingToDo, tmp_path):
        read_impulses(tmp_path)
    (tmp_path / "what.wav").write_bytes(b"")
    with refused(NothingToDo, tmp_path) as error:
        read_impulses(tmp_path)
    assert "what.wav" in str(error.value)
    (tmp_path / "cab").mkdir()
    (tmp_path / "rooms").mkdir()
    (tmp_path / "cab" / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "cab" / "silent.wav", np.zeros(100), RATE)
    click = np.zeros(RATE)
    click[[10, 15000]] = 0.3, 1.0
    soundfile.write(tmp_path / "rooms" / "echo.wav", click, RATE)
    for name in ("a.wav", "a_tight.wav"):
        soundfile.write(tmp_path / "cab" / name, click[:100], RATE)
    left_out = dict(read_impulses(tmp_path).left_out)
    assert left_out.keys() == {"what.wav", "cab/broken.wav", "cab/silent.wav", "rooms/echo.wav", "cab/a.wav"}
    assert "silent" in left_out["cab/silent.wav"] and "echo" in left_out["rooms/echo.wav"]


# Chains


def _chains(seed: int, patch: Patch, program: int, is_drum: bool = False):
    part = part_from_notes([(0.0, 1.0, 60, 90)], program=program, is_drum=is_drum)
    return draw_chains([part], [patch], SYNTHESISED, np.random.default_rng(seed))[0]


def test_routes_name_effects_and_probabilities():
    for route in ROUTES.values():
        assert all(effect in EFFECTS and 0 < probability <= 1 for effect, probability in route)
        assert any(probability == 1 for _, probability in route)  # so that a chain is never empty


def test_direct_guitars_have_an_amplifier_and_acoustic_ones_none(tmp_path):
    direct = Patch(tmp_path, 27, False, "di", "di", "sfz", stands_for=(27,), direct=True)
    nylon = Patch(tmp_path, 24, False, "nylon", "nylon", "sfz", stands_for=(24,))
    kinds = []
    for seed in range(40):
        amplified = [step for step in _chains(seed, direct, 27) if step.effect == "amplifier"]
        assert len(amplified) == 1 and amplified[0].settings["cabinet"].kind == "cabinet"
        kinds.append(amplified[0].settings["kind"])
        assert all(step.effect != "amplifier" for step in _chains(seed, nylon, 24))
        driven = next(step for step in _chains(seed, direct, 30) if step.effect == "amplifier")
        assert driven.settings["kind"] != "clean"
    assert set(kinds) == set(AMPLIFIERS)
    bass = Patch(tmp_path, 33, False, "b", "b", "sfz", stands_for=(33,), direct=True)
    steps = [step for seed in range(20) for step in _chains(seed, bass, 33) if step.effect == "amplifier"]
    assert {step.settings["cabinet"].kind for step in steps} == {"bass cabinet"}


def test_a_chain_is_the_seed_s_and_reads_well(tmp_path):
    kit = Patch(tmp_path, 0, True, "kit", "kit", "sfz", stands_for=(128,))
    assert _chains(3, kit, 0, True) == _chains(3, kit, 0, True) != _chains(4, kit, 0, True)
    chain = (Step("tremolo", {"rate": 5.0, "depth": 0.25}), Step("device", {"impulse": SYNTHESISED["cabinet"][0]}))
    assert chain_text(chain) == "tremolo(rate 5, depth 0.25) > device(impulse [synthesised cabinet 0])"


def test_a_device_is_everybody_s(impulses):
    kinds = SYNTHESISED | {"device": (Impulse("device", "radio", number=0),)}
    parts = [part_from_notes([(0.0, 1.0, 60, 90)], program=program) for program in (0, 27, 33)]
    patches = [Patch(impulses, p.program, False, "x", "x") for p in parts]
    songs = [draw_chains(parts, patches, kinds, np.random.default_rng(n)) for n in range(100)]
    through = [[chain[-1].effect == "device" for chain in chains] for chains in songs]
    assert all(len(set(stems)) == 1 for stems in through) and 1 < sum(stems[0] for stems in through) < 25


def test_whole_chains_keep_onsets_within_milliseconds(tmp_path):
    start = RATE // 4
    struck = np.zeros(RATE, dtype=np.float32)
    struck[start:] = _sine(300)[: RATE - start] * np.exp(-np.arange(RATE - start) / (0.1 * RATE))
    patches = [
        (Patch(tmp_path, p, False, "x", "x", "sfz", stands_for=(p,), direct=p != 24), p) for p in (24, 27, 33, 4)
    ]
    for patch, program in patches:
        for seed in range(8):
            heard = np.abs(apply_chain(struck, _chains(seed, patch, program), RATE))
            first = int(np.argmax(heard > 0.05 * heard[start : start + RATE // 20].max()))
            assert np.isfinite(heard).all() and abs(first - start) <= 0.005 * RATE
