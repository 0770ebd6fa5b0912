"""Variations of a batch that leave its score true: transposition and equalisation. Called by the training loop.

A corpus has few instruments and rooms; without variation a network learns them by heart. Both work on the magnitudes
alone, on the device, and both keep S_i = M_i X meaningful, because mixture and tracks change alike; true stems and the
templates of the teacher, where they are read, change as the mixture does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from scoresep.instruments import Instrument
from scoresep.training.stream import Batch

BANDS = 12
"""Supporting points of the random gain curve over frequency."""
LOWEST_BAND_HZ = 60.0


def vary(
    batch: Batch,
    semitones: int,
    decibels: float,
    bin_width: float,
    generator: torch.Generator,
    instruments: Sequence[Instrument],
) -> Batch:
    """Transpose each clip by up to `semitones` either way and equalise it by up to `decibels` either way."""
    if semitones:
        moves = torch.randint(-semitones, semitones + 1, (len(batch.crops),), generator=generator)
        batch = transpose(batch, moves, [instrument.pitched for instrument in instruments])
    if decibels:
        gains = equaliser(batch.magnitude.shape[:2], decibels, bin_width, generator).to(batch.magnitude.device)
        stems = None if batch.stems is None else batch.stems * gains[:, None]
        template = None if batch.template is None else batch.template * gains[:, None].mT
        batch = replace(batch, magnitude=batch.magnitude * gains, stems=stems, template=template)
    return batch


def transpose(batch: Batch, semitones: Tensor, pitched: Sequence[bool]) -> Batch:
    """Move clip b up by semitones[b] (int64 (B,)): the spectrum is stretched, rolls are shifted, masks are stretched.

    Rolls of instruments that are not `pitched` (N) stay: a drum keeps its name when it sounds higher. Stretching
    moves partials and resonances together, as playing a recording faster would, but keeps the tempo.
    """
    bins, device = batch.magnitude.shape[1], batch.magnitude.device
    source = torch.arange(bins)[None] / 2.0 ** (semitones[:, None] / 12.0)
    low = source.floor().long().clamp(max=bins - 1).to(device)
    high = (low + 1).clamp(max=bins - 1)
    share = (source.to(device) - low).clamp(0, 1).float()[..., None]
    inside = (source <= bins - 1).to(device)[..., None]
    clip = torch.arange(len(batch.crops), device=device)[:, None]

    def stretch(magnitude: Tensor) -> Tensor:
        """(B, F, ...) -> the same."""
        extra = (slice(None), slice(None), *[None] * (magnitude.ndim - 3))
        return torch.lerp(magnitude[clip, low], magnitude[clip, high], share[extra]) * inside[extra]

    nearest = source.round().long().clamp(max=bins - 1).to(device)
    harmonic = batch.harmonic.transpose(1, 2)[clip, nearest].transpose(1, 2) & inside[:, None]
    moves = semitones.tolist()
    rows = torch.tensor(pitched)
    roll, onset = (
        torch.stack([shift_pitch(values, move, rows) for values, move in zip(rolls, moves, strict=True)])
        for rolls in (batch.roll, batch.onset)
    )
    stems = None if batch.stems is None else stretch(batch.stems.transpose(1, 2)).transpose(1, 2)
    template = None if batch.template is None else stretch(batch.template.movedim(3, 1)).movedim(1, 3)
    return replace(
        batch,
        magnitude=stretch(batch.magnitude),
        roll=roll,
        onset=onset,
        harmonic=harmonic,
        stems=stems,
        template=template,
    )


def shift_pitch(roll: Tensor, semitones: int, pitched: Tensor) -> Tensor:
    """Move the `pitched` rows (bool (N,)) of a roll (N, P, T) up along P; keys that leave the piano are lost."""
    pitches = roll.shape[1]
    padded = functional.pad(roll, (0, 0, max(semitones, 0), max(-semitones, 0)))
    moved = padded[:, :pitches] if semitones >= 0 else padded[:, -pitches:]
    if pitched.all() or not len(roll):  # a stage that needs no onsets gets none
        return moved
    return torch.where(pitched.to(roll.device)[:, None, None], moved, roll)


def equaliser(shape: torch.Size, decibels: float, bin_width: float, generator: torch.Generator) -> Tensor:
    """Smooth random gains for (B, F): float32 (B, F, 1), between -decibels and +decibels, in octave-like bands."""
    count, bins = shape
    points = (2 * torch.rand(count, BANDS, generator=generator) - 1) * decibels
    octaves = torch.log2((torch.arange(bins) * bin_width).clamp_min(LOWEST_BAND_HZ) / LOWEST_BAND_HZ)
    place = octaves / octaves[-1] * (BANDS - 1)
    low = place.floor().long().clamp(max=BANDS - 2)
    curve = torch.lerp(points[:, low], points[:, low + 1], (place - low)[None])
    return (10.0 ** (curve / 20.0))[..., None]
