"""What bands play from, apart for training and test."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from scoresep.rendering.bands.charts import Chart, read_charts
from scoresep.rendering.bands.grooves import Groove, read_grooves
from scoresep.rendering.song import digest

HELD_OUT = 8
"""One chart of so many, and one drummer, are kept for test songs."""


@lru_cache(maxsize=4)
def band_material(
    charts: Path | None, grooves: Path | None, test: bool
) -> tuple[tuple[Chart, ...], tuple[Groove, ...]]:
    """The charts and takes of the folders that songs of a split may use: no song and no drummer is in two splits.

    Raises:
        NotFound, Damaged: see `read_charts` and `read_grooves`.
    """
    tested = _tested(grooves)
    return (
        tuple(c for c in (_charts(charts) if charts else ()) if _held_out(f"{c.title} {c.artist}") == test),
        tuple(g for g in (_grooves(grooves) if grooves else ()) if (g.drummer == tested) == test),
    )


def _held_out(name: str) -> bool:
    return int(digest(name.casefold().encode())[:2], 16) % HELD_OUT == 0


def _tested(folder: Path | None) -> str:
    """The drummer of test songs: of two or more the one with the fewest bars that still fill some songs."""
    bars: dict[str, int] = {}
    for groove in _grooves(folder) if folder else ():
        bars[groove.drummer] = bars.get(groove.drummer, 0) + len(groove.bars)
    rows = sorted((count, name) for name, count in bars.items())
    return rows[len(rows) // 3][1] if len(rows) > 1 else ""


_charts = lru_cache(maxsize=2)(read_charts)
_grooves = lru_cache(maxsize=2)(read_grooves)
