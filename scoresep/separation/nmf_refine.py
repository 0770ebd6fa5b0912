"""Refinement of masks: the recording is factorised (`nmf`) by its notes, and the separator's masks are weighted in.

A separator knows the sounds of its training data; a factorisation learns those of this recording, and needs notes.
They come from the transcriptor, from a score, or from both:

- keys of the transcriptor may sound wherever their probability reaches `KEY_THRESHOLD`, and begin as loud as it is;
- a part of the score is trusted: its notes begin with all their weight, and keys that only the transcriptor has, from
  `EXTRA_KEY_THRESHOLD` on, with `EXTRA_KEY_WEIGHT` of their probability, because scores lack notes;
- an instrument without notes from either keeps the separator's mask, and the others share the rest; so do drums,
  unless the score has them: they are separated better than their strokes are transcribed;
- an instrument that is said not to play has no notes and gets nothing.

The refined masks are M_i^(1 - w) W_i^min(1, w / `SCORE_WEIGHT`), W_i being the factorisation's and w the weight of the
notes, scaled so that the sum over these instruments stays what the separator's was: M_i for a weight of 0,
M_i^(1 - w) W_i for the usual one, W_i for 1. Every number here was chosen on validation tracks
(docs/research/teacher.md).

Long recordings are factorised in overlapping pieces; masks are cross-faded from one piece to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scoresep.grid import PITCHES
from scoresep.models.model import Model
from scoresep.models.streaming import PIECE_SECONDS, network_blocks
from scoresep.nmf import FactoriseSettings, factorise
from scoresep.nmf import masks as nmf_masks
from scoresep.nmf.components import spread
from scoresep.separation.score_prior import SCORE_WEIGHT, ScorePrior

OVERLAP_SECONDS = 4.0
"""Least overlap of two pieces."""
KEY_THRESHOLD = 0.1
"""Probability from which a key may sound."""
ONSET_FACTOR = 0.5
"""Times the model's onset threshold that a peak must reach to be an onset: a false one costs less than a missed one."""
EXTRA_KEY_THRESHOLD = 0.5
"""Probability from which a key may sound that the score's part of its instrument does not have."""
EXTRA_KEY_WEIGHT = 0.05
"""Weight of what only the transcriptor has, where the score has the instrument's part."""
MASK_FLOOR = 1e-6
"""Least mask of an instrument in the product."""
SETTINGS = FactoriseSettings(lead=0.05, decay=0.2, onset_lead=0.08, onset_length=0.14)
"""Wider in time than for true scores, because neither transcriptions nor scores are exact."""


@dataclass(frozen=True)
class Outputs:
    """Outputs of both networks for consecutive frames.

    Attributes:
        magnitude: relative to the level, float32 (t, F).
        masks: the separator's, float32 (N, F, t).
        frame, onset: probabilities of the transcriptor, float32 (N, P, t) each; zeros if the model does not transcribe.
    """

    magnitude: np.ndarray
    masks: np.ndarray
    frame: np.ndarray
    onset: np.ndarray

    def __len__(self) -> int:
        return len(self.magnitude)

    def cut(self, start: int, stop: int) -> Outputs:
        """Frames start to stop."""
        rest = (values[..., start:stop] for values in (self.masks, self.frame, self.onset))
        return Outputs(self.magnitude[start:stop], *rest)

    def followed_by(self, more: Outputs) -> Outputs:
        """These frames and those of `more`."""
        pairs = ((self.masks, more.masks), (self.frame, more.frame), (self.onset, more.onset))
        rest = (np.concatenate(pair, axis=-1) for pair in pairs)
        return Outputs(np.concatenate([self.magnitude, more.magnitude]), *rest)


@dataclass(frozen=True)
class NotePrior:
    """What is known of the notes in T frames.

    Attributes:
        roll, onset: keys that may sound, and onsets, bool (N, P, T).
        likelihood: of the keys, float32 (N, P, T).
        has_notes: instruments whose notes are known, bool (N,); the others keep the separator's masks.
    """

    roll: np.ndarray
    onset: np.ndarray
    likelihood: np.ndarray
    has_notes: np.ndarray


