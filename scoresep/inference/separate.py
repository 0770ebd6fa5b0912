"""Audio to one stem per instrument. Called by `scoresep separate` and, through `separate_array`, by evaluation.

Stems have the rate, the channels and the length of the input; the input's phase is kept. Where the masks add up to
one (softmax) the stems add up to the input; otherwise what is missing is a stem of its own, `residual`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from scoresep.errors import ScoresepError
from scoresep.features.spectrogram import frames_to_spectrum
from scoresep.inference.source import ArraySource, FileSource, Progress, Source
from scoresep.inference.stream import (
    BLOCK_SECONDS,
    block_frames,
    level_of_source,
    magnitudes,
    model_audio,
    model_samples,
    network_blocks,
)
from scoresep.inference.synthesis import MaskMap, OverlapAdd, native_grid
from scoresep.training.checkpoint import Model

RESIDUAL = "residual"
NEGLIGIBLE = 1e-4
"""Root mean square of a residual, relative to the input's, below which (-80 dB) it is rounding and not written."""
SUBTYPE = "FLOAT"
"""Samples of the stems: 32-bit floats cannot clip, so the sum stays exact."""
LARGEST_WAV = 4_000_000_000
"""Bytes above which a stem is written as RF64, the WAV format with 64-bit lengths."""
NATIVE_FRAMES = 64
"""Frames synthesised at a time: bounds memory at high rates."""


@dataclass(frozen=True)
class Piece:
    """Consecutive samples of a separated recording.

    Attributes:
        mixture: the input, float32 (n, C).
        stems: float32 (N, n, C), in the order of the model's instruments.
    """

    mixture: np.ndarray
    stems: np.ndarray


def separate_array(
    mixture: np.ndarray, rate: int, model: Model, block_seconds: float = BLOCK_SECONDS
) -> dict[str, np.ndarray]:
    """Separate audio in memory.

    Args:
        mixture: (L,) or (L, C), any real type in full scale +-1.
        rate: its sample rate, Hz.

    Returns:
        instrument -> float32 of the shape of `mixture`.

    Raises:
        ScoresepError: no samples, or samples that are not numbers.
    """
    pieces = separate_stream(ArraySource(mixture, rate), model, block_seconds)
    stems = np.concatenate([piece.stems for piece in pieces], axis=1)
    return {name: stem.reshape(mixture.shape) for name, stem in zip(model.names, stems, strict=True)}


def separate_file(
    audio: str | Path,
    model: Model,
    out_dir: str | Path,
    block_seconds: float = BLOCK_SECONDS,
    progress: Progress | None = None,
) -> list[Path]:
    """Separate a file into `<out_dir>/<its name>/<instrument>.wav` (32-bit float).

    `residual.wav` is written beside them if the stems do not add up to the input. Nothing appears under a final name
    before all stems are whole. Memory depends on `block_seconds`, not on the length.

    Returns:
        the files written, in the order of the model's instruments, the residual last.

    Raises:
        ScoresepError: the audio cannot be read or the stems cannot be written.
    """
    source = FileSource(audio)
    pieces = separate_stream(source, model, block_seconds, progress)
    folder = Path(out_dir) / Path(audio).stem
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as temporary:
            names = [*model.names, RESIDUAL]
            written = [Path(temporary) / f"{name}.wav" for name in names]
            if _write(source, pieces, written) <= NEGLIGIBLE:
                written.pop().unlink()
                (folder / f"{RESIDUAL}.wav").unlink(missing_ok=True)
            return [path.replace(folder / path.name) for path in written]
    except (OSError, soundfile.LibsndfileError) as fault:
        raise ScoresepError(f"{folder} cannot be written ({fault}); check the disk or give another --out") from fault


def result_names(audio: Sequence[str | Path]) -> list[str]:
    """Names of the results of several inputs: the file names without suffix.

    Raises:
        ScoresepError: two inputs would write to the same place.
    """
    names = [Path(path).stem for path in audio]
    seen: dict[str, str | Path] = {}
    for name, path in zip(names, audio, strict=True):
        if name.casefold() in seen:  # file systems that ignore case exist
            raise ScoresepError(
                f"{seen[name.casefold()]} and {path} would both be written as '{name}'; rename one or run them apart"
            )
        seen[name.casefold()] = path
    return names


def separate_stream(
    source: Source, model: Model, block_seconds: float = BLOCK_SECONDS, progress: Progress | None = None
) -> Iterator[Piece]:
    """Separate a source piece by piece; the pieces do not overlap and together have its length.

    The source is read twice: at once, for its level (so that a fault of the file shows before anything is written),
    and for the pieces.
    """
    level = np.float32(level_of_source(source, model.grid))
    return _with_progress(_separated(source, model, level, block_seconds), source, progress)


