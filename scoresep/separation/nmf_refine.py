"""The road back: masks that a factorisation of the recording at hand gives, from its notes and the separator's masks.

A separator knows the sounds that it was trained on; a factorisation (`nmf`) learns those of this recording, and needs
to be told the notes. They come from the transcriptor, from a score, or from both:

- what the transcriptor hears may sound wherever its probability reaches `LIKELY`, and begins as loud as it is probable;
- a part that the score holds is believed: its notes begin with all their weight, and what the transcriptor alone is
  `SURE` of with `HEARSAY` of its probability, because scores lack notes;
- an instrument of which neither knows notes keeps the separator's mask, and the others share out the rest; so do
  drums, unless a score has them: their sounds are told apart better than their strokes are named.

The refined masks are M_i^`TRUST` W_i, W_i being the factorisation's, scaled so that the sum over these instruments
stays what the separator's was. Every number here was chosen on validation tracks (docs/research/teacher.md).

Long recordings are taken in pieces that overlap, each factorised by itself; from one to the next masks are faded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoresep.grid import PITCHES
from scoresep.masks.percussive import frames_in
from scoresep.models.model import Model
from scoresep.models.streaming import PIECE_SECONDS, network_blocks
from scoresep.nmf import FactoriseSettings, factorise
from scoresep.nmf import masks as shares_of
from scoresep.nmf.components import spread
from scoresep.separation.score_prior import ScoreGuide

OVERLAP_SECONDS = 4.0
"""Least overlap of two pieces."""
LIKELY = 0.1
"""Probability from which a key may sound."""
EAGER = 0.5
"""Times the model's onset threshold that a peak must reach to be an attack: one too many costs less than one missed."""
SURE = 0.5
"""Probability from which a key may sound that the score's part of its instrument has not."""
HEARSAY = 0.05
"""Weight of what only the transcriptor hears, where a score has the instrument's part."""
TRUST = 0.15
"""Power of the separator's masks, which on new music are too sure of themselves."""
TOLERANT = FactoriseSettings(lead=0.05, decay=0.2, onset_lead=0.08, onset_length=0.14)
"""Wider than for true scores, because neither transcriptions nor scores are exact in time."""
FAINTEST = 1e-6
"""Least mask of an instrument in the product."""


@dataclass(frozen=True)
class Heard:
    """What the networks say of consecutive frames.

    Attributes:
        magnitude: relative to the level, float32 (t, F).
        masks: the separator's, float32 (N, F, t).
        frame, onset: probabilities of the transcriptor, float32 (N, P, t) each; zeros if it knows no notes.
    """

    magnitude: np.ndarray
    masks: np.ndarray
    frame: np.ndarray
    onset: np.ndarray

    def __len__(self) -> int:
        return len(self.magnitude)

    def cut(self, start: int, stop: int) -> Heard:
        """Frames start to stop."""
        rest = (values[..., start:stop] for values in (self.masks, self.frame, self.onset))
        return Heard(self.magnitude[start:stop], *rest)

    def followed_by(self, more: Heard) -> Heard:
        """These frames and those of `more`."""
        rest = ((self.masks, more.masks), (self.frame, more.frame), (self.onset, more.onset))
        return Heard(
            np.concatenate([self.magnitude, more.magnitude]), *(np.concatenate(both, axis=-1) for both in rest)
        )


@dataclass(frozen=True)
class Notes:
    """What is known of the notes in T frames.

    Attributes:
        roll, onset: keys that may sound, and attacks, bool (N, P, T).
        likelihood: of the keys, float32 (N, P, T).
        told: of which instruments anything is known, bool (N,).
    """

    roll: np.ndarray
    onset: np.ndarray
    likelihood: np.ndarray
    told: np.ndarray