def refined_blocks(
    relative: Iterator[np.ndarray],
    model: Model,
    score: ScorePrior | None,
    block: int,
    frames: int,
    piece_seconds: float = PIECE_SECONDS,
    present: np.ndarray | None = None,
    weight: float = SCORE_WEIGHT,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Magnitudes (t, F) and refined masks (N, F, t) of consecutive frames, as `models.streaming.network_blocks`.

    Args:
        relative: magnitudes divided by the level, float32 (t, F) at a time, `frames` together.
        block: frames that go through the networks at a time.
        piece_seconds: audio that is factorised at a time.
        present: who plays, bool (N,); None where nobody knows.
        weight: of the notes beside the separator's masks, 0 to 1.
    """
    outputs = network_outputs(relative, model, block, frames, present)
    return refined_outputs(outputs, model, score, frames, piece_seconds, present, weight)


def refined_outputs(
    outputs: Iterator[Outputs],
    model: Model,
    score: ScorePrior | None,
    frames: int,
    piece_seconds: float = PIECE_SECONDS,
    present: np.ndarray | None = None,
    weight: float = SCORE_WEIGHT,
    offset: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`refined_blocks` from what the networks have said: `frames` frames together, the first being frame `offset`."""
    held: Outputs | None = None
    first = 0
    spans = piece_spans(frames, model.grid.frames_in(piece_seconds), model.grid.frames_in(OVERLAP_SECONDS))
    before: np.ndarray | None = None  # masks that the piece before gives to the beginning of this one
    for (start, stop), following in zip(spans, [*(start for start, _ in spans[1:]), frames], strict=True):
        held = next(outputs) if held is None else held.cut(start - first, len(held))
        first = start
        while len(held) < stop - start:
            held = held.followed_by(next(outputs))
        piece = held.cut(0, stop - start)
        notes = note_prior(piece, offset + start, model, score)
        if present is not None:
            notes = replace(notes, has_notes=notes.has_notes & present)
        masks = refined_masks(piece, notes, model, weight)
        if before is not None:
            count = before.shape[2]
            fade = (np.arange(1, count + 1) / np.float32(count + 1)).astype(np.float32)
            masks[..., :count] = before * (1 - fade) + masks[..., :count] * fade
        done = following - start
        yield piece.magnitude[:done], masks[..., :done]
        before = masks[..., done:].copy()


def piece_spans(frames: int, length: int, overlap: int) -> list[tuple[int, int]]:
    """First frames and frames after the last of equal pieces, as few as cover `frames`.

    Neighbours overlap by at least `overlap` or, where pieces are short, half their length.
    """
    length = min(length, frames)
    overlap = min(overlap, length // 2)
    count = 1 if length == frames else int(np.ceil((frames - overlap) / (length - overlap)))
    starts = np.rint(np.linspace(0, frames - length, count)).astype(int)
    return [(start, start + length) for start in starts.tolist()]


def network_outputs(
    relative: Iterator[np.ndarray], model: Model, block: int, frames: int, present: np.ndarray | None = None
) -> Iterator[Outputs]:
    """Run both networks over the magnitudes, a block at a time; `present` as in `refined_blocks`."""
    separator, transcriptor = model.separator.eval(), model.transcriptor.eval()
    bins, count = model.grid.bins, len(model.instruments)
    known = None if present is None else torch.from_numpy(present).to(model.device)

    def both(magnitude: Tensor) -> Tensor:
        masks = separator(magnitude, known)[0]
        if not model.transcribes:
            return torch.cat([masks, masks.new_zeros(count, 2 * PITCHES, masks.shape[2])], dim=1)
        return torch.cat([masks, *(torch.sigmoid(roll[0]) for roll in transcriptor(magnitude))], dim=1)

    context = max(separator.context, transcriptor.context if model.transcribes else 0)
    for magnitude, outputs in network_blocks(relative, both, context, block, frames, model.device):
        yield Outputs(magnitude, *np.split(outputs, [bins, bins + PITCHES], axis=1))


def note_prior(outputs: Outputs, start: int, model: Model, score: ScorePrior | None) -> NotePrior:
    """The notes of a piece that begins with frame `start`, from transcriptor and score."""
    kinds = [instrument.kind for instrument in model.instruments]
    limit = ONSET_FACTOR * np.array(model.onset_threshold, dtype=np.float32)[:, None, None]
    roll, onset = outputs.frame >= KEY_THRESHOLD, peaks(outputs.onset) & (outputs.onset >= limit)
    likelihood = outputs.frame.copy()
    for n in np.flatnonzero([kind == "percussive" for kind in kinds]):  # a stroke sounds on, whatever its note does
        likelihood[n] = moving_max(outputs.onset[n], model.grid.frames_in(SETTINGS.onset_lead), stroke_frames(model))
    if score is None:
        return NotePrior(roll, onset, likelihood, np.array([kind == "harmonic" for kind in kinds]))
    score_roll, score_onset = score.rolls(start, start + len(outputs))
    near = model.grid.frames_in(SETTINGS.lead)
    for n in np.flatnonzero(score.has_part):
        after = stroke_frames(model) if kinds[n] == "percussive" else near
        onset[n] = score_onset[n] | (onset[n] & ~spread(score_onset[n].T, near, near).T)
        in_score = spread((score_roll[n] | score_onset[n]).T, near, after).T
        likelihood[n] = np.where(in_score, 1.0, EXTRA_KEY_WEIGHT * likelihood[n])
        roll[n] = score_roll[n] | (outputs.frame[n] >= EXTRA_KEY_THRESHOLD)
    transcribed = np.array([model.transcribes and kind == "harmonic" for kind in kinds])
    return NotePrior(roll, onset, likelihood, transcribed | np.array(score.has_part))


def stroke_frames(model: Model) -> int:
    """Frames that a stroke of a drum sounds."""
    return model.grid.frames_in(SETTINGS.stroke_decay)


def peaks(values: np.ndarray) -> np.ndarray:
    """Where (..., T) is greater than before and not less than after: bool (..., T)."""
    wide = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(1, 1)])
    return (values > wide[..., :-2]) & (values >= wide[..., 2:])


