from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scoresep.cache.schema import CacheSettings
from scoresep.cache.track import MASKS
from scoresep.errors import ScoresepError
from scoresep.features.score import Part, part_from_notes
from scoresep.grid import Grid
from scoresep.inference import guide as module
from scoresep.inference.guide import TRUST, UNLIKELY, ScoreGuide, read_guide
from scoresep.instruments import Instrument, choose

GRID = Grid()
INSTRUMENTS = choose(["piano", "bass", "drums", "other"])


def score(seconds: float) -> list[Part]:
    rng = np.random.default_rng(0)

    def notes(low: int, high: int) -> list[tuple[float, float, int, int]]:
        onsets = rng.uniform(0, seconds, 60)
        return [(t, t + rng.uniform(0.05, 4), int(rng.integers(low, high)), 90) for t in onsets.tolist()]

    piano = part_from_notes(notes(40, 90), program=0)
    bends = {"bend_time": np.sort(rng.uniform(0, seconds, 40)), "bend": rng.uniform(-1, 1, 40)}
    return [piano, part_from_notes(notes(28, 50), program=33, **bends), part_from_notes(notes(35, 50), is_drum=True)]


def whole(parts: Sequence[Part], frames: int, instruments: Sequence[Instrument] = INSTRUMENTS) -> np.ndarray:
    """The masks that a cache would hold, made in one piece."""
    settings = CacheSettings(GRID, tuple(instruments))
    groups = [[part] for part in parts] + [[]]
    masks = [MASKS[kind.kind](group, settings, frames) for kind, group in zip(instruments, groups, strict=True)]
    return np.unpackbits(np.stack(masks), axis=2, count=GRID.bins, bitorder="little").view(bool)


@pytest.mark.parametrize("segment", [40, 333, 2048])
def test_masks_in_segments_are_those_of_the_whole(segment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT", segment)
    parts = score(30.0)
    guide = ScoreGuide(parts, INSTRUMENTS, GRID)
    expected = whole(parts, 1000)
    assert 0.05 < expected[:3].mean() < 0.95 and expected[3].all()
    cuts = [0, 1, 50, 400, 700, 1000]
    found = np.concatenate([guide.covered(a, b) for a, b in pairwise(cuts)], axis=1)
    np.testing.assert_array_equal(found, expected)


def test_weights_are_the_formula() -> None:
    guide = ScoreGuide(score(10.0), INSTRUMENTS, GRID)
    masks = np.random.default_rng(1).random((4, GRID.bins, 20), dtype=np.float32)
    covered = guide.covered(7, 27).transpose(0, 2, 1)
    found = guide.weighed(masks, 7)
    np.testing.assert_allclose(found.sum(axis=0), masks.sum(axis=0), rtol=1e-5)
    for f, t in ((10, 0), (100, 5), (700, 19)):
        weight = [masks[n, f, t] ** TRUST * (1 if covered[n, f, t] else UNLIKELY) for n in range(4)]
        expected = np.array(weight) * masks[:, f, t].sum() / sum(weight)
        np.testing.assert_allclose(found[:, f, t], expected, rtol=1e-4)


def test_what_the_score_does_not_hold_may_sound_anywhere() -> None:
    guide = ScoreGuide(score(10.0)[:1], INSTRUMENTS, GRID)
    assert guide.silent == ("bass", "drums")
    assert guide.covered(0, 50)[1:].all() and not guide.covered(0, 50)[0].all()


def test_a_score_of_other_instruments(tmp_path: Path, make: type) -> None:
    make.midi(tmp_path / "flute.mid", [(0.0, 1.0, 60)], program=73)
    with pytest.raises(ScoresepError, match=r"flute\.mid has no part of piano, bass"):
        read_guide(tmp_path / "flute.mid", choose(["piano", "bass"]), GRID)
    by_name = (replace(INSTRUMENTS[0], names=("par*",)), INSTRUMENTS[1])  # the track is called "part"
    assert not read_guide(tmp_path / "flute.mid", by_name, GRID).empty
