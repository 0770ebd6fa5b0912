"""Dynamic programming: where a score is in a recording, with jumps, and the path in a band around the diagonal.

`follow` is a Viterbi search over places in the score: it may jump (repeats, cuts: Fremerey, Mueller, Clausen, Handling
repeats and jumps in score-performance synchronization, ISMIR 2010), and it may leave the score for what nobody wrote.
`banded_path` is DTW in a band (Sakoe, Chiba 1978). Coarse first and then fine is multi-scale DTW (Mueller, Mattes,
Kurth, An efficient multiscale approach to audio synchronization, ISMIR 2006; Praetzlich, Driedger, Mueller,
Memory-restricted multiscale dynamic time warping, ICASSP 2016): memory grows with length, not with its square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoresep.compiled import compiled

OUTSIDE = -1
"""The place in the score of frames that are not in it."""


@dataclass(frozen=True)
class Moves:
    """What moves of `follow` cost, in units of a frame's cost (0: equal, 1: unrelated).

    Attributes:
        stay, skip: to stay in a frame of the score, or to leave one out.
        jump: to go anywhere; half of it, to leave the score or to come to it, and to begin or to end elsewhere than the
            score does, by more frames than this.
        outside: of a frame that is not in the score.
    """

    stay: float = 0.3
    skip: float = 0.3
    jump: float = 4.0
    outside: float = 0.85


def follow(cost: np.ndarray, moves: Moves, outside: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """The place in the score of each frame of a recording, int64 (N,) or OUTSIDE, and the mean cost of a frame.

    Args:
        cost: float32 (N, M), of frames of the recording and the score.
        outside: float32 (N,), what each frame costs that is not in the score; by default the same.
    """
    if outside is None:
        outside = np.full(len(cost), moves.outside, np.float32)
    place, total = _follow(cost, moves.stay, moves.skip, moves.jump, outside)
    return place, float(total) / max(len(cost), 1)


@compiled()
def _follow(cost, stay, skip, jump, outside):  # type: ignore[no-untyped-def]
    count, size = cost.shape
    before, now = np.empty(size, np.float32), np.empty(size, np.float32)
    move = np.zeros((count, size), np.uint8)
    jumped_from = np.zeros(count, np.int64)
    left = np.zeros(count, np.uint8)
    half = np.float32(jump / 2)
    edge = min(int(jump), size)
    before[:] = cost[0]
    before[edge:] += half
    away = outside[0]
    for n in range(1, count):
        source = np.argmin(before)
        best = before[source]
        jumped_from[n] = source
        for m in range(size):
            value, code = best + np.float32(jump), 4
            if away + half < value:
                value, code = away + half, 5
            if m > 2 and before[m - 3] + np.float32(4 * skip) < value:
                value, code = before[m - 3] + np.float32(4 * skip), 3
            if before[m] + np.float32(stay) < value:
                value, code = before[m] + np.float32(stay), 0
            if m > 1 and before[m - 2] + np.float32(skip) < value:
                value, code = before[m - 2] + np.float32(skip), 2
            if m > 0 and before[m - 1] <= value:
                value, code = before[m - 1], 1
            now[m] = value + cost[n, m]
            move[n, m] = code
        if best + half < away:
            away, left[n] = best + half, 1
        away += outside[n]
        before, now = now, before
    before[: size - edge] += half
    place = np.empty(count, np.int64)
    m = int(np.argmin(before))
    total = before[m]
    if away < total:
        m, total = -1, away
    for n in range(count - 1, -1, -1):
        place[n] = m
        if n == 0:
            break
        if m < 0:
            m = jumped_from[n] if left[n] else -1
        elif move[n, m] == 4:
            m = jumped_from[n]
        elif move[n, m] == 5:
            m = -1
        else:
            m -= move[n, m]
    return place, total


def banded_path(
    audio: np.ndarray, score: np.ndarray, audio_cost: np.ndarray, score_cost: np.ndarray, reach: int, bend: float
) -> np.ndarray:
    """For each frame of the score its place in the recording, float64 (T,), frames.

    The cost of a pair is audio_cost[n] + score_cost[m] - audio[n] . score[m]. Steps are (1, 1), weight 2, and (1, 0),
    (0, 1), weight 1 and `bend` besides, from the first pair of frames to the last.

    Args:
        audio, score: float32 (T, D), on one time axis, as far as is known.
        audio_cost, score_cost: float32 (T,).
        reach: frames of half the band.
    """
    n, m = _banded(audio, score, audio_cost, score_cost, reach, np.float32(bend))
    place: np.ndarray = np.interp(np.arange(len(score)), *mean_by(m, n))
    return place


def mean_by(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different ones of some keys (K,), ascending, and the mean of the values (K,) of each, float64."""
    met, which = np.unique(keys, return_inverse=True)
    return met, np.bincount(which, values) / np.bincount(which)


@compiled(fastmath=True)
def _banded(audio, score, audio_cost, score_cost, reach, bend):  # type: ignore[no-untyped-def]
    frames, size = len(audio), 2 * reach + 1
    infinite = np.float32(1e30)
    before, now = np.full(size + 2, infinite, np.float32), np.full(size + 2, infinite, np.float32)
    move = np.zeros((frames, size), np.uint8)
    for n in range(frames):
        for j in range(size):  # m = n + j - reach; (n-1, m) is j + 1 before, (n-1, m-1) is j before
            m = n + j - reach
            if m < 0 or m >= frames:
                now[j + 1] = infinite
                continue
            dot = np.float32(0)
            for d in range(audio.shape[1]):
                dot += audio[n, d] * score[m, d]
            cost = max(audio_cost[n] + score_cost[m] - dot, np.float32(0))
            value, code = infinite, 3
            if n == 0 and m == 0:
                value = 2 * cost
            diagonal = before[j + 1] + 2 * cost
            if n > 0 and diagonal < value:
                value, code = diagonal, 0
            up = before[j + 2] + cost + bend
            if n > 0 and up < value:
                value, code = up, 1
            right = now[j] + cost + bend
            if right < value:
                value, code = right, 2
            now[j + 1] = value
            move[n, j] = code
        before, now = now, before
        now[:] = infinite
    row, column = np.empty(2 * frames + size, np.int64), np.empty(2 * frames + size, np.int64)
    n, j, count = frames - 1, reach, 0
    while True:
        row[count], column[count] = n, n + j - reach
        count += 1
        code = move[n, j]
        if code == 3:
            break
        if code == 0:
            n -= 1
        elif code == 1:
            n, j = n - 1, j + 1
        else:
            j -= 1
    return row[:count][::-1].copy(), column[:count][::-1].copy()
