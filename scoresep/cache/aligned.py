"""A recording whose score was aligned with it: what of the two is trusted, end to end.

Stretches that the score does not cover, or whose bars are not trusted, are cut out of recording and score alike: no
frame is trained on with notes that may be wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scoresep.alignment.align import Alignment, summary
from scoresep.alignment.confidence import spans_of
from scoresep.alignment.files import align_files
from scoresep.audio.loading import read_audio
from scoresep.cache.schema import StemFinding, Unused
from scoresep.datasets.base import Track
from scoresep.errors import Mismatch
from scoresep.grid import Grid
from scoresep.score.parts import Part

SHORTEST_KEPT = 3.0
"""Seconds of a stretch that is kept."""
LEAST_KEPT = 0.25
"""Share of a recording that must be kept."""
NOT_TRUSTED = "seconds of recordings outside of their scores, or where these are not trusted"
KIND = "alignment"

Span = tuple[int, int]
"""Samples from and to, whole numbers of hops."""


@dataclass(frozen=True)
class AlignedRecording:
    """What is kept of a recording.

    Attributes:
        mixture: float32 (L,) at the grid's rate.
        parts: in its seconds.
        finding: what was found, for the report.
        unused: what was cut out.
    """

    mixture: np.ndarray
    parts: list[Part]
    finding: StemFinding
    unused: tuple[Unused, ...]


def read_aligned(track: Track, grid: Grid) -> AlignedRecording:
    """Align a track's score with its recording and keep what is trusted.

    Raises:
        ScoresepError: as `align_files`.
        Mismatch: too little is trusted.
    """
    assert track.mixture and track.score
    alignment = align_files(track.mixture, track.score)
    mixture, _ = read_audio(track.mixture, grid.sample_rate)
    spans = trusted_spans(alignment, len(mixture), grid)
    kept = sum(last - first for first, last in spans)
    if kept < LEAST_KEPT * len(mixture):
        problem = (
            f"only {kept / len(mixture):.0%} of its recording can be aligned with confidence ({summary(alignment)})"
        )
        raise Mismatch(problem, file=track.score, remedy="look at it with scoresep align --plot")
    rate = grid.sample_rate
    left = round((len(mixture) - kept) / rate)
    return AlignedRecording(
        np.concatenate([mixture[first:last] for first, last in spans]),
        [joined(part, spans, rate) for part in alignment.parts if len(part)],
        StemFinding(track.id, "", KIND, f"aligned: {summary(alignment)}; {kept / rate:.0f} s kept"),
        (Unused(track.id, "", left, NOT_TRUSTED),) * bool(left),
    )


def trusted_spans(alignment: Alignment, samples: int, grid: Grid) -> list[Span]:
    """Stretches of trusted bars, of some length each, within a recording of so many samples."""
    hops = [
        (
            -(-round(begin * grid.sample_rate) // grid.hop) * grid.hop,
            round(end * grid.sample_rate) // grid.hop * grid.hop,
        )
        for begin, end in spans_of(bar for bar in alignment.bars if bar.trusted)
        if end - begin >= SHORTEST_KEPT
    ]
    return [(first, min(last, samples)) for first, last in hops if first < min(last, samples)]


def joined(part: Part, spans: Sequence[Span], rate: int) -> Part:
    """A part as it is in stretches of samples that are joined: notes that reach over a cut are cut, too."""
    pieces: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    now = 0.0
    for begin, end in ((first / rate, last / rate) for first, last in spans):
        inside = (part.offset > begin + 0.02) & (part.onset < end - 0.02)
        pieces["onset"].append(np.maximum(part.onset[inside], begin) - begin + now)
        pieces["offset"].append(np.minimum(part.offset[inside], end) - begin + now)
        pieces["pitch"].append(part.pitch[inside])
        pieces["velocity"].append(part.velocity[inside])
        bend_time, bend = part.bends_in(begin, end)
        pieces["bend_time"].append(bend_time - begin + now)
        pieces["bend"].append(bend)
        now += end - begin
    arrays: dict[str, Any] = {name: np.concatenate(found) for name, found in pieces.items()}
    return replace(part, **arrays)