def moving_max(values: np.ndarray, before: int, after: int) -> np.ndarray:
    """The largest of (..., T) from `after` frames earlier to `before` frames later, (..., T)."""
    wide = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(after, before)])
    largest: np.ndarray = np.lib.stride_tricks.sliding_window_view(wide, before + after + 1, axis=-1).max(axis=-1)
    return largest


def refined_masks(outputs: Outputs, notes: NotePrior, model: Model, weight: float = SCORE_WEIGHT) -> np.ndarray:
    """Masks float32 (N, F, t) of a piece; instruments without notes keep those of the separator."""
    chosen = np.flatnonzero(notes.has_notes)
    if not len(chosen) or not weight:
        return outputs.masks
    masks, rest = outputs.masks.copy(), np.maximum(1.0 - outputs.masks[~notes.has_notes].sum(axis=0), 0.0)
    factors = factorise(
        outputs.magnitude.T * rest,
        notes.roll[chosen],
        [model.instruments[n].kind for n in chosen],
        model.grid,
        notes.onset[chosen],
        SETTINGS,
        notes.likelihood[chosen],
    )
    before = outputs.masks[chosen]
    product = np.maximum(before, np.float32(MASK_FLOOR)) ** np.float32(1 - weight)
    product *= np.maximum(nmf_masks(factors), np.float32(MASK_FLOOR)) ** np.float32(min(1.0, weight / SCORE_WEIGHT))
    sounding = np.diff(factors.first) > 0  # in other frames no note is known, and the separator's masks stay
    masks[chosen] = np.where(sounding, product * (before.sum(axis=0) / product.sum(axis=0)), before)
    return masks
