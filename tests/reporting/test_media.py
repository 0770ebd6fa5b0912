"""Pictures and sound: what is drawn lies where the axes say, elements fit into one page, sounds are what was given."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from PIL import Image

from scoresep.grid import Grid
from scoresep.plots.style import LOWEST_HZ, pitch_range
from scoresep.reporting.media import (
    AUDIO_FORMATS,
    BOTTOM,
    LEFT,
    RIGHT,
    SIZE,
    TOP,
    Picture,
    audio_uri,
    curve_picture,
    mask,
    roll,
    spectrogram,
    step_text,
)
from scoresep.reporting.sources import Curve

GRID = Grid()
INCH = 72
AXES = (LEFT * SIZE[0] * INCH, RIGHT * SIZE[0] * INCH, (1 - TOP) * SIZE[1] * INCH, (1 - BOTTOM) * SIZE[1] * INCH)
"""Left, right, upper and lower edge of the axes of a picture over time."""


def element(picture: Picture) -> ElementTree.Element:
    return ElementTree.fromstring(str(picture.svg).replace("xlink:href", "href"))


def pixels(picture: Picture) -> np.ndarray:
    """Brightness of the embedded image, rows downwards, highest frequency first."""
    (image,) = element(picture).iter("image")
    content = base64.b64decode(image.get("href").partition(",")[2])
    result = np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(int)
    upwards = float(image.get("transform").split()[3]) < 0
    return result[::-1] if upwards else result


def labels(picture: Picture) -> dict[str, tuple[float, float]]:
    """Place of each text, x and y downwards."""
    return {text.text: (float(text.get("x")), float(text.get("y"))) for text in element(picture).iter("text")}


def bars(picture: Picture) -> list[np.ndarray]:
    """Corners of the notes in colour, (K, 2) each, x and y downwards."""
    (group,) = [each for each in element(picture).iter("g") if each.get("id", "").endswith("-bar")]
    numbers = (re.findall(r"[ML] (\S+) (\S+)", path.get("d")) for path in group.iter("path"))
    return [np.array(each, dtype=float) for each in numbers]


def test_a_tone_is_where_the_axis_says() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(32000) / 16000).astype(np.float32)
    picture = spectrogram("estimate", "a tone", tone, 0.0, 4.0, GRID)
    image = pixels(picture)
    height = (image[:, 30].argmax() + 0.5) / len(image)
    _, y = labels(picture)["0.5"]
    assert AXES[2] + height * (AXES[3] - AXES[2]) == pytest.approx(y, abs=4)  # a text's baseline lies below its tick
    assert labels(picture)["4.00"][0] == pytest.approx(AXES[0], abs=0.1)
    text = element(picture).get("aria-label")
    assert "4.0 to 6.0 s" in text and f"{LOWEST_HZ:.0f} to 8000 Hz" in text


def test_a_mask_shows_its_bins() -> None:
    values = np.zeros((20, GRID.bins), dtype=bool)
    values[10:, 128] = True  # 1 kHz, second half
    picture = mask("mask", "The mask", values, 19 * GRID.hop, 0.0, GRID)
    image = pixels(picture)
    lit = np.argwhere(image > image.min())
    assert lit[:, 1].min() == 10
    _, y = labels(picture)["1"]
    assert AXES[2] + lit[:, 0].mean() / len(image) * (AXES[3] - AXES[2]) == pytest.approx(y, abs=4)


def test_bars_are_where_the_notes_are() -> None:
    notes = np.array([[1.0, 2.0, 60, 80], [2.0, 3.0, 69, 80]])
    picture = roll("notes", "piano", [notes], (60, 69), (1.0, 3.0), "#0072B2", True)
    first, second = bars(picture)
    middle = (AXES[0] + AXES[1]) / 2
    np.testing.assert_allclose([first[:, 0].min(), first[:, 0].max()], [AXES[0], middle], atol=0.01)
    np.testing.assert_allclose([second[:, 0].min(), second[:, 0].max()], [middle, AXES[1]], atol=0.01)
    assert first[:, 1].min() > second[:, 1].max()  # higher notes lie higher; y runs downwards


def test_a_roll_counts_its_notes_and_names_octaves() -> None:
    notes = np.array([[1.0, 2.0, 60, 80]])
    keys = pitch_range([notes, notes + np.array([0, 0, 12, 0])], (0.0, 4.0))
    assert keys[0] < 60 and keys[1] > 72 and keys[1] - keys[0] >= 24
    picture = roll("notes", "piano", [notes, notes], keys, (0.0, 4.0), "#0072B2", True)
    assert "1 notes" in element(picture).get("aria-label") and {"C4", "C5"} <= labels(picture).keys()
    assert len(bars(picture)) == 1 and "opacity: 0.28" in picture.svg


def test_a_curve_names_its_ends() -> None:
    curve = Curve("a/b", np.array([[0.0, 1.0], [100.0, 0.5]]), np.array([[100.0, 0.75]]))
    picture = curve_picture("a: b", curve, 100)
    text = element(picture).get("aria-label")
    assert "Training: from 1 to 0.5" in text and "Validation: from 0.75 to 0.75" in text
    (group,) = [each for each in element(picture).iter("g") if each.get("id", "").endswith("-train")]
    (path,) = group.iter("path")
    begin, end = np.array(re.findall(r"[ML] (\S+) (\S+)", path.get("d")), dtype=float)
    assert begin[0] < end[0] and begin[1] < end[1]  # falls; y runs downwards
    assert picture.title == "a: b"


@pytest.mark.parametrize("values", [[1.0, 0.001], [3.0, 3.0], [0.0, 0.0], [-1.0, 5.0], [1e-9, 1e9], [0.2, 0.21]])
def test_a_curve_of_any_range_has_ticks(values: list[float]) -> None:
    picture = curve_picture("loss", Curve("a", np.stack([np.arange(2.0), values], axis=1), np.zeros((0, 2))), 1)
    assert picture.title.endswith("(log scale)") == (min(values) > 0 and max(values) / min(values) >= 6)
    groups = (each.get("id", "") for each in element(picture).iter("g"))
    assert sum(bool(re.search(r"-ytick_\d+$", name)) for name in groups) >= 2


def test_pictures_follow_the_page_and_are_like_no_other() -> None:
    notes = np.array([[1.0, 2.0, 60, 80]])
    pair = [roll("notes", name, [notes], (50, 70), (0.0, 4.0), "#0072B2", True) for name in ("piano", "<bass>")]
    ids = [{each.get("id") for each in element(picture).iter() if each.get("id")} for picture in pair]
    assert ids[0] and not ids[0] & ids[1]
    assert all("currentColor" in picture.svg and "http" not in picture.svg for picture in pair)
    assert (
        "&lt;bass&gt;" in pair[1].svg
        and pair[0].svg == roll("", "piano", [notes], (50, 70), (0.0, 4.0), "#0072B2", True).svg
    )


def test_steps_are_short() -> None:
    assert (step_text(2000), step_text(20000)) == ("2000", "20k")


def decoded(uri: str) -> tuple[str, bytes]:
    head, _, content = uri.partition(";base64,")
    return head, base64.b64decode(content)


def test_flac_holds_the_samples_to_16_bits() -> None:
    sound = np.random.default_rng(0).uniform(-0.9, 0.9, 4000).astype(np.float32)
    head, content = decoded(audio_uri(sound, 16000, AUDIO_FORMATS["flac"]))
    result, rate = soundfile.read(io.BytesIO(content))
    assert (head, rate, len(result)) == ("data:audio/flac", 16000, 4000)
    assert np.abs(result - sound).max() <= 1 / 32768
    loud, _ = soundfile.read(io.BytesIO(decoded(audio_uri(4 * sound, 16000, AUDIO_FORMATS["flac"]))[1]))
    assert np.abs(loud - np.clip(4 * sound, -1, 1)).max() <= 1 / 32768 + 1e-6  # clipped, not wrapped round


@pytest.mark.parametrize("name", ["mp3", "ogg"])
def test_the_small_formats_hold_the_sound(name: str) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
    _, content = decoded(audio_uri(tone, 16000, AUDIO_FORMATS[name]))
    result, rate = soundfile.read(io.BytesIO(content))
    assert rate == 16000 and len(content) < 32000
    spectrum = np.abs(np.fft.rfft(result[4000:28000]))
    assert spectrum.argmax() * 16000 / 24000 == pytest.approx(440, abs=1)
