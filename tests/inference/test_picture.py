from pathlib import Path

import numpy as np
import pytest

from scoresep.errors import ScoresepError
from scoresep.grid import Grid
from scoresep.inference.picture import LOWEST_HZ, RANGE_DB, ROWS, draw_picture, log_spectrogram

GRID = Grid()


def tone(hertz: float, seconds: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * 16000)) / 16000).astype(np.float32)


def test_spectrogram_peaks_at_the_tone() -> None:
    decibels = log_spectrogram(tone(440), GRID)
    assert decibels.shape == (GRID.frames(32000), ROWS)
    frequencies = np.geomspace(LOWEST_HZ, 8000, ROWS)
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


def test_unknown_format(tmp_path: Path) -> None:
    stems = {"piano": tone(440, 0.2), "bass": tone(55, 0.2)}
    none = {name: np.zeros((0, 4)) for name in stems}
    with pytest.raises(ScoresepError, match=r"picture\.xyz cannot be drawn"):
        draw_picture(tmp_path / "picture.xyz", stems["piano"], stems, GRID, none)
    assert not list(tmp_path.iterdir())
