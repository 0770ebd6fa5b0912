"""What a score-informed factorisation begins with: the components that a score asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from scoresep.grid import LOWEST_PITCH, Grid

ATTACK, FREE = -1, -2
"""Instead of a pitch: the component of an instrument's attacks; one of what has no score."""
ENVELOPE_CORNER = 150.0
"""Hz below which the bands of an envelope are equally wide, and above which their width grows with frequency."""


@dataclass(frozen=True)
class FactoriseSettings:
    """Shape of the model and of its search; docs/research/teacher.md says what each is worth.

    Attributes:
        iterations: passes over the frames. More fit the mixture better and the stems worse.
        shared: of these, the first, after which the templates of pitches are comb times shared envelope.
        prior: weight of comb times shared envelope in the templates after that, in track levels of magnitude.
        neighbours: semitones (standard deviation of a Gaussian) over which pitches share an envelope.
        bands: of the shared envelope.
        weighted: whether a bin teaches templates of pitches by the square of the largest share of an instrument in it.
        harmonics, half_width: partials of the comb; bins of a partial on either side.
        floor: the comb between partials, relative to the fundamental's peak.
        lead, decay: seconds that a note may sound before its onset and after its offset.
        onset_lead, onset_length: seconds that an attack begins before the onset, and lasts from it on; with a length
            of 0 there are no attacks.
        stroke_decay: seconds that a stroke of a drum sounds.
        free: components of what has no score.
        unwritten: whether what a part plays anywhere may sound where it has no note, at first next to nothing: scores
            lack notes.
    """

    iterations: int = 15
    shared: int = 2
    prior: float = 10.0
    neighbours: float = 4.0
    bands: int = 12
    weighted: bool = True
    harmonics: int = 60
    half_width: float = 2.5
    floor: float = 3e-3
    lead: float = 0.0
    decay: float = 0.15
    onset_lead: float = 0.03
    onset_length: float = 0.09
    stroke_decay: float = 0.2
    free: int = 8
    unwritten: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `unwritten` only where it is true, since older caches know nothing of it."""
        return {name: value for name, value in asdict(self).items() if name != "unwritten" or value}


class Components(NamedTuple):
    """K components in the order of their instruments.

    Attributes:
        templates: float32 (K, F), each of sum 1.
        support: where each may sound, bool (T, K).
        instrument: int32 (K,).
        pitch: int32 (K,), MIDI pitch (of a drum: its key), `ATTACK` or `FREE`.
        pitched: indices of those that began as combs.
    """

    templates: np.ndarray
    support: np.ndarray
    instrument: np.ndarray
    pitch: np.ndarray
    pitched: np.ndarray


class Group(NamedTuple):
    """Components of one instrument: pitches (U,), starting shapes (U, F) of any scale, support bool (T, U)."""

    pitch: np.ndarray
    shapes: np.ndarray
    support: np.ndarray


def components_of(
    rolls: np.ndarray, onsets: np.ndarray, kinds: Sequence[str], grid: Grid, settings: FactoriseSettings
) -> Components:
    """The components that rolls and onsets, bool (N, P, T), of instruments of some kinds ask for."""
    nothing = Group(np.zeros(0), np.zeros((0, grid.bins)), np.zeros((rolls.shape[2], 0), dtype=bool))
    groups, owner = [nothing], [-1]
    for n, kind in enumerate(kinds):
        for group in GROUPS_OF_KIND[kind](rolls[n], onsets[n], grid, settings):
            groups.append(group)
            owner.append(n)
    shapes = np.concatenate([group.shapes for group in groups])
    instrument = np.repeat(owner, [len(group.pitch) for group in groups])
    pitch = np.concatenate([group.pitch for group in groups])
    harmonic = np.array([kind == "harmonic" for kind in kinds])
    return Components(
        (shapes / shapes.sum(axis=1, keepdims=True)).astype(np.float32),
        np.concatenate([group.support for group in groups], axis=1),
        instrument.astype(np.int32),
        pitch.astype(np.int32),
        np.flatnonzero(harmonic[instrument] & (pitch >= 0)),
    )


def harmonic_groups(roll: np.ndarray, onset: np.ndarray, grid: Grid, settings: FactoriseSettings) -> Iterator[Group]:
    """A comb a pitch, and a flat template for the attacks of all."""
    sounds: np.ndarray = roll | onset
    keys = np.flatnonzero(sounds.any(axis=1))
    if not len(keys):
        return
    sounding = spread(sounds[keys].T, grid.frames_in(settings.lead), grid.frames_in(settings.decay))
    yield Group(keys + LOWEST_PITCH, combs(keys + LOWEST_PITCH, grid, settings), sounding)
    ahead, length = grid.frames_in(settings.onset_lead), grid.frames_in(settings.onset_length)
    begun: np.ndarray = np.asarray(onset.any(axis=0))
    near = spread(begun[:, None], ahead, length - 1)
    if length and near.any():
        yield Group(np.array([ATTACK]), np.ones((1, grid.bins)), near)


def percussive_groups(roll: np.ndarray, onset: np.ndarray, grid: Grid, settings: FactoriseSettings) -> Iterator[Group]:
    """A flat template a drum, active from its strokes on whatever the length of the notes."""
    keys = np.flatnonzero(onset.any(axis=1))
    ahead, length = grid.frames_in(settings.onset_lead), grid.frames_in(settings.stroke_decay)
    yield Group(keys + LOWEST_PITCH, np.ones((len(keys), grid.bins)), spread(onset[keys].T, ahead, length - 1))


def free_groups(roll: np.ndarray, onset: np.ndarray, grid: Grid, settings: FactoriseSettings) -> Iterator[Group]:
    """Broad bands that may sound at any time and become what they find; without them not one would differ."""
    shapes = bands(grid, settings.free) + 0.1
    yield Group(np.full(settings.free, FREE), shapes, np.ones((roll.shape[1], settings.free), dtype=bool))


GROUPS_OF_KIND = {"harmonic": harmonic_groups, "percussive": percussive_groups, "other": free_groups}
"""The components of an instrument by its kind."""


def with_unwritten(
    rolls: np.ndarray, onsets: np.ndarray, kinds: Sequence[str], grid: Grid, settings: FactoriseSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rolls and onsets in which every key of a part may sound and every drum be struck at any time, and how likely keys
    sound, float32 (N, P, T): 1 where they are written, 0 elsewhere."""
    rolls, onsets, likelihood = rolls.copy(), onsets.copy(), np.zeros(rolls.shape, dtype=np.float32)
    for n, kind in enumerate(kinds):
        sounds = rolls[n] | onsets[n]
        ahead, after, opened = grid.frames_in(settings.lead), grid.frames_in(settings.decay), rolls[n]
        if kind == "percussive":
            sounds, opened, ahead = onsets[n], onsets[n], grid.frames_in(settings.onset_lead)
            after = grid.frames_in(settings.stroke_decay) - 1
        likelihood[n] = spread(sounds.T, ahead, after).T
        opened[sounds.any(axis=1)] = True
    return rolls, onsets, likelihood


