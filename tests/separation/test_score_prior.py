from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoresep.errors import Mismatch
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.score.parts import Part, part_from_notes
from scoresep.score.piano_roll import rasterise
from scoresep.separation.score_prior import ScorePrior, read_score_prior

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


@pytest.mark.parametrize("cuts", [[0, 1000], [0, 1, 50, 400, 700, 1000], list(range(0, 1001, 40))])
def test_rolls_in_pieces_are_those_of_the_whole(cuts: Sequence[int]) -> None:
    parts = score(30.0)
    prior = ScorePrior(parts, INSTRUMENTS, GRID)
    pieces = [prior.rolls(a, b) for a, b in pairwise(cuts)]
    roll, onset = (np.concatenate(result, axis=2) for result in zip(*pieces, strict=True))
    for n, part in enumerate(parts):
        expected = rasterise([part], GRID, 1000)
        assert expected[0].any() and expected[1].sum() > 50
        np.testing.assert_array_equal(roll[n].T, expected[0])
        np.testing.assert_array_equal(onset[n].T, expected[1])
    assert not roll[3].any()


def test_it_knows_what_it_does_not_hold() -> None:
    prior = ScorePrior(score(10.0)[:1], INSTRUMENTS, GRID)
    assert prior.has_part == (True, False, False, False)
    assert prior.missing == ("bass", "drums")  # of what has no score none was expected
    roll, _ = prior.rolls(0, 50)
    assert roll[0].any() and not roll[1:].any()


def test_a_score_of_other_instruments(tmp_path: Path, make: type, refused: Any) -> None:
    make.midi(tmp_path / "flute.mid", [(0.0, 1.0, 60)], program=73)
    with refused(Mismatch, tmp_path / "flute.mid"):
        read_score_prior(tmp_path / "flute.mid", choose(["piano", "bass"]), GRID)
    by_name = (replace(INSTRUMENTS[0], names=("par*",)), INSTRUMENTS[1])  # the track is called "part"
    assert any(read_score_prior(tmp_path / "flute.mid", by_name, GRID).has_part)
