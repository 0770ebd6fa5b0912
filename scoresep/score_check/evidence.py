"""What a stem and its score are compared by: notes, envelopes, spectra, fits, disagreements, and their thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoresep.score.parts import Part

DISAGREEMENTS = ("silent", "offset", "missing audio", "noise", "octave", "pitch", "bends", "foreign")
"""What a disagreement can be: no sound at all; early or late; notes that do not sound; noise over or instead of the
notes; octaves off; another interval off; pitch bends that are not heard; sounds that have nothing to do with the
score."""
ENVELOPE_RATE = 100
"""Steps a second of the energy envelopes, nearly: a step is a whole number of samples."""
SILENCE = 1e-10
"""Mean square of 10 ms (full scale 1): a stem that nowhere exceeds it, -100 dBFS, is silent."""
QUIET = 0.3
"""Notes struck softer than this share of the median velocity may stay unheard: no evidence."""
RISE_DB, FLOOR_DB = 6.0, -50.0
"""Rise within three steps that is a certain onset; level, below the stem's loud moments, under which nothing counts."""
BELLS, ORGANS, PITCHLESS = range(8, 16), range(16, 24), range(112, 128)
"""Programs whose partials are no multiples; whose stops may sound octaves below; which are judged like drums."""


@dataclass(frozen=True)
class ScoreCheckSettings:
    """Thresholds of the score check; docs/research/score-check.md says what it finds with these.

    Agreements are cosines of a spectrum and a template of partials, 0 to 1.

    Attributes:
        missing_db: level in dB, below the stem's loud moments, at which a note does not sound.
        missing_share, missing_notes: share and number of such notes that are reported as missing audio.
        gain, gain_of_few: a lag must fit better than the written time by gain + gain_of_few / sqrt(number of onsets).
        most_hit: share of the onsets at which a sound must begin at a lag;
        fewest_hit, stands_out: or this share, and so much more than at any other candidate: where attacks are slow,
            chance gives several such lags.
        fewest_alike: least agreement in pitch at a lag.
        slow: seconds of lag up to which a stem may only have slow attacks,
        sharp: unless this share of the rise in level comes within 30 ms.
        noise_db: level of steady noise, relative to the mean level, that is reported;
        steady_db: and its least level in the spectra of the notes.
        agrees: least agreement of another transposition that is believed;
        clearly: and how many times that of the written one it must be an octave away (strings or stops that double the
            octave above reach 1.23 times);
        other_interval: the same for other intervals.
        by_chance, explains: a score explains its stem if it agrees by more than by_chance above the best unrelated
            transposition, or by this much.
        bent, bent_windows: semitones of a bend that counts, and the fewest windows with one that are judged.
        peaks_of_noise: share of peaks in a spectrum under which it is noise.
    """

    missing_db: float = -55.0
    missing_share: float = 0.1
    missing_notes: int = 8
    gain: float = 0.2
    gain_of_few: float = 1.0
    most_hit: float = 0.7
    fewest_hit: float = 0.4
    stands_out: float = 0.1
    fewest_alike: float = 0.4
    slow: float = 0.2
    sharp: float = 0.75
    noise_db: float = -11.5
    steady_db: float = -24.0
    agrees: float = 0.55
    clearly: float = 1.28
    other_interval: float = 1.6
    by_chance: float = 0.07
    explains: float = 0.4
    bent: float = 0.4
    bent_windows: int = 6
    peaks_of_noise: float = 0.15


USUAL_THRESHOLDS = ScoreCheckSettings()


@dataclass(frozen=True)
class Disagreement:
    """A disagreement of a stem with its score: one of `DISAGREEMENTS`, and one line for people, with figures."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Notes:
    """The notes of all parts that begin within the recording, K of them, ordered by onset.

    Attributes:
        onset, offset: float64 (K,), seconds.
        pitch: float64 (K,), MIDI numbers before bends.
        part: int64 (K,), index of the part.
        loud: bool (K,), whether the note must be heard.
    """

    onset: np.ndarray
    offset: np.ndarray
    pitch: np.ndarray
    part: np.ndarray
    loud: np.ndarray

    def __len__(self) -> int:
        return len(self.onset)


@dataclass(frozen=True)
class Envelope:
    """Energy of a stem, `rate` steps a second.

    Attributes:
        energy, edges: float32 (T,), mean squares of the samples and of the differences between them.
        loud: mean square of the stem's loud moments.
    """

    energy: np.ndarray
    edges: np.ndarray
    rate: float
    loud: float

    def step(self, seconds: np.ndarray) -> np.ndarray:
        """The steps in which moments lie, int64, kept within the recording."""
        step: np.ndarray = np.clip((seconds * self.rate).astype(np.int64), 0, len(self.energy) - 1)
        return step

    def loudest(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Highest energy between moments (K,) and (K,), in dB below the loud moments: float64 (K,)."""
        spans = np.stack([self.step(begin), self.step(end) + 1], axis=1).ravel()
        highest = np.maximum.reduceat(np.append(self.energy, np.float32(0)), spans)[::2]
        decibels: np.ndarray = 10 * np.log10(highest / self.loud + 1e-12)
        return decibels


@dataclass(frozen=True)
class Sound:
    """A stem with its score and what is measured once."""

    samples: np.ndarray
    rate: int
    parts: Sequence[Part]
    is_drum: bool
    notes: Notes
    envelope: Envelope


@dataclass(frozen=True)
class Spectra:
    """Spectra of F windows of `length` seconds which begin at `start` (F,), in bins of `bin_width` Hz.

    Attributes:
        partials: float32 (F, B), what stands out of the square roots of magnitudes, each row of norm 1.
        peaks: its share of the square roots; 0.11 for noise of any colour.
        steady_db: level of the noise that all windows share, below the whole.
        bend: float64 (J, F), semitones by which each of J parts is bent in each window.
        lag: seconds by which the windows are later than the notes that they are to show.
    """

    start: np.ndarray
    length: float
    bin_width: float
    partials: np.ndarray
    peaks: float
    steady_db: float
    bend: np.ndarray
    lag: float


@dataclass(frozen=True)
class Fit:
    """How a score fits its stem `lag` seconds late.

    Attributes:
        onsets: share of the onsets at which a sound begins, less what chance gives: at most 1.
        sounds: agreement in pitch; of drums, how equal the sounds of one drum are: at most 1.
    """

    lag: float
    onsets: float
    sounds: float

    @property
    def total(self) -> float:
        return self.onsets + self.sounds


def notes_within(parts: Sequence[Part], seconds: float) -> Notes:
    """The notes of all parts that begin at least 50 ms before the end of a recording."""
    onset, offset, pitch, velocity = (
        np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)])
        for name in ("onset", "offset", "pitch", "velocity")
    )
    order = np.argsort(onset, kind="stable")
    order = order[onset[order] < seconds - 0.05]
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    loud = velocity[order] >= QUIET * np.median(velocity[order]) if len(order) else np.zeros(0, dtype=bool)
    return Notes(onset[order], offset[order], pitch[order], owner[order], loud)
