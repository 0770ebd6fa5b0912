"""Variations of a batch that leave its score true: transposition, equalisation, and mixtures of other clips.

A corpus has few instruments and rooms; without variation a network overfits to them. All work on the magnitudes
alone, on the device, and keep S_i = M_i X meaningful, because mixture and tracks change alike; true stems and the
templates of the teacher, where they are read, change as the mixture does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from scoresep.instruments import Instrument
from scoresep.losses.batch import Batch
from scoresep.losses.formulas import shares, teacher_magnitudes
from scoresep.machine import constant, sent

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
    shape = batch.magnitude.shape[:2]
    moves = torch.randint(-semitones, semitones + 1, shape[:1], generator=generator) if semitones else None
    gains = equaliser(shape, decibels, bin_width, generator) if decibels else None
    if moves is not None:  # gains come with it: a pass over all magnitudes is saved
        return transpose(batch, moves, [instrument.pitched for instrument in instruments], gains)
    return batch if gains is None else equalise(batch, gains)


def remix(batch: Batch, share: float, decibels: float, generator: torch.Generator) -> Batch:
    """Make some of the clips anew, of parts that the teacher takes from any clips of the batch.

    X' = sum_i g_i M^t_i X of clips r_i, magnitudes of which add up as S_i = M_i X do. Instrument by instrument r_i is
    drawn from the batch, with its score, and g_i from `decibels` either way. As random mixing of stems (Uhlich et al.,
    ICASSP 2017), but without stems.

    Args:
        batch: with the teacher's factors.
        share: of the clips that are made anew; the others stay as they were recorded.
    """
    assert batch.template is not None and batch.activation is not None, "remixing asks for the teacher's factors"
    clips, instruments = batch.template.shape[:2]
    anew = torch.rand(clips, 1, generator=generator) < share
    drawn = torch.randint(clips, (clips, instruments), generator=generator)
    levels = (2 * torch.rand(clips, instruments, generator=generator) - 1) * decibels * anew
    device, rows = batch.magnitude.device, torch.arange(instruments)[None]
    source = sent(torch.where(anew, drawn, torch.arange(clips)[:, None]) * instruments + rows, device).flatten()
    gains = sent(10.0 ** (levels / 20.0), device)[..., None, None]

    def exchanged(values: Tensor) -> Tensor:
        """(B, N, ...), if there is an N -> the same."""
        return values.flatten(0, 1)[source].view_as(values) if values.shape[1] else values

    parts = shares(teacher_magnitudes(batch.template, batch.activation)).mul_(batch.magnitude.unsqueeze(1))
    parts = exchanged(parts).mul_(gains)
    return replace(
        batch,
        magnitude=parts.sum(1),
        parts=parts,
        roll=exchanged(batch.roll),
        onset=exchanged(batch.onset),
        harmonic=exchanged(batch.harmonic),
    )


def equalise(batch: Batch, gains: Tensor) -> Batch:
    """Multiply the magnitudes of clip b at bin f by gains[b, f], float32 (B, F)."""
    gains = sent(gains, batch.magnitude.device)
    return replace(
        batch,
        magnitude=batch.magnitude * gains[..., None],
        stems=None if batch.stems is None else batch.stems * gains[:, None, :, None],
        template=None if batch.template is None else batch.template * gains[:, None, None],
    )


def transpose(batch: Batch, semitones: Tensor, pitched: Sequence[bool], gains: Tensor | None = None) -> Batch:
    """Move clip b up by semitones[b] (int64 (B,)): the spectrum is stretched, rolls are shifted, masks are stretched.

    Rolls of instruments that are not `pitched` (N) stay: a drum keeps its name when it sounds higher. Stretching
    moves partials and resonances together, as playing a recording faster would, but keeps the tempo. Where there are
    `gains`, the result is equalised by them (`equalise`).

    What is small (rows, shares, gains) is computed on the CPU and sent: on a GPU it would be twenty tiny kernels.
    """
    bins, device = batch.magnitude.shape[1], batch.magnitude.device
    source = torch.arange(bins)[None] / 2.0 ** (semitones[:, None] / 12.0)
    low = source.floor().long().clamp(max=bins - 1)
    high = (low + 1).clamp(max=bins - 1)
    share = (source - low).clamp(0, 1).float()
    inside = source <= bins - 1
    gain = inside.float() if gains is None else inside * gains
    near = sent(torch.stack([low, high], dim=-1), device)
    weights = sent(torch.stack([(1 - share) * gain, share * gain], dim=-1), device)

    def stretch_last(template: Tensor) -> Tensor:
        """(B, ..., F) -> the same."""
        low, high = (
            template.gather(-1, aligned(near[..., k], template.ndim).expand_as(template))
            * aligned(weights[..., k], template.ndim)
            for k in range(2)
        )
        return low + high

    nearest, inside = sent(source.round().long().clamp(max=bins - 1), device), sent(inside, device)
    return replace(
        batch,
        magnitude=blend_rows(batch.magnitude, near, weights),
        roll=shift_pitch(batch.roll, semitones, pitched),
        onset=shift_pitch(batch.onset, semitones, pitched),
        harmonic=take_rows(batch.harmonic, nearest).logical_and_(inside[:, None, :, None]),
        stems=None if batch.stems is None else blend_rows(batch.stems, near, weights),
        template=None if batch.template is None else stretch_last(batch.template),
    )


def aligned(values: Tensor, axes: int) -> Tensor:
    """(B, F) -> (B, 1, ..., F) of so many axes."""
    return values.reshape(len(values), *[1] * (axes - 2), values.shape[1])


def take_rows(values: Tensor, rows: Tensor) -> Tensor:
    """Rows of clips (B, ..., F, T), rows[b] (int64 (B, R)) of clip b: (B, ..., R, T), whole rows copied at once."""
    *lead, height, width = values.shape
    index = flat_rows(rows, lead, height)
    return values.reshape(-1, width).index_select(0, index.flatten()).view(*lead, rows.shape[1], width)


def blend_rows(values: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows of clips, float32 (B, ..., F, T), in one pass over them.

    Row r of clip b is the sum over k of weights[b, r, k] (float32 (B, R, K)) times row rows[b, r, k] (int64 (B, R, K)).
    """
    *lead, height, width = values.shape
    count, terms = rows.shape[1:]
    index = flat_rows(rows.flatten(1), lead, height).view(-1, terms)
    shares = aligned(weights.flatten(1), len(lead) + 1).expand(*lead, -1).reshape(-1, terms)
    table = values.reshape(-1, width)
    return embedding_bag(index, table, mode="sum", per_sample_weights=shares).view(*lead, count, width)


