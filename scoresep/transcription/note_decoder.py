"""Note decoding: probabilities of keys and onsets to notes.

Two thresholds of the frame probability make a hysteresis. A note begins where the onset probability peaks and the key
sounds, or without such a peak where the key is very probable (the attack threshold); it goes on while the key sounds
(the lower threshold, which is the one tuned on frames). A peak while it sounds ends the note and begins the next one,
so repeated notes stay apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scoresep.compiled import compiled
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid

VELOCITY = 80
"""Velocity of a note whose loudness is not known."""
LOUDEST_DB = 4.0
"""Level of a key relative to the recording's that becomes velocity 127. A pure tone alone is at 3 dB."""
SHORTEST_SECONDS = 0.06
"""Of the notes that are kept: two frames of 32 ms."""
GAP_SECONDS = 0.07
"""Seconds (two frames of 32 ms) for which a key may fall silent within a note, unless an onset follows."""
ATTACK_ODDS = 4.0
"""Times the odds of the threshold that a key must have to begin a note without an onset peak (tuned on validation
tracks, docs/research/use.md: 0.34 becomes 0.67, 0.5 becomes 0.8)."""
SETTLING_SECONDS = 0.05
"""Seconds after a note's beginning in which an onset peak moves that beginning instead of starting another note."""

Note = tuple[float, float, float, float]
"""Onset s, offset s, pitch (MIDI number), velocity."""


def decode_notes(
    frame_prob: np.ndarray, onset_prob: np.ndarray, threshold: float, onset_threshold: float, grid: Grid
) -> np.ndarray:
    """Notes of one instrument, all of `VELOCITY`.

    Args:
        frame_prob: probability that a key sounds, float (T, P).
        onset_prob: probability that a note begins, float (T, P).
        threshold, onset_threshold: probability from which a key goes on sounding, a peak is an onset.

    Returns:
        float64 (K, 4) ordered by onset, then pitch: onset s, offset s, pitch, velocity. Times are frame centres; the
        offset is the frame after the last that sounds, as `score.piano_roll.frame_spans` has it.
    """
    decoder = NoteDecoder(threshold, onset_threshold, grid)
    return sort_notes(decoder.push(frame_prob, onset_prob) + decoder.finish())


def attack_threshold(threshold: float) -> float:
    """The upper threshold that goes with a tuned one: `ATTACK_ODDS` times its odds, p / (1 - p)."""
    return ATTACK_ODDS * threshold / (1.0 + (ATTACK_ODDS - 1.0) * threshold)


def sort_notes(notes: list[Note]) -> np.ndarray:
    """Notes as float64 (K, 4), ordered by onset, then pitch."""
    table = np.array(notes, dtype=np.float64).reshape(-1, 4)
    return table[np.lexsort((table[:, 2], table[:, 0]))]


class KeyState(NamedTuple):
    """State of every key, carried from block to block, (P,) each.

    Attributes:
        start: frame in which the open note began, int64; -1 if the key is silent.
        last: latest frame in which it sounded, int64.
        struck: whether an onset began the note, bool.
        loudest: greatest strength so far, float32.
    """

    start: np.ndarray
    last: np.ndarray
    struck: np.ndarray
    loudest: np.ndarray


class Evidence(NamedTuple):
    """What the frames of a block say of every key, (t, P) each.

    Attributes:
        sounding: keeps a note going, bool.
        attacked: begins a note, bool.
        strike: begins a note even while one sounds, bool.
        strength: for the velocity, float32.
    """

    sounding: np.ndarray
    attacked: np.ndarray
    strike: np.ndarray
    strength: np.ndarray


