"""The score as a help at separation time: its masks weigh the separator's. Called by `separate` where a score is given.

The separator's masks M_i are kept as far as they tell instruments apart, but flattened, and every bin that the score's
mask of instrument i leaves out counts little for it:

    W_i = M_i^TRUST (1 if the score lets i sound in the bin, else UNLIKELY),  M'_i = W_i (sum_j M_j) / (sum_j W_j)

so the sum over the instruments stays what it was in every bin, and where no score covers a bin the separator decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from scoresep.cache.schema import CacheSettings
from scoresep.cache.track import MASKS
from scoresep.errors import ScoresepError
from scoresep.features.score import Part, read_midi
from scoresep.grid import Grid
from scoresep.instruments import Instrument, group_of

TRUST = 0.35
"""Power of the separator's masks, which on new music are too sure of themselves (chosen on validation tracks)."""
UNLIKELY = 0.01
"""Weight of a bin that the score leaves out: not zero, since scores and tunings are not exact."""
SEGMENT = 2048
"""Frames whose masks are made at a time, whatever the blocks are: memory does not grow with the recording."""
REACH = 4.0
"""Seconds before a segment in which notes are looked for that still ring in it (longer than any mask's release)."""


class ScoreGuide:
    """The masks of a score that is aligned with a recording, made as they are asked for.

    Attributes:
        silent: names of scored instruments for which the score has no part; they may sound anywhere, because a score
            tells nothing about parts that it does not hold.
    """

    def __init__(self, parts: Sequence[Part], instruments: Sequence[Instrument], grid: Grid) -> None:
        self._grid = grid
        self._settings = CacheSettings(grid, tuple(instruments))
        self._parts: list[list[Part]] = [[] for _ in instruments]
        for part in parts:
            group = group_of(part.program, part.is_drum, instruments, part.name)
            if group is not None and instruments[group].scored:
                self._parts[group].append(part)
        self._held: tuple[int, np.ndarray] | None = None
        scored = zip(instruments, self._parts, strict=True)
        self.silent = tuple(instrument.name for instrument, own in scored if instrument.scored and not own)

    @property
    def empty(self) -> bool:
        """Whether it has no part of any instrument."""
        return not any(self._parts)

    def covered(self, start: int, stop: int) -> np.ndarray:
        """Bins in which each instrument may sound in frames start to stop: bool (N, stop - start, F)."""
        pieces = []
        while start < stop:
            segment, first = divmod(start, SEGMENT)
            last = min(first + stop - start, SEGMENT)
            pieces.append(self._segment(segment)[:, first:last])
            start += last - first
        packed = np.concatenate(pieces, axis=1)
        return np.unpackbits(packed, axis=2, count=self._grid.bins, bitorder="little").view(bool)

    def weighed(self, masks: np.ndarray, start: int) -> np.ndarray:
        """The separator's masks with the score's knowledge: float32 (N, F, t) of frames from `start` on -> the same."""
        covered = self.covered(start, start + masks.shape[2]).transpose(0, 2, 1)
        weight = np.maximum(masks, np.float32(1e-6)) ** np.float32(TRUST)
        weight *= np.where(covered, np.float32(1.0), np.float32(UNLIKELY))
        return weight * (masks.sum(axis=0) / weight.sum(axis=0))

    def _segment(self, number: int) -> np.ndarray:
        """Packed masks of a segment, uint8 (N, SEGMENT, bytes); the latest is kept."""
        if self._held is None or self._held[0] != number:
            before = min(number * SEGMENT, int(np.ceil(REACH * self._grid.frame_rate)))
            begin = number * SEGMENT - before
            made = [
                self._mask(kind, own, begin, before + SEGMENT)[before:]
                for kind, own in zip(self._kinds(), self._parts, strict=True)
            ]
            self._held = number, np.stack(made)
        return self._held[1]

    def _kinds(self) -> list[str]:
        """The kind of mask of each instrument: that of what has no score, for what this score does not hold."""
        own = zip(self._settings.instruments, self._parts, strict=True)
        return [instrument.kind if parts else "other" for instrument, parts in own]

    def _mask(self, kind: str, parts: Sequence[Part], begin: int, frames: int) -> np.ndarray:
        """Packed mask of `frames` frames from frame `begin` on, uint8 (frames, bytes)."""
        start, stop = self._grid.seconds(begin), self._grid.seconds(begin + frames)
        return MASKS[kind]([_cut(part, start, stop) for part in parts], self._settings, frames)


def read_guide(path: str | Path, instruments: Sequence[Instrument], grid: Grid) -> ScoreGuide:
    """The guide of a MIDI file; its parts belong to instruments by track name or program, as in `prepare pairs`.

    Raises:
        ScoresepError: it is missing or not MIDI, or has no part of any of the instruments.
    """
    guide = ScoreGuide(read_midi(path), instruments, grid)
    if guide.empty:
        names = ", ".join(instrument.name for instrument in instruments if instrument.scored)
        raise ScoresepError(f"{path} has no part of {names}; give a score whose programs or track names say so")
    return guide


def _cut(part: Part, start: float, stop: float) -> Part:
    """The notes of a part that sound between `start` and `stop` (seconds), moved so that `start` is 0."""
    kept = (part.onset < stop + 1.0) & (part.offset > start - 1.0)
    return replace(
        part,
        onset=part.onset[kept] - start,
        offset=part.offset[kept] - start,
        pitch=part.pitch[kept],
        velocity=part.velocity[kept],
        bend_time=part.bend_time - start,
    )
