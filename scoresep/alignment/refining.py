"""From a rough placement to when notes are heard: DTW in a band, then events moved to rises of energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from scoresep.alignment.features import (
    FLUX_RATE,
    FRAME_RATE,
    AudioFeatures,
    NoteTable,
    at_frame_rate,
    directions,
    onset_rows,
    onset_shapes,
    score_flux,
    score_pitch,
)
from scoresep.alignment.path import banded_path
from scoresep.compiled import compiled
from scoresep.score.parts import first_strikes

PASSES = ((2.5, 0.25), (1.0, 0.12), (0.6, 0.06))
"""Seconds by which notes may be off before each pass of DTW, and within which its path is then smoothed."""
ONSET_WEIGHTS = (2.0, 4.0, 0.5)
"""How much rises of energy count, where energies count 1, in each of the ways that are followed."""
PREFERENCE, AROUND, AROUND_RATE = 0.05, 1.0, 10.0
"""By how much another way than the first must be heard more surely; seconds within which that is averaged, at so many
frames a second."""
BEND, BEND_OF_FEW = 0.6, 1.0
"""Cost of a step of the path that is not diagonal, besides that of its frames; the latter where the score has but a
part of what sounds, so that frames say little."""
LITTLE_ALIKE, MUCH_ALIKE = 0.6, 0.7
"""`Placement.likeness` up to which the latter holds, and from which on the former does."""
MARGIN = 3.0
"""Seconds of silence that are thought before and after the recording: notes may lie beyond its ends before they are
moved."""
TOGETHER = 0.03
"""Seconds within which notes begin together: one event."""
SNAP = 0.12
"""Seconds around the path in which the beginning of an event is looked for."""
STIFF, FAR = 12.0, 1.5
"""Costs of a second: of difference between the displacements of events that follow at once, and of displacement."""
LATENCY = -0.01
"""Seconds from the beginning of a note to the frame in which its rise is steepest."""


@dataclass(frozen=True)
class Events:
    """Notes that begin together, E of them, by time.

    Attributes:
        time: float64 (E,), seconds.
        of: int64 (K,), the event of each note.
    """

    time: np.ndarray
    of: np.ndarray


def fine_path(audio: AudioFeatures, notes: NoteTable, reach: float, onset_weight: float, likeness: float) -> np.ndarray:
    """For each frame, at FRAME_RATE from -MARGIN on, of notes that are roughly in place, its moment in the recording:
    seconds, float64 (T,).

    Args:
        reach: seconds by which notes may be off.
        onset_weight: one of `ONSET_WEIGHTS`.
        likeness: see `placing.likeness_of`.
    """
    margin = round(MARGIN * FRAME_RATE)
    frames = len(audio.pitch) + 2 * margin
    later = notes.moved(notes.onset + MARGIN, notes.offset + MARGIN)
    rises = at_frame_rate(audio.flux)[: len(audio.pitch)]
    heard, rises = (np.pad(rows, ((margin, margin), (0, 0))) for rows in (audio.pitch, rises))
    energies = [directions(rows) for rows in (heard, score_pitch(later, frames))]
    scale = np.sqrt(np.float32(2 * onset_weight))
    onsets = [scale * onset_rows(rows) for rows in (rises, score_flux(later, frames))]
    costs = [np.float32(0.5) + 0.5 * np.square(rows).sum(axis=1) for rows in onsets]
    left, right = (np.concatenate(pair, axis=1) for pair in zip(energies, onsets, strict=True))
    bend = float(np.interp(likeness, (LITTLE_ALIKE, MUCH_ALIKE), (BEND_OF_FEW, BEND)))
    frame = banded_path(left, right, costs[0], costs[1], round(reach * FRAME_RATE), bend)
    seconds: np.ndarray = frame / FRAME_RATE - MARGIN
    return seconds


def along(path: np.ndarray, seconds: np.ndarray, smoothing: float) -> np.ndarray:
    """Moments of the recording for moments on the axis of a path of `fine_path`, which is smoothed by a Gaussian of
    this width in seconds."""
    at = np.arange(len(path)) / FRAME_RATE - MARGIN
    moved = gaussian_filter1d(path - at, smoothing * FRAME_RATE, mode="nearest")
    there: np.ndarray = seconds + np.interp(seconds, at, moved)
    return there


@dataclass(frozen=True)
class Heard:
    """Notes where they are heard, K of them, by onset.

    Attributes:
        notes: the notes.
        surely: float64 (K,), how surely each is heard to begin there, 0 to 1.
        apart: float64 (K, W), seconds between that and where each of the ways that were followed puts it.
    """

    notes: NoteTable
    surely: np.ndarray
    apart: np.ndarray


def heard(audio: AudioFeatures, notes: NoteTable, likeness: float) -> Heard:
    """Notes that are roughly in place, each moved along that of some ways in which those around it are heard best."""
    ways = [followed(audio, notes, likeness, weight) for weight in ONSET_WEIGHTS]
    onset, offset, surely = (np.array(each) for each in zip(*ways, strict=True))
    frame = np.maximum(np.rint(notes.onset * AROUND_RATE).astype(np.int64), 0)
    count = np.maximum(gaussian_filter1d(np.bincount(frame).astype(np.float64), AROUND * AROUND_RATE), 1e-9)
    around = [(gaussian_filter1d(np.bincount(frame, values), AROUND * AROUND_RATE) / count)[frame] for values in surely]
    around[0] += PREFERENCE
    way, note = np.argmax(around, axis=0), np.arange(len(notes))
    best = onset[way, note]
    order = np.argsort(best, kind="stable")
    final = notes.moved(best, np.maximum(offset[way, note], best + 0.02))
    return Heard(final.chosen(order), surely[way, note][order], np.abs(onset - best).T[order])


def followed(
    audio: AudioFeatures, notes: NoteTable, likeness: float, onset_weight: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Notes that are roughly in place, K of them, along the path of each pass, and then where they are heard: onsets
    and offsets, and how surely they begin there, float64 (K,)."""
    for reach, smoothing in PASSES:
        path = fine_path(audio, notes, reach, onset_weight, likeness)
        notes = notes.moved(along(path, notes.onset, smoothing), along(path, notes.offset, smoothing))
    order = np.argsort(notes.onset, kind="stable")
    final = refined(audio, notes.chosen(order))
    events = events_of(final)
    shares = heard_onsets(audio, final, events)
    surely = shares[:, shares.shape[1] // 2][events.of]
    back = np.argsort(order)
    return final.onset[back], final.offset[back], surely[back]


def events_of(notes: NoteTable) -> Events:
    """Notes by the events that they begin at."""
    if not len(notes):
        return Events(np.zeros(0), np.zeros(0, dtype=np.int64))
    begins = np.zeros(len(notes), dtype=bool)
    begins[first_strikes(notes.onset, np.zeros(len(notes)), TOGETHER)] = True  # as if all were on one key
    of = np.cumsum(begins) - 1
    return Events(np.bincount(of, notes.onset) / np.bincount(of), of)


def heard_onsets(audio: AudioFeatures, notes: NoteTable, events: Events) -> np.ndarray:
    """How surely each event begins at -SNAP to SNAP around its time, in steps of a frame of the rises: float32
    (E, 2 R + 1), at most 1."""
    reach = round(SNAP * FLUX_RATE)
    shapes = onset_shapes(notes)
    wanted = np.zeros((len(events.time), shapes.shape[1]), dtype=np.float32)
    np.add.at(wanted, events.of, shapes * np.sqrt(notes.velocity)[:, None].astype(np.float32))
    wanted /= np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-6)
    middle = np.rint((events.time + LATENCY) * FLUX_RATE).astype(np.int64)
    surely = _correlated(audio.flux, wanted, middle, reach)
    typical = np.quantile(surely.max(axis=1), 0.5) if len(surely) else 1.0
    share: np.ndarray = surely / np.maximum(surely.max(axis=1, keepdims=True), np.float32(0.5 * typical + 1e-6))
    return share