def flat_rows(rows: Tensor, lead: Sequence[int], height: int) -> Tensor:
    """Places of rows[b] (int64 (B, R)) of clips (*lead, F, T) among the rows of all, F = `height`: int64 (*lead, R)."""
    block = torch.arange(prod(lead), device=rows.device).view(*lead, 1)
    return block * height + aligned(rows, len(lead) + 1)


def shift_pitch(roll: Tensor, semitones: Tensor, pitched: Sequence[bool]) -> Tensor:
    """Move the `pitched` rows (N) of rolls (B, N, P, T) up along P, clip b by semitones[b].

    Keys that leave the piano are lost.
    """
    pitches, device = roll.shape[2], roll.device
    source = torch.arange(pitches)[None] - semitones[:, None]
    on_piano = sent((source >= 0) & (source < pitches), device)[:, None, :, None]
    moved = take_rows(roll, sent(source.clamp(0, pitches - 1), device)) * on_piano
    if all(pitched) or not roll.shape[1]:  # onsets are only there where a stage reads them
        return moved
    return torch.where(constant(tuple(pitched), device)[:, None, None], moved, roll)


def equaliser(shape: torch.Size, decibels: float, bin_width: float, generator: torch.Generator) -> Tensor:
    """Smooth random gains, float32 (B, F), between -decibels and +decibels, in octave-like bands."""
    count, bins = shape
    points = (2 * torch.rand(count, BANDS, generator=generator) - 1) * decibels
    octaves = torch.log2((torch.arange(bins) * bin_width).clamp_min(LOWEST_BAND_HZ) / LOWEST_BAND_HZ)
    place = octaves / octaves[-1] * (BANDS - 1)
    low = place.floor().long().clamp(max=BANDS - 2)
    curve = torch.lerp(points[:, low], points[:, low + 1], (place - low)[None])
    return 10.0 ** (curve / 20.0)
