"""The teacher's factors of clips, gathered from where they are stored.

Stored are the templates of a whole track and, frame by frame, which of them sound how strongly (`nmf`). A clip needs a
contiguous slice of the latter and the few templates that occur in it. They are moved as they are; a matrix product on
the device (`losses.formulas.teacher_magnitudes`) makes (B, N, F, T) of them, several times as many numbers.

Axes besides those of `losses`: U templates of an instrument in a clip, as many as any instrument of the batch needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Rows = Callable[[str, int, int], np.ndarray]
"""Of one track: rows first to first + count of a dataset, counted from the track's own first."""


class Excerpt(NamedTuple):
    """Factors of one clip of T frames.

    Attributes:
        templates: float16 (K, F), of the components that occur, ordered by instrument.
        activation: float16 (K, T).
        instrument: int (K,), ascending.
    """

    templates: np.ndarray
    activation: np.ndarray
    instrument: np.ndarray


def excerpt(rows: Rows, templates: int, length: int, first: int, frames: int) -> Excerpt:
    """The factors of frames first to first + frames of a track with so many templates and frames.

    Nothing sounds after the track's end.
    """
    here = max(0, min(frames, length - first))
    before = min(first, 1)  # where the frame before the clip ends, the clip's entries begin
    ends = rows("activation_end", first - before, here + before if here else 0).astype(np.int64)
    ends = np.concatenate([np.zeros(1 - before, dtype=np.int64), ends]) if here else np.zeros(1, dtype=np.int64)
    begin, count = int(ends[0]), int(ends[-1] - ends[0])
    used, place = np.unique(rows("component", begin, count), return_inverse=True)
    activation = np.zeros((len(used), frames), dtype=np.float16)
    activation[place, np.repeat(np.arange(len(ends) - 1), np.diff(ends))] = rows("activation", begin, count)
    runs = np.split(used, np.flatnonzero(np.diff(used.astype(np.int64)) > 1) + 1)
    spectra = [rows("template", int(run[0]) if len(run) else 0, len(run)) for run in runs]
    return Excerpt(np.concatenate(spectra), activation, rows("template_of", 0, templates)[used, 0])


def collate(clips: Sequence[Excerpt], instruments: int) -> dict[str, Tensor]:
    """The factors of a batch: `template`, float16 (B, N, U, F), and `activation`, float16 (B, N, U, T), with zeros
    where an instrument has fewer than U."""
    bounds = [np.searchsorted(clip.instrument, np.arange(instruments + 1)) for clip in clips]
    width = max(int(np.diff(bound).max()) for bound in bounds)
    shape = (len(clips), instruments, width)
    template, activation = (torch.zeros((*shape, values.shape[1]), dtype=torch.float16) for values in clips[0][:2])
    for clip, bound, spectra, active in zip(clips, bounds, template.numpy(), activation.numpy(), strict=True):
        for n in range(instruments):
            own = slice(bound[n], bound[n + 1])
            spectra[n, : bound[n + 1] - bound[n]] = clip.templates[own]
            active[n, : bound[n + 1] - bound[n]] = clip.activation[own]
    return {"template": template, "activation": activation}