class NoteDecoder:
    """`decode_notes` for probabilities that come in blocks of frames; the result does not depend on the blocks."""

    def __init__(self, threshold: float, onset_threshold: float, grid: Grid) -> None:
        self._threshold, self._onset_threshold, self._grid = threshold, onset_threshold, grid
        self._attack = attack_threshold(threshold)
        self._fewest = max(int(np.ceil(SHORTEST_SECONDS * grid.frame_rate - 1e-6)), 1)
        self._bridged = int(GAP_SECONDS * grid.frame_rate)
        self._settling = int(np.ceil(SETTLING_SECONDS * grid.frame_rate))
        empty = np.zeros((1, PITCHES), dtype=np.float32)
        self._held = (empty[:0], empty, empty[:0])  # frames not decided yet; onsets with the frame before them
        self._decided = 0
        self._state = KeyState(
            np.full(PITCHES, -1, dtype=np.int64),
            np.full(PITCHES, -1, dtype=np.int64),
            np.zeros(PITCHES, dtype=np.bool_),
            np.zeros(PITCHES, dtype=np.float32),
        )

    def push(self, frame_prob: np.ndarray, onset_prob: np.ndarray, strength: np.ndarray | None = None) -> list[Note]:
        """Take the next frames, (t, P) each; returns the notes that have ended.

        Args:
            strength: loudness of each key relative to the level, for velocities; None for `VELOCITY`.
        """
        if strength is None:
            strength = np.full(frame_prob.shape, np.nan, dtype=np.float32)
        new = (frame_prob, onset_prob, strength)
        frames, onsets, strengths = (
            np.concatenate([held, part.astype(np.float32)]) for held, part in zip(self._held, new, strict=True)
        )
        # The last frame waits: whether its onset is a peak, the next one tells.
        self._held = (frames[-1:], onsets[-2:], strengths[-1:])
        if len(frames) < 2:
            return []
        return self._decide(frames, onsets, strengths[:-1])

    def finish(self) -> list[Note]:
        """The notes that are still open at the end."""
        # One silent frame decides the frame that waits; the others outlast what would be bridged.
        quiet = np.zeros((self._bridged + 3, PITCHES), dtype=np.float32)
        return self.push(quiet, quiet)

    def _decide(self, frames: np.ndarray, onsets: np.ndarray, strength: np.ndarray) -> list[Note]:
        """Decide t frames: `frames` (t + 1, P) looks one frame ahead, `onsets` (t + 2, P) one back and one ahead."""
        sounding = frames >= self._threshold
        here = onsets[1:-1]
        peak = (here >= self._onset_threshold) & (here > onsets[:-2]) & (here >= onsets[2:])
        strike = peak & (sounding[:-1] | sounding[1:])
        attacked = (frames[:-1] >= self._attack) | strike
        evidence = Evidence(sounding[:-1] | strike, attacked, strike, strength)
        rows = _run(evidence, self._state, self._decided, self._bridged, self._settling)
        self._decided += len(here)
        return [
            (self._grid.seconds(start), self._grid.seconds(end), pitch + LOWEST_PITCH, _velocity(loudest))
            for start, end, pitch, loudest in rows
            if end - start >= self._fewest
        ]


def _velocity(strength: float) -> int:
    """General MIDI's curve, level = 40 log10(velocity / 127) dB, backwards."""
    if np.isnan(strength):
        return VELOCITY
    decibels = 20 * np.log10(max(strength, 1e-9)) - LOUDEST_DB
    return int(np.clip(127 * 10 ** (decibels / 40), 1, 127))


@compiled()
def _run(
    evidence: Evidence, state: KeyState, first: int, bridged: int, settling: int
) -> list[tuple[int, int, int, float]]:
    """The state machine of each key over t frames from frame `first` on; `state` is updated.

    Returns (first frame, frame after the last, key, greatest strength) of the notes that ended.
    """
    sounding, attacked, strike, strength = evidence
    start, last, struck, loudest = state
    ended = [(0, 0, 0, 0.0) for _ in range(0)]
    for p in range(sounding.shape[1]):
        for t in range(sounding.shape[0]):
            now = first + t
            begins = strike[t, p]
            if start[p] >= 0 and begins and now - start[p] < settling:
                # Too soon for another note. The peak says better than the threshold where this one began.
                if not struck[p]:
                    start[p], struck[p] = now, True
                begins = False
            if start[p] >= 0 and (begins or (not sounding[t, p] and now - last[p] > bridged)):
                ended.append((start[p], last[p] + 1, p, float(loudest[p])))
                start[p] = -1
            if start[p] < 0 and attacked[t, p]:
                start[p], struck[p], loudest[p] = now, begins, strength[t, p]
            if start[p] >= 0 and sounding[t, p]:
                last[p] = now
                loudest[p] = max(loudest[p], strength[t, p])
    return ended
