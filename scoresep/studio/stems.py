"""Masks to stems of any span: a sample has the same value whatever span it is made with.

Axes: T frames, N instruments, F bins, C channels, n samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from scoresep.audio.decoding.recording import CHUNK
from scoresep.audio.source import Progress
from scoresep.audio.spectrogram import OverlapAdd, frames_to_spectrum
from scoresep.files import system_name
from scoresep.grid import Grid
from scoresep.separation.mask_resampling import MaskMap, native_grid
from scoresep.separation.separate import NATIVE_FRAMES
from scoresep.separation.writing import LARGEST_WAV


def read_span(path: Path, start: int, stop: int) -> np.ndarray:
    """Samples start to stop of an uncompressed file, float32 (n, C); zeros before its beginning and after its end."""
    with soundfile.SoundFile(system_name(path)) as file:
        begin, end = (min(max(place, 0), file.frames) for place in (start, stop))
        file.seek(begin)
        inside = file.read(end - begin, dtype="float32", always_2d=True)
    return np.pad(inside, [(begin - start, stop - end), (0, 0)])


def stems_between(
    mixture: Path, magnitude: np.ndarray, masks: np.ndarray, grid: Grid, start: int, stop: int, complete: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Stems of samples start to stop: first sample and float32 (S, n, C) at a time; with a residual if not `complete`.

    Args:
        mixture: an uncompressed audio file.
        magnitude: of the whole recording, (T, F).
        masks: of the whole recording, (T, N, F).
        grid: of both.
    """
    info = soundfile.info(system_name(mixture))
    native = native_grid(grid, info.samplerate)
    mapping, half = MaskMap(grid, native), native.n_fft // 2
    total = -(-(info.frames + half) // native.hop)  # frames that begin before the end
    first = max((start - native.n_fft) // native.hop, 0)  # its samples, and a window's before, are incomplete
    adder, position = OverlapAdd(native.n_fft, native.hop, info.frames - first * native.hop), first * native.hop
    last = min(-(-(stop + half) // native.hop), total)
    for begin in range(first, last, NATIVE_FRAMES):
        end = min(begin + NATIVE_FRAMES, last)
        sound = read_span(mixture, begin * native.hop - half, end * native.hop + half).T
        spectra = np.stack([frames_to_spectrum(channel, end - begin, native.n_fft, native.hop) for channel in sound])
        stems = adder.push(_shares(masks, magnitude, mapping, begin, end, complete)[:, None] * spectra)
        count = stems.shape[-1]
        low, high = max(start, position), min(stop, position + count)
        if low < high:
            inside = stems[..., low - position : high - position].transpose(0, 2, 1)
            yield low, _adding_up(np.ascontiguousarray(inside), read_span(mixture, low, high), complete)
        position += count


def _adding_up(stems: np.ndarray, mixture: np.ndarray, complete: bool) -> np.ndarray:
    """Stems (S, n, C) that add up to the mixture (n, C): what is missing is a residual or, if it is only a rounding,
    the loudest stem's, sample by sample, so that who does not play stays silent."""
    missing = mixture - stems.sum(axis=0, dtype=np.float64)
    if not complete:
        return np.concatenate([stems, missing[None].astype(np.float32)])
    loudest = np.abs(stems).argmax(axis=0)[None]
    np.put_along_axis(stems, loudest, np.take_along_axis(stems, loudest, axis=0) + missing.astype(np.float32), axis=0)
    return stems


def _shares(
    masks: np.ndarray, magnitude: np.ndarray, mapping: MaskMap, begin: int, end: int, complete: bool
) -> np.ndarray:
    """Masks of native frames begin to end, float32 (N, t, F native)."""
    low = min(int(mapping.frame_position(begin)[0]), len(masks) - 1)
    high = int(mapping.frame_position(end - 1)[0]) + 2
    cut = masks[low:high].astype(np.float32).transpose(1, 2, 0)
    if complete:
        cut /= cut.sum(axis=0)  # float16 does not add up to 1
    extended = mapping.extend(cut, magnitude[low:high].astype(np.float32))
    return mapping.masks_at(extended, low, begin, end)


def write_span(
    files: list[Path], pieces: Iterator[tuple[int, np.ndarray]], progress: Progress | None, start: float, stop: float
) -> None:
    """Write stems (S, n, C) into files that exist, from the sample on that comes with each piece.

    Args:
        start, stop: the span in samples, for `progress`.
    """
    opened = [soundfile.SoundFile(system_name(path), "r+") for path in files]
    try:
        for first, stems in pieces:
            for file, samples in zip(opened, stems, strict=True):
                file.seek(first)
                file.write(samples)
            if progress:
                progress("writing", first + stems.shape[1] - start, stop - start)
    finally:
        for file in opened:
            file.close()


def empty_stems(files: list[Path], rate: int, channels: int, samples: int) -> None:
    """Silent files of float samples, to be written into."""
    nothing = np.zeros((CHUNK, channels), dtype=np.float32)
    for path in files:
        container = "RF64" if samples * channels * 4 >= LARGEST_WAV else "WAV"
        with soundfile.SoundFile(system_name(path), "w", rate, channels, "FLOAT", format=container) as file:
            for first in range(0, samples, CHUNK):
                file.write(nothing[: min(CHUNK, samples - first)])