@compiled(fastmath=True)
def _correlated(flux, wanted, middle, reach):  # type: ignore[no-untyped-def]
    out = np.zeros((len(wanted), 2 * reach + 1), np.float32)
    for e in range(len(wanted)):
        for j in range(2 * reach + 1):
            t = middle[e] + j - reach
            if 0 <= t < len(flux):
                total = np.float32(0)
                for d in range(flux.shape[1]):
                    total += flux[t, d] * wanted[e, d]
                out[e, j] = total
    return out


def snapped(audio: AudioFeatures, notes: NoteTable, events: Events) -> np.ndarray:
    """The events' times moved to where they are heard to begin, float64 (E,): neighbours move alike, unless what is
    heard says otherwise (Viterbi search over displacements)."""
    if not len(events.time):
        return events.time
    surely = heard_onsets(audio, notes, events)
    reach = surely.shape[1] // 2
    middle = np.rint((events.time + LATENCY) * FLUX_RATE) / FLUX_RATE - LATENCY
    apart = np.diff(events.time, prepend=-10.0)
    step = _displacements(surely, apart, np.float32(STIFF / FLUX_RATE), np.float32(FAR / FLUX_RATE))
    moved: np.ndarray = middle + (step - reach + _between(surely, step)) / FLUX_RATE
    return moved


def _between(surely: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The vertex of the parabola through each chosen value and its neighbours, steps from -0.5 to 0.5."""
    inner = np.clip(step, 1, surely.shape[1] - 2)
    row = np.arange(len(surely))
    left, top, right = (surely[row, inner + k] for k in (-1, 0, 1))
    peak = (top > left) & (top >= right) & (inner == step)
    return np.where(peak, 0.5 * (left - right) / np.minimum(left - 2 * top + right, -1e-6), 0.0)


@compiled()
def _displacements(surely, apart, stiff, far):  # type: ignore[no-untyped-def]
    count, width = surely.shape
    reach = width // 2
    total = np.zeros(width, np.float32)
    best = np.zeros((count, width), np.int64)
    for e in range(count):
        slack = stiff / np.float32(1.0 + 2.0 * apart[e])
        now = np.empty(width, np.float32)
        for j in range(width):
            value, source = np.float32(1e30), 0
            for i in range(width):
                candidate = total[i] + slack * abs(i - j)
                if candidate < value:
                    value, source = candidate, i
            now[j] = value - surely[e, j] + far * abs(j - reach)
            best[e, j] = source
        total = now
    step = np.empty(count, np.int64)
    j = int(np.argmin(total))
    for e in range(count - 1, -1, -1):
        step[e] = j
        j = best[e, j]
    return step


def refined(audio: AudioFeatures, notes: NoteTable) -> NoteTable:
    """Notes that are on the path, moved to the moments at which they are heard; their order is kept."""
    if not len(notes):
        return notes
    events = events_of(notes)
    moved = np.maximum.accumulate(snapped(audio, notes, events))
    onset = moved[events.of]
    shift = np.interp(notes.offset, events.time, moved - events.time)
    return notes.moved(onset, np.maximum(notes.offset + shift, onset + 0.02))


def carried(moments: np.ndarray, final: NoteTable, roughly: NoteTable) -> np.ndarray:
    """Moments on the axis of the rough placement, moved as the notes near them were."""
    moved: np.ndarray = moments + np.interp(moments, roughly.onset, final.onset - roughly.onset)
    return moved
