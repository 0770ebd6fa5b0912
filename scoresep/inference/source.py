"""Where the audio comes from: a file or an array, read front to back in chunks. Called by `separate` and `transcribe`.

A source can be read more than once (the level of a recording is measured before it is used) and never seeks, because
libFLAC 1.4.0-1.4.2 seeks wrongly. Unlike `features.audio.read_audio` it never holds the whole recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from scoresep.errors import ScoresepError, first_line
from scoresep.features.audio import check_header, check_whole
from scoresep.files import existing_file
from scoresep.inference.arguments import as_audio, as_rate

CHUNK = 1 << 16
"""Samples read at a time; fewer where there are more than two channels."""

Progress = Callable[[str, float, float], None]
"""Called with what is done (`measuring`, `separating`, ...), seconds done and seconds in all."""


class Source(Protocol):
    """Audio of known rate (Hz), channels C and length L (samples)."""

    rate: int
    channels: int
    samples: int

    def chunks(self) -> Iterator[np.ndarray]:
        """The audio from its beginning, float32 (n, C) at a time, L samples together."""
        ...


class FileSource:
    """An audio file of any format that libsndfile reads.

    Raises:
        ScoresepError: no such file, not audio, no samples, a header that cannot be true; while reading: truncated or
            damaged, or samples that are not numbers.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = existing_file(path, "audio file", "check the name")
        try:
            with soundfile.SoundFile(self.path) as file:
                self.rate, self.channels, self.samples = file.samplerate, file.channels, file.frames
        except (soundfile.LibsndfileError, OSError, ValueError) as fault:
            raise ScoresepError(
                f"{path} is not readable audio ({first_line(fault)}); convert it to WAV or FLAC"
            ) from fault
        check_header(path, self.samples, self.rate)
        if not self.samples:
            raise ScoresepError(f"{path} is empty: it holds no samples; leave it out")

    def chunks(self) -> Iterator[np.ndarray]:
        """See `Source.chunks`."""
        count, size = 0, max(2 * CHUNK // max(self.channels, 2), 1)
        try:
            with soundfile.SoundFile(self.path) as file:
                while len(chunk := file.read(size, dtype="float32", always_2d=True)):
                    count += len(chunk)
                    _check_finite(chunk, self.path)
                    yield chunk
                check_whole(self.path, file.format, file.extra_info)
        except (soundfile.LibsndfileError, OSError) as fault:
            raise ScoresepError(f"{self.path} cannot be read to its end ({first_line(fault)}); replace it") from fault
        if count != self.samples:
            raise ScoresepError(f"{self.path} is truncated: {count} of {self.samples} samples; replace it")


class ArraySource:
    """Audio in memory: (L,) or (L, C), turned to float32; `shape` is as given.

    Raises:
        ScoresepError: as `arguments.as_audio` and `arguments.as_rate`.
    """

    def __init__(self, samples: np.ndarray, rate: int) -> None:
        self.rate, self._samples = as_rate(rate), as_audio(samples)
        self.shape = np.shape(samples)
        self.samples, self.channels = self._samples.shape

    def chunks(self) -> Iterator[np.ndarray]:
        """See `Source.chunks`."""
        for first in range(0, self.samples, CHUNK):
            yield self._samples[first : first + CHUNK]


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


def mono(chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Channels averaged: float32 (n, C) -> (n,) at a time, as `features.audio.read_audio` does."""
    for chunk in chunks:
        yield chunk[:, 0] if chunk.shape[1] == 1 else chunk.mean(axis=1)


def _check_finite(samples: np.ndarray, name: str | Path) -> None:
    if not np.isfinite(samples).all():
        raise ScoresepError(f"{name} holds samples that are not numbers; replace it")