def spread(marks: np.ndarray, before: int, after: int) -> np.ndarray:
    """Marks, bool (T, U), with the `before` frames before and the `after` frames after each."""
    wide = marks.copy()
    for distance in range(1, min(before, len(marks) - 1) + 1):
        wide[:-distance] |= marks[distance:]
    for distance in range(1, min(after, len(marks) - 1) + 1):
        wide[distance:] |= marks[:-distance]
    return wide


def combs(pitches: np.ndarray, grid: Grid, settings: FactoriseSettings) -> np.ndarray:
    """What MIDI pitches (U,) start as, float64 (U, F): a rounded peak of height 1 / h at partial h, and the floor."""
    h = np.arange(1, settings.harmonics + 1)
    reach = settings.half_width + 0.5
    shapes = np.full((len(pitches), grid.bins), settings.floor)
    for shape, pitch in zip(shapes, pitches, strict=True):
        partial = h * 440.0 * 2.0 ** ((pitch - 69.0) / 12.0) / grid.bin_width
        near = np.rint(partial).astype(np.int64)[:, None] + np.arange(-int(reach) - 1, int(reach) + 2)
        distance = near - partial[:, None]
        inside = (np.abs(distance) <= settings.half_width) & (near >= 0) & (near < grid.bins)
        height = np.cos(np.pi * distance / (2.0 * reach)) ** 2 / h[:, None]
        np.add.at(shape, near[inside], height[inside])
    return shapes


def bands(grid: Grid, count: int) -> np.ndarray:
    """Overlapping triangles that add up to 1 in every bin, float64 (count, F): the coarse shape of a spectrum."""
    scale = np.log1p(np.arange(grid.bins) * grid.bin_width / ENVELOPE_CORNER)
    place = scale / scale[-1] * (count - 1)
    triangles: np.ndarray = np.maximum(0.0, 1.0 - np.abs(place - np.arange(count)[:, None]))
    return triangles