def refined_blocks(
    relative: Iterator[np.ndarray],
    model: Model,
    guide: ScoreGuide | None,
    block: int,
    frames: int,
    piece_seconds: float = PIECE_SECONDS,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Magnitudes (t, F) and refined masks (N, F, t) of consecutive frames, as `stream.network_blocks` has them.

    Args:
        relative: magnitudes divided by the level, float32 (t, F) at a time, `frames` together.
        block: frames that go through the networks at a time.
        piece_seconds: audio that is factorised at a time.
    """
    heard, held, done = hear(relative, model, block, frames), None, 0
    spans = pieces(frames, frames_in(piece_seconds, model.grid), frames_in(OVERLAP_SECONDS, model.grid))
    before: np.ndarray | None = None  # masks that the piece before gives to the beginning of this one
    for (start, stop), following in zip(spans, [*(first for first, _ in spans[1:]), frames], strict=True):
        held = next(heard) if held is None else held.cut(start - done, len(held))
        done = start
        while len(held) < stop - start:
            held = held.followed_by(next(heard))
        piece = held.cut(0, stop - start)
        masks = refined(piece, notes_of(piece, start, model, guide), model)
        if before is not None:
            count = before.shape[2]
            fade = (np.arange(1, count + 1) / np.float32(count + 1)).astype(np.float32)
            masks[..., :count] = before * (1 - fade) + masks[..., :count] * fade
        own = following - start
        yield piece.magnitude[:own], masks[..., :own]
        before = masks[..., own:].copy()


def pieces(frames: int, length: int, overlap: int) -> list[tuple[int, int]]:
    """First frames and frames after the last of equal pieces, as few as cover `frames`.

    Neighbours overlap by at least `overlap` or, where pieces are short, half their length.
    """
    length = min(length, frames)
    overlap = min(overlap, length // 2)
    count = 1 if length == frames else int(np.ceil((frames - overlap) / (length - overlap)))
    starts = np.rint(np.linspace(0, frames - length, count)).astype(int)
    return [(start, start + length) for start in starts.tolist()]


def hear(relative: Iterator[np.ndarray], model: Model, block: int, frames: int) -> Iterator[Heard]:
    """Run both networks over the magnitudes, a block at a time."""
    separator, transcriptor = model.separator.eval(), model.transcriptor.eval()
    bins, count = model.grid.bins, len(model.instruments)

    def both(magnitude: Tensor) -> Tensor:
        masks = separator(magnitude)[0]
        if not model.transcribes:
            return torch.cat([masks, masks.new_zeros(count, 2 * PITCHES, masks.shape[2])], dim=1)
        return torch.cat([masks, *(torch.sigmoid(roll[0]) for roll in transcriptor(magnitude))], dim=1)

    context = max(separator.context, transcriptor.context if model.transcribes else 0)
    for magnitude, outputs in network_blocks(relative, both, context, block, frames, model.device):
        yield Heard(magnitude, *np.split(outputs, [bins, bins + PITCHES], axis=1))


def notes_of(heard: Heard, start: int, model: Model, guide: ScoreGuide | None) -> Notes:
    """The notes in a piece that begins with frame `start`, as transcriptor and score have them."""
    kinds = [instrument.kind for instrument in model.instruments]
    limit = EAGER * np.array(model.onset_threshold, dtype=np.float32)[:, None, None]
    roll, onset, likelihood = heard.frame >= LIKELY, peaks(heard.onset) & (heard.onset >= limit), heard.frame.copy()
    for n in np.flatnonzero([kind == "percussive" for kind in kinds]):  # a stroke sounds on, whatever its note does
        likelihood[n] = widest(heard.onset[n], frames_in(TOLERANT.onset_lead, model.grid), stroke_frames(model))
    if guide is None:
        return Notes(roll, onset, likelihood, np.array([kind == "harmonic" for kind in kinds]))
    written, begun = guide.rolls(start, start + len(heard))
    near = frames_in(TOLERANT.lead, model.grid)
    for n in np.flatnonzero(guide.told):
        after = stroke_frames(model) if kinds[n] == "percussive" else near
        onset[n] = begun[n] | (onset[n] & ~spread(begun[n].T, near, near).T)
        likelihood[n] = np.where(spread((written[n] | begun[n]).T, near, after).T, 1.0, HEARSAY * likelihood[n])
        roll[n] = written[n] | (heard.frame[n] >= SURE)
    pitched = np.array([model.transcribes and kind == "harmonic" for kind in kinds])
    return Notes(roll, onset, likelihood, pitched | np.array(guide.told))


def stroke_frames(model: Model) -> int:
    """Frames that a stroke of a drum sounds."""
    return frames_in(TOLERANT.stroke_decay, model.grid)


def peaks(values: np.ndarray) -> np.ndarray:
    """Where (..., T) is greater than before and not less than after: bool (..., T)."""
    wide = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(1, 1)])
    return (values > wide[..., :-2]) & (values >= wide[..., 2:])


def widest(values: np.ndarray, before: int, after: int) -> np.ndarray:
    """The largest of (..., T) from `after` frames earlier to `before` frames later, (..., T)."""
    wide = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(after, before)])
    return np.lib.stride_tricks.sliding_window_view(wide, before + after + 1, axis=-1).max(axis=-1)


def refined(heard: Heard, notes: Notes, model: Model) -> np.ndarray:
    """Masks float32 (N, F, t) of a piece whose notes are known; those of instruments that have none told are kept."""
    told = np.flatnonzero(notes.told)
    if not len(told):
        return heard.masks
    masks, rest = heard.masks.copy(), np.maximum(1.0 - heard.masks[~notes.told].sum(axis=0), 0.0)
    kinds = [model.instruments[n].kind for n in told]
    factors = factorise(
        heard.magnitude.T * rest,
        notes.roll[told],
        kinds,
        model.grid,
        notes.onset[told],
        TOLERANT,
        notes.likelihood[told],
    )
    weight = np.maximum(heard.masks[told], np.float32(FAINTEST)) ** np.float32(TRUST)
    weight *= np.maximum(shares_of(factors), np.float32(FAINTEST))
    sounding = np.diff(factors.first) > 0  # elsewhere nobody is known to play, and the separator decides
    masks[told] = np.where(sounding, weight * (heard.masks[told].sum(axis=0) / weight.sum(axis=0)), heard.masks[told])
    return masks
