from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread as read_png

from scoresep.errors import InvalidValue
from scoresep.grid import Grid
from scoresep.plots.result import (
    LOG_ROWS,
    LOWEST_HZ,
    MOST_LINES,
    RANGE_DB,
    draw_picture,
    draw_roll,
    log_spectrogram,
)
from scoresep.plots.style import COLOURS

GRID = Grid()


def tone(hertz: float, seconds: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * 16000)) / 16000).astype(np.float32)


def test_spectrogram_peaks_at_the_tone() -> None:
    decibels = log_spectrogram(tone(440), GRID)
    assert decibels.shape == (GRID.frames(32000), LOG_ROWS)
    frequencies = np.geomspace(LOWEST_HZ, 8000, LOG_ROWS)
    assert frequencies[decibels[20].argmax()] == pytest.approx(440, rel=0.03)
    assert decibels[20].max() == pytest.approx(0, abs=2.5)  # between two bins
    assert decibels[20].min() < -RANGE_DB


@pytest.mark.parametrize("truth", [True, False])
def test_picture_is_drawn(tmp_path: Path, truth: bool) -> None:
    stems = {"piano": tone(440), "bass": tone(55)}
    notes = {"piano": np.array([[0.0, 2.0, 69, 80]]), "bass": np.zeros((0, 4))}
    path = tmp_path / "picture.png"
    draw_picture(path, stems["piano"] + stems["bass"], stems, GRID, notes, notes if truth else None, "two tones")
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 20_000


def test_unknown_format(tmp_path: Path, refused: Any) -> None:
    stems = {"piano": tone(440, 0.2), "bass": tone(55, 0.2)}
    none = {name: np.zeros((0, 4)) for name in stems}
    with refused(InvalidValue, tmp_path / "picture.xyz"):
        draw_picture(tmp_path / "picture.xyz", stems["piano"], stems, GRID, none)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("seconds", "lines"), [(0.4, 1), (30.0, 1), (31.0, 2), (3600.0, MOST_LINES)])
def test_a_roll_is_drawn_line_by_line(tmp_path: Path, seconds: float, lines: int) -> None:
    onsets = np.arange(0, seconds, max(seconds / 50, 0.2))
    notes = {
        "piano": np.stack([onsets, onsets + 0.2, 60 + onsets % 12, 0 * onsets + 80], axis=1),
        "bass": np.zeros((0, 4)),
    }
    draw_roll(tmp_path / "roll.png", notes, seconds, "a $1 song_with$ dollars")
    height, width, _ = read_png(tmp_path / "roll.png").shape
    assert width / height == pytest.approx(16 / (2.6 * lines + 1), rel=0.01)


def test_a_roll_shows_each_note_in_its_instruments_colour(tmp_path: Path) -> None:
    def pixels(notes: dict[str, np.ndarray]) -> np.ndarray:
        draw_roll(tmp_path / "roll.png", notes, 10.0)
        return read_png(tmp_path / "roll.png")[..., :3]

    def near(picture: np.ndarray, colour: str) -> int:
        return int((np.abs(picture - np.array(to_rgb(colour))).max(axis=2) < 0.02).sum())

    none, note = np.zeros((0, 4)), np.array([[1.0, 9.0, 60, 80]])
    empty, full = pixels({"piano": none, "bass": none}), pixels({"piano": none, "bass": note})
    assert near(full, COLOURS[1]) > near(empty, COLOURS[1]) + 1000
    assert near(full, COLOURS[0]) == near(empty, COLOURS[0])
