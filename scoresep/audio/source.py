"""Audio read front to back in chunks: of a file (`audio.decoding.recording.Recording`) or an array.

A source can be read more than once (the level of a recording is measured before it is used). Unlike
`audio.loading.read_audio` it never holds the whole recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from scoresep.arguments import as_audio, as_rate
from scoresep.audio.decoding.recording import CHUNK

Progress = Callable[[str, float, float], None]
"""Called with what is done (`measuring`, `separating`, ...), seconds done and seconds in all."""


class Source(Protocol):
    """Audio of known rate (Hz), channels C and length L (samples)."""

    @property
    def rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def samples(self) -> int: ...

    def chunks(self, dtype: type = np.float32) -> Iterator[np.ndarray]:
        """The audio from its beginning, (n, C) at a time, L samples together; float64 holds 32-bit samples exactly."""
        ...


class ArraySource:
    """Audio in memory: (L,) or (L, C), turned to float32; `shape` is as given.

    Raises:
        ScoresepError: as `arguments.as_audio` and `arguments.as_rate`.
    """

    def __init__(self, samples: ArrayLike, rate: int) -> None:
        self.rate, self._samples = as_rate(rate), as_audio(samples)
        self.shape = np.shape(samples)
        self.samples, self.channels = self._samples.shape

    def chunks(self, dtype: type = np.float32) -> Iterator[np.ndarray]:
        """See `Source.chunks`."""
        for first in range(0, self.samples, CHUNK):
            yield self._samples[first : first + CHUNK].astype(dtype, copy=False)


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
