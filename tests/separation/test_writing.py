from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from scoresep.audio.source import ArraySource
from scoresep.errors import InvalidValue, Mismatch
from scoresep.separation import writing as write
from scoresep.separation.writing import Format, check_fits, choose_format, common_gain, to_steps, write_stems


def noise(*shape: int) -> np.ndarray:
    return (np.random.default_rng(4).standard_normal(shape) * 0.1).astype(np.float32)


def test_formats_and_their_defaults() -> None:
    assert choose_format() == Format("wav", "float")
    assert [choose_format(name).bits for name in ("wav", "flac", "ogg", "mp3")] == ["float", "24", "", ""]
    assert choose_format("wav", "16").steps == 32768


@pytest.mark.parametrize(
    ("name", "bits", "remedy"), [("falc", None, "'flac'"), ("flac", "float", "24 or 16"), ("mp3", "16", "--bits")]
)
def test_formats_that_do_not_exist(name: str, bits: str | None, remedy: str, refused: Any) -> None:
    with refused(InvalidValue) as info:
        choose_format(name, bits)
    assert remedy in info.value.remedy


@pytest.mark.parametrize(("name", "channels", "rate"), [("flac", 9, 44100), ("mp3", 3, 44100), ("mp3", 1, 96000)])
def test_what_a_format_cannot_hold(name: str, channels: int, rate: int, refused: Any) -> None:
    with refused(Mismatch):
        check_fits(choose_format(name), ArraySource(noise(10, channels), rate))
    check_fits(choose_format("wav"), ArraySource(noise(10, channels), rate))


@pytest.mark.parametrize("bits", ["16", "24"])
def test_rounding_keeps_the_sum_and_stays_within_a_step(bits: str) -> None:
    form = choose_format("wav", bits)
    stems = noise(5, 3000, 2).astype(np.float64)
    steps = to_steps(stems, stems.sum(axis=0), form)
    np.testing.assert_array_equal(steps.sum(axis=0), np.floor(stems.sum(axis=0) * form.steps + 0.5))
    assert np.abs(steps - stems * form.steps).max() < 1.0


@pytest.mark.parametrize("bits", ["16", "24"])
@pytest.mark.parametrize("stems", [2, 5])
def test_what_rounding_takes_beyond_full_scale_goes_to_another_stem(bits: str, stems: int) -> None:
    form = choose_format("wav", bits)
    full = np.array([1 - 1 / form.steps, -1.0] * 500)
    values = np.zeros((stems, len(full)))
    values[0] = full * (1 + 9e-7)
    steps = to_steps(values, full, form)
    np.testing.assert_array_equal(steps.sum(axis=0), full * form.steps)
    assert -form.steps <= steps.min() and steps.max() < form.steps
    assert np.abs(steps - values * form.steps).max() <= 9


def test_one_stem_beyond_full_scale_is_at_full_scale() -> None:
    form = choose_format("wav", "24")
    loud = np.array([1.0, -1.0 - 1e-7])
    assert to_steps(loud[None], loud, form).tolist() == [[form.steps - 1, -form.steps]]


@pytest.mark.parametrize("bits", ["16", "24"])
def test_no_gain_and_any_gain_stay_within_the_integers(bits: str) -> None:
    form = choose_format("wav", bits)
    rng = np.random.default_rng(5)
    for highest in (1 - 1 / form.steps, 1.00001, 1.7):
        stems = rng.uniform(-1, highest, (3, 20000))
        stems[:, :2] = highest, -1.0
        gain = common_gain(stems.max(), stems.min(), form)
        assert (gain == 1.0) == (highest < 1.0)
        steps = to_steps(stems * gain, stems.sum(axis=0) * gain, form)
        assert -form.steps <= steps.min() and steps.max() < form.steps
        assert gain == 1.0 or np.abs(steps).max() > 0.9999 * (form.steps - 1)


@pytest.mark.parametrize("name", ["ogg", "mp3"])
def test_lossy_formats_hold_about_the_same(tmp_path: Path, name: str) -> None:
    time = np.arange(32000) / 16000
    tone = (1.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)[:, None]
    pieces = [np.stack([tone, 0.5 * tone])]
    source = ArraySource(tone, 16000)
    (first, second), gain = write_stems(pieces, ["a", "b"], tmp_path, source, choose_format(name))
    assert gain == pytest.approx(0.95 / 1.5, rel=1e-5)
    for path, scale in ((first, 0.95), (second, 0.475)):
        samples, rate = soundfile.read(path, always_2d=True)
        assert rate == 16000 and abs(len(samples) - len(tone)) <= 1152
        assert np.abs(samples[4000:28000]).max() == pytest.approx(scale, rel=0.04)
        assert np.abs(samples).max() < 1.0
    assert {path.name for path in tmp_path.iterdir()} == {f"a.{name}", f"b.{name}"}


def test_long_stems_become_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "LARGEST_WAV", 1000)
    source = ArraySource(noise(500, 1), 16000)
    for form in (choose_format(), choose_format("wav", "16")):
        paths, _ = write_stems([noise(2, 500, 1)], ["a", "b"], tmp_path / form.bits, source, form)
        assert {soundfile.info(path).format for path in paths} == {"RF64"}
