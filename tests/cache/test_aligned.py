"""What is kept of a recording whose score is trusted in part."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from scoresep.alignment.confidence import Bar
from scoresep.cache.aligned import joined, trusted_spans
from scoresep.grid import Grid
from scoresep.score.parts import part_from_notes

GRID = Grid()


def test_stretches_of_trusted_bars_are_kept() -> None:
    sure = [True, True, False, True, False, True, True, True]
    bars = tuple(Bar(n + 1, 2.0 * n, 2.0 * n + 2.0, 4, 0.9 if good else 0.1) for n, good in enumerate(sure))
    spans = trusted_spans(SimpleNamespace(bars=bars), 15 * GRID.sample_rate, GRID)
    assert all(first % GRID.hop == 0 for first, _ in spans)
    seconds = np.array(spans) / GRID.sample_rate
    assert np.abs(seconds - [[0.0, 4.0], [10.0, 15.0]]).max() < 2 * GRID.hop / GRID.sample_rate


def test_notes_follow_what_is_cut_out() -> None:
    part = part_from_notes(
        [(0.5, 1.0, 60, 90), (1.5, 4.5, 62, 80), (2.5, 3.0, 64, 70), (5.0, 6.0, 65, 60)],
        bend_time=np.array([0.2, 5.5]),
        bend=np.array([1.0, 0.0]),
    )
    found = joined(part, [(0, 2 * 16000), (4 * 16000, 6 * 16000)], 16000)
    rows = sorted(zip(found.onset, found.offset, found.pitch, found.velocity, strict=True))
    assert rows == [(0.5, 1.0, 60, 90), (1.5, 2.0, 62, 80), (2.0, 2.5, 62, 80), (3.0, 4.0, 65, 60)]
    assert list(found.bend_at([0.1, 0.5, 2.0, 3.4, 3.6])) == [0.0, 1.0, 1.0, 1.0, 0.0]