def _separated(source: Source, model: Model, level: np.float32, block_seconds: float) -> Iterator[Piece]:
    """The way of the sound: recorder, mono at the model's rate, magnitudes, masks, stems."""
    grid, network = model.grid, model.separator.eval()
    recorder = Recorder(source)
    samples = model_samples(source, grid)
    frames = grid.frames(samples)
    relative = (part / level for part in magnitudes(model_audio(source, recorder.chunks(), grid), grid, samples))
    block = block_frames(block_seconds, grid, network.context)
    blocks = network_blocks(relative, lambda x: network(x)[0], network.context, block, frames, model.device)
    mapping = MaskMap(grid, native_grid(grid, source.rate))
    extended = (mapping.extend(masks, magnitude) for magnitude, masks in blocks)
    return _synthesise(extended, recorder, mapping, frames)


def _with_progress(pieces: Iterator[Piece], source: Source, progress: Progress | None) -> Iterator[Piece]:
    done = 0
    for piece in pieces:
        done += len(piece.mixture)
        yield piece
        if progress:
            progress(done / source.rate, source.samples / source.rate)


class Recorder:
    """Hands the chunks of a source on and keeps those that are still needed."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._parts: list[np.ndarray] = []
        self._first = 0  # sample at which the kept parts begin
        self.end = 0
        """Samples read so far."""

    @property
    def samples(self) -> int:
        """L: samples of the source."""
        return self._source.samples

    def chunks(self) -> Iterator[np.ndarray]:
        """The source's chunks, float32 (n, C) at a time."""
        for chunk in self._source.chunks():
            self._parts.append(chunk)
            self.end += len(chunk)
            yield chunk

    def cut(self, start: int, stop: int) -> np.ndarray:
        """Samples start to stop, float32 (C, stop - start); zeros before the beginning and after the end."""
        held = self._joined()
        inside = held[max(start - self._first, 0) : max(stop - self._first, 0)]
        before = max(-start, 0)
        return np.pad(inside.T, [(0, 0), (before, stop - start - before - len(inside))])

    def forget(self, before: int) -> None:
        """Let go of the samples up to `before` (their memory goes when the next chunks are joined to the rest)."""
        if before > self._first:
            self._parts = [self._joined()[before - self._first :]]
            self._first = before

    def _joined(self) -> np.ndarray:
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]


def _synthesise(extended: Iterator[np.ndarray], recorder: Recorder, mapping: MaskMap, frames: int) -> Iterator[Piece]:
    """Apply masks (N, t, F + 1) at a time, `frames` together, to the recorded sound."""
    native = mapping.native
    output = OverlapAdd(native, recorder.samples)
    total = -(-(recorder.samples + native.n_fft // 2) // native.hop)  # frames that begin before the end
    masks: np.ndarray | None = None
    first = done = emitted = 0
    for block in extended:
        masks = block if masks is None else np.concatenate([masks, block], axis=1)
        known = first + masks.shape[1]
        heard = (recorder.end - native.n_fft // 2) // native.hop + 1
        ready = total if known == frames else min(mapping.ready(known), heard, total)
        for start in range(done, ready, NATIVE_FRAMES):
            done = min(start + NATIVE_FRAMES, ready)
            sound = recorder.cut(start * native.hop - native.n_fft // 2, done * native.hop + native.n_fft // 2)
            spectra = [frames_to_spectrum(channel, done - start, native.n_fft, native.hop) for channel in sound]
            shares = mapping.masks_at(masks, first, start, done)
            stems = output.push(shares[:, None] * np.stack(spectra))
            count = stems.shape[-1]
            if count:
                yield Piece(recorder.cut(emitted, emitted + count).T, stems.transpose(0, 2, 1))
            emitted += count
            recorder.forget(min(emitted, done * native.hop - native.n_fft // 2))
        keep = min(int(mapping.frame_position(done)[0]), known - 1) - first
        masks, first = masks[:, max(keep, 0) :].copy(), first + max(keep, 0)


def _write(source: Source, pieces: Iterator[Piece], paths: Sequence[Path]) -> float:
    """Write stems and residual to `paths`; returns the residual's root mean square relative to the input's."""
    size = source.samples * source.channels * 4
    container = "WAV" if size < LARGEST_WAV else "RF64"
    rest = whole = 0.0
    with ExitStack() as stack:
        files = [
            stack.enter_context(soundfile.SoundFile(path, "w", source.rate, source.channels, SUBTYPE, format=container))
            for path in paths
        ]
        for piece in pieces:
            residual = piece.mixture - piece.stems.sum(axis=0)
            for file, samples in zip(files, [*piece.stems, residual], strict=True):
                file.write(samples)
            rest += float(np.square(residual, dtype=np.float64).sum())
            whole += float(np.square(piece.mixture, dtype=np.float64).sum())
    return float(np.sqrt(rest / whole)) if whole else 0.0
