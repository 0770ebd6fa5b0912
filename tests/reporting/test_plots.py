from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from scoresep.grid import Grid
from scoresep.plots.style import LOWEST_HZ
from scoresep.reporting.curves import Curve
from scoresep.reporting.plots import (
    UNITS,
    bars,
    curve_plot,
    key_range,
    mask,
    roll,
    round_places,
    spectrogram,
    step_text,
    value_axis,
)

GRID = Grid()


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("L")).astype(int)


def test_a_tone_is_where_the_axis_says() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(32000) / 16000).astype(np.float32)
    plot = spectrogram("estimate", "a tone", tone, 0.0, 4.0, GRID)
    image = pixels(plot.image)
    height = 1 - image[:, 30].argmax() / len(image)
    (tick,) = [tick for tick in plot.y if tick.label == "0.5"]
    assert height == pytest.approx(tick.at, abs=0.01)
    assert [tick.label for tick in plot.x][:2] == ["4", "4.5"] and plot.x[0].at == 0.0
    assert "4.0 to 6.0 s" in plot.alt and f"{LOWEST_HZ:.0f} to 8000 Hz" in plot.alt


def test_a_mask_shows_its_bins() -> None:
    values = np.zeros((20, GRID.bins), dtype=bool)
    values[10:, 128] = True  # 1 kHz, second half
    plot = mask("mask", "The mask", values, 19 * GRID.hop, 0.0, GRID)
    image = pixels(plot.image)
    (tick,) = [tick for tick in plot.y if tick.label == "1"]
    lit = np.argwhere(image > image.min())
    assert lit[:, 1].min() == 10
    assert 1 - lit[:, 0].mean() / len(image) == pytest.approx(tick.at, abs=0.02)


def boxes(path: str) -> list[tuple[float, ...]]:
    return [tuple(map(float, found)) for found in re.findall(r"M(\S+) (\S+)h(\S+)v(\S+)h-\S+z", path)]


def test_bars_are_where_the_notes_are() -> None:
    notes = np.array([[1.0, 2.0, 60, 80], [2.0, 3.0, 69, 80]])
    first, second = boxes(bars(notes, 60, 10, (1.0, 3.0)))
    assert first[0] == 0 and first[2] == UNITS / 2 and second[0] == UNITS / 2
    assert first[1] > 0.9 * UNITS and first[1] + first[3] < UNITS  # lowest tenth; y runs downwards
    assert second[1] > 0 and second[1] + second[3] < 0.1 * UNITS


def test_a_roll_counts_its_notes_and_names_octaves() -> None:
    notes = np.array([[1.0, 2.0, 60, 80]])
    keys = key_range([notes, notes + np.array([0, 0, 12, 0])])
    assert keys[0] < 60 and keys[1] > 72 and keys[1] - keys[0] >= 24
    plot = roll("notes", "piano", notes, notes, keys, (0.0, 4.0), "#0072B2", True)
    assert "1 notes" in plot.alt and {"C4", "C5"} <= {tick.label for tick in plot.y}
    assert [mark.style for mark in plot.marks] == ["grid", "pale", "bar"]
    (place,) = [tick.at for tick in plot.y if tick.label == "C4"]
    (box,) = boxes(plot.marks[2].path)
    assert 1 - (box[1] + box[3] / 2) / UNITS == pytest.approx(place, abs=1e-3)
    assert key_range([]) == (21, 108)


def test_a_curve_ends_where_its_values_are() -> None:
    curve = Curve("a/b", np.array([[0.0, 1.0], [100.0, 0.5]]), np.array([[100.0, 0.75]]))
    plot = curve_plot("a: b", curve, 100)
    marks = {mark.style: mark.path for mark in plot.marks}
    scale = value_axis(np.array([1.0, 0.5, 0.75]))
    begin, end = (tuple(map(float, point.split())) for point in marks["train"].lstrip("M").split("L"))
    assert begin[0] == 0 and end[0] == UNITS
    assert 1 - end[1] / UNITS == pytest.approx(scale.place(np.array(0.5)), abs=1e-3)
    assert marks["dots"].endswith("h0") and len(marks["dots"].split("M")) == 2
    assert "Training: from 1 to 0.5" in plot.alt and "Validation: from 0.75 to 0.75" in plot.alt


@pytest.mark.parametrize("values", [[1.0, 0.001], [3.0, 3.0], [0.0, 0.0], [-1.0, 5.0], [1e-9, 1e9], [0.2, 0.21]])
def test_axes_hold_their_values_and_have_ticks(values: list[float]) -> None:
    scale = value_axis(np.array(values))
    places = scale.place(np.array(values))
    assert ((places >= 0) & (places <= 1)).all() and 1 <= len(scale.ticks) <= 8
    assert all(-1e-9 <= tick.at <= 1 + 1e-9 for tick in scale.ticks)
    assert scale.logarithmic == (min(values) > 0 and max(values) / min(values) >= 6)
    for tick in scale.ticks:
        assert scale.place(np.array(float(tick.label))) == pytest.approx(tick.at, abs=0.02)


def test_round_places() -> None:
    assert round_places(0, 12, 6) == [0, 2, 4, 6, 8, 10, 12]
    assert round_places(3.3, 4.1, 4) == [3.4, 3.6, 3.8, 4.0]
    assert round_places(5, 5, 4) == [5]
    assert (step_text(2000), step_text(20000)) == ("2000", "20k")
