"""From chunks of audio to a network's outputs, block by block.

Every step is a generator with a bounded memory, and none of their results depends on how the audio was cut: the
resampler keeps its state from chunk to chunk, frames are cut where `audio.spectrogram.stft` cuts them, and a block
of frames goes through the network together with all the neighbours (`context`) that its outputs depend on. At the two
ends of the recording there are no neighbours, in a block as in the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import soxr
import torch
from torch import Tensor

from scoresep.audio.loading import average
from scoresep.audio.source import Progress, Source
from scoresep.audio.spectrogram import combine_levels, frames_to_spectrum
from scoresep.grid import Grid

BLOCK_SECONDS = 30.0
"""Audio that goes through a network at a time (its context comes on top)."""
PIECE_SECONDS = 60.0
"""Audio that is factorised at a time, where a separation is refined."""


def model_samples(source: Source, grid: Grid) -> int:
    """Length of the source at the model's rate, in samples: ceil(L * model rate / rate)."""
    return -(-source.samples * grid.sample_rate // source.rate)


def resampled(chunks: Iterator[np.ndarray], rate: int, new_rate: int, samples: int) -> Iterator[np.ndarray]:
    """Mono chunks at another rate: float32 (n,) at a time, `samples` together.

    Equal, sample by sample, to `audio.loading.resample` of the whole.
    """
    pieces = chunks if rate == new_rate else _resample_pieces(chunks, rate, new_rate)
    left = samples
    for piece in pieces:
        piece = piece[:left]
        left -= len(piece)
        yield piece
    if left:  # soxr rounds the length down now and then
        yield np.zeros(left, dtype=np.float32)


def _resample_pieces(chunks: Iterator[np.ndarray], rate: int, new_rate: int) -> Iterator[np.ndarray]:
    stream = soxr.ResampleStream(rate, new_rate, 1, dtype="float32", quality="HQ")
    for chunk in chunks:
        yield stream.resample_chunk(np.ascontiguousarray(chunk))
    yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def model_audio(source: Source, chunks: Iterator[np.ndarray], grid: Grid) -> Iterator[np.ndarray]:
    """What the networks hear of `chunks` (n, C) of `source`: mono at the model's rate, float32 (n,) at a time."""
    return resampled(map(average, chunks), source.rate, grid.sample_rate, model_samples(source, grid))


def level_of_source(source: Source, grid: Grid, progress: Progress | None = None) -> float:
    """Level of the whole recording at the model's rate (`audio.spectrogram.level_of`): one pass over the source."""
    samples, done = model_samples(source, grid), 0
    energies = []
    for piece in model_audio(source, source.chunks(), grid):
        energies.append(float(np.square(piece, dtype=np.float64).sum()))
        done += len(piece)
        if progress:
            progress("measuring", done / grid.sample_rate, samples / grid.sample_rate)
    return combine_levels(energies, samples)


def magnitudes(pieces: Iterator[np.ndarray], grid: Grid, samples: int) -> Iterator[np.ndarray]:
    """Magnitudes of `samples` samples that come in pieces (n,): float32 (t, F) at a time.

    Together they have `grid.frames(samples)` frames and equal the absolute value of `stft` of the whole.
    """
    buffer = np.zeros(grid.n_fft // 2, dtype=np.float32)
    left = grid.frames(samples)
    for piece in pieces:
        buffer = np.concatenate([buffer, piece])
        ready = min((len(buffer) - grid.n_fft) // grid.hop + 1, left)
        if ready > 0:
            yield np.abs(frames_to_spectrum(buffer, ready, grid.n_fft, grid.hop))
            buffer = buffer[ready * grid.hop :]
            left -= ready
    if left:
        buffer = np.pad(buffer, (0, grid.n_fft + left * grid.hop))
        yield np.abs(frames_to_spectrum(buffer, left, grid.n_fft, grid.hop))


def relative_magnitudes(
    source: Source, grid: Grid, progress: Progress | None = None
) -> tuple[Iterator[np.ndarray], int]:
    """Magnitudes of a source divided by its level, float32 (t, F) at a time, and how many frames they have together.

    The source is read twice: at once, for its level, and for the magnitudes.
    """
    level, samples = np.float32(level_of_source(source, grid, progress)), model_samples(source, grid)
    pieces = magnitudes(model_audio(source, source.chunks(), grid), grid, samples)
    return (piece / level for piece in pieces), grid.frames(samples)


Forward = Callable[[Tensor], Tensor]
"""Magnitudes relative to the level (1, F, t), on the model's device -> outputs (..., t)."""


def network_blocks(
    relative: Iterator[np.ndarray], network: Forward, context: int, block: int, frames: int, device: torch.device
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Run `network` over T = `frames` frames, `block` at a time.

    Args:
        relative: magnitudes divided by the level, float32 (t, F) at a time, T together.
        network: see `Forward`; run in inference mode.
        context: frames on either side that an output frame depends on.

    Yields:
        the block's own magnitudes (t, F) and outputs (..., t), float32; t is `block` but for the last.
    """
    buffer: list[np.ndarray] = []
    first = last = 0  # the buffer has the frames from `first` up to `last`
    for start in range(0, frames, block):
        end = min(start + block, frames)
        while last < min(end + context, frames):
            buffer.append(next(relative))
            last += len(buffer[-1])
        window = np.concatenate(buffer)[max(start - context, 0) - first :]
        first = max(start - context, 0)
        inputs = window[: end + context - first]
        with torch.inference_mode():
            outputs = network(torch.from_numpy(inputs.T[None].copy()).to(device)).cpu().numpy()
        yield window[start - first : end - first], outputs[..., start - first : end - first]
        buffer = [window]


def block_frames(seconds: float, grid: Grid, context: int) -> int:
    """Frames of a block of `seconds`; at least the context, so that at most two thirds of the work is context."""
    return max(round(seconds * grid.frame_rate), context, 1)
