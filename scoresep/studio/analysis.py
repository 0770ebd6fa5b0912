"""What the networks say of a recording, kept on disk, so that masks of any span can be made again from other notes.

Axes: T frames, N instruments, F frequency bins, P keys.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from scoresep.audio.source import Progress, Source
from scoresep.files import writing
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.instruments import Instrument
from scoresep.models.model import Model
from scoresep.models.streaming import BLOCK_SECONDS, block_frames, relative_magnitudes
from scoresep.plots.style import decibels_at
from scoresep.separation.nmf_refine import OVERLAP_SECONDS, Outputs, network_outputs, refined_outputs
from scoresep.separation.score_prior import SCORE_WEIGHT, ScorePrior
from scoresep.transcription.notation import parts_of
from scoresep.transcription.transcribe import Posteriors, key_strength, transcribe_stream

NAMES = ("magnitude", "masks", "frame", "onset")
FADE_SECONDS = 0.1
"""Over which masks pass from an old version to a new one, outside of the span that is separated again."""
ROWS_A_KEY = 3
"""Rows of the page's spectrogram for a semitone."""
TOP_DB, RANGE_DB = 6.0, 72.0
"""The loudest level that the page's spectrogram shows, relative to the recording's, and the range below it."""


@dataclass(frozen=True)
class Analysis:
    """Outputs of both networks for a whole recording, float16.

    Attributes:
        magnitude: relative to the recording's level, (T, F).
        masks: the separator's, (T, N, F).
        frame, onset: probabilities of the transcriptor, (T, N, P) each.
    """

    magnitude: np.ndarray
    masks: np.ndarray
    frame: np.ndarray
    onset: np.ndarray

    def __len__(self) -> int:
        return len(self.magnitude)

    def cut(self, start: int, stop: int) -> Outputs:
        """Frames start to stop, as the networks gave them but for rounding."""
        magnitude, *rest = (getattr(self, name)[start:stop].astype(np.float32) for name in NAMES)
        return Outputs(magnitude, *(values.transpose(1, 2, 0) for values in rest))


def open_analysis(folder: Path) -> Analysis:
    """The arrays in a folder, read from disk as they are needed."""
    return Analysis(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in NAMES))


def analyse(source: Source, model: Model, folder: Path, progress: Progress | None = None) -> dict[str, np.ndarray]:
    """Run both networks over a recording, store what they say in `folder`, and return the notes heard.

    Returns:
        instrument -> float64 (K, 4): onset s, offset s, pitch, velocity.
    """
    grid, count = model.grid, len(model.instruments)
    relative, frames = relative_magnitudes(source, grid, progress)
    widths = ((grid.bins,), (count, grid.bins), (count, PITCHES), (count, PITCHES))
    stored = Analysis(*(new_array(folder / f"{name}.npy", (frames, *w)) for name, w in zip(NAMES, widths, strict=True)))
    block = block_frames(BLOCK_SECONDS, grid, max(model.separator.context, model.transcriptor.context))
    outputs = network_outputs(relative, model, block, frames)
    return transcribe_stream(_kept(outputs, stored, grid), model, source, progress)


def new_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A file of float16 zeros to be written to as an array.

    Raises:
        Unwritable: the disk has no room for it: to find that out while writing would end the process.
    """
    with writing(path):
        array = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _kept(outputs: Iterator[Outputs], stored: Analysis, grid: Grid) -> Iterator[Posteriors]:
    """Store outputs, and hand on what the notes are decoded from."""
    done = 0
    for piece in outputs:
        place = slice(done, done + len(piece))
        done += len(piece)
        stored.magnitude[place] = piece.magnitude
        stored.masks[place], stored.frame[place], stored.onset[place] = (
            values.transpose(2, 0, 1) for values in (piece.masks, piece.frame, piece.onset)
        )
        strength = key_strength(torch.from_numpy(piece.magnitude.T[None].copy()), grid)[0].numpy().T
        frame, onset = (values.transpose(0, 2, 1) for values in (piece.frame, piece.onset))
        yield Posteriors(frame, onset, np.broadcast_to(strength, frame.shape))


def masks_again(
    analysis: Analysis,
    model: Model,
    notes: Mapping[str, np.ndarray],
    weight: float = SCORE_WEIGHT,
    present: np.ndarray | None = None,
    span: tuple[int, int] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Masks from notes for frames of `span` (all by default): first frame and masks float32 (N, F, t) at a time.

    Sounds are learnt from the span and `OVERLAP_SECONDS` on either side of it.

    Args:
        notes: instrument -> (K, 4), as `analyse` returns them.
        weight: of the notes beside the separator's masks, 0 to 1.
        present: who plays, bool (N,); None for all.
    """

    def cut(first: int, last: int) -> Outputs:
        outputs = analysis.cut(first, last)
        return outputs if present is None else replace(outputs, masks=only_present(outputs.masks, present, model.mask))

    start, stop = span or (0, len(analysis))
    around = model.grid.frames_in(OVERLAP_SECONDS) if span else 0
    low, high = max(start - around, 0), min(stop + around, len(analysis))
    playing = [each for n, each in enumerate(model.instruments) if present is None or present[n]]
    if not weight or not (parts := parts_of(notes, playing)):
        step = model.grid.frames_in(BLOCK_SECONDS)
        for first in range(start, stop, step):
            yield first, cut(first, min(first + step, stop)).masks
        return
    prior = ScorePrior(parts, named(model.instruments), model.grid)
    step = model.grid.frames_in(OVERLAP_SECONDS)
    outputs = (cut(first, min(first + step, high)) for first in range(low, high, step))
    first = low
    refined = refined_outputs(outputs, model, prior, high - low, present=present, weight=weight, offset=low)
    for _, masks in refined:
        begin, end = max(start, first), min(stop, first + masks.shape[2])
        if begin < end:
            yield begin, masks[..., begin - first : end - first]
        first += masks.shape[2]


def named(instruments: Sequence[Instrument]) -> tuple[Instrument, ...]:
    """The instruments, each of which takes the part of its name: `parts_of` says whose notes they are."""
    return tuple(replace(each, names=(each.name,)) for each in instruments)


def only_present(masks: np.ndarray, present: np.ndarray, kind: str) -> np.ndarray:
    """Masks float32 (N, F, t) as the separator gives them when it is told who plays, from those for all.

    Args:
        kind: of the masks; where it is `softmax`, the others share what those who do not play had.
    """
    own = np.where(present[:, None, None], masks, np.float32(0.0))
    if kind != "softmax":
        return own
    total = own.sum(axis=0)
    return np.where(total > 0, own / np.where(total > 0, total, 1), present[:, None, None] / np.float32(present.sum()))


def picture(magnitude: np.ndarray, grid: Grid) -> np.ndarray:
    """A spectrogram with the keys as its axis, uint8 (T, P * `ROWS_A_KEY`); 255 is `TOP_DB`.

    Args:
        magnitude: (T, F).
    """
    rows = LOWEST_PITCH - 0.5 + (np.arange(PITCHES * ROWS_A_KEY) + 0.5) / ROWS_A_KEY
    decibels = decibels_at(magnitude, 440.0 * 2.0 ** ((rows - 69.0) / 12.0), grid)
    return np.clip((decibels - TOP_DB) * (255.0 / RANGE_DB) + 255.0, 0, 255).astype(np.uint8)
