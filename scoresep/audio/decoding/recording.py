"""An audio file, read front to back in blocks: the one way from files to samples.

It never seeks, because libFLAC 1.4.0-1.4.2 seeks wrongly, and a decoder of MP3 loses what frames share
when it does (`soundfile.SoundFile.read` seeks after every block).
"""

from __future__ import annotations

import io
import mmap
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from scoresep.audio.decoding import chunked, mpeg, xiph
from scoresep.audio.decoding.formats import FORMATS, REPLACE, conversion, unread_format
from scoresep.audio.decoding.splice import Spliced, Stream
from scoresep.errors import Damaged, WrongFormat, first_line
from scoresep.files import existing_file
from scoresep.grid import HIGHEST_RATE, LOWEST_RATE

MOST_SAMPLES_A_BYTE = 5000
"""FLAC holds 65535 samples of silence in 14 bytes; no other format holds more."""
CHUNK = 1 << 16
"""Samples read at a time unless another number is asked for."""
FAULTS = (soundfile.SoundFileError, OSError, ValueError, TypeError)
"""What soundfile raises for files that are at fault."""


class _Straight(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file that is read without seeking."""

    def seekable(self) -> bool:
        return False


@dataclass(frozen=True)
class Recording:
    """An audio file.

    Attributes:
        path: the file.
        rate: Hz.
        channels: C.
        samples: L, per channel: what decodes.
        integers: whether samples are stored as integers, so that none can be infinite.
        streams: what it is made of, in order.
    """

    path: Path
    rate: int
    channels: int
    samples: int
    integers: bool
    streams: tuple[Stream, ...]

    def chunks(self, dtype: type = np.float32, size: int = CHUNK) -> Iterator[np.ndarray]:
        """The samples from the beginning, of full scale +-1: (n, C) at a time, L together.

        Args:
            dtype: float32, or float64, which holds samples of 32 bits exactly.
            size: samples at a time at most; fewer where there are more than two channels.

        Raises:
            Damaged: the file ends before that, cannot be read, or holds NaN or infinite samples.
        """
        count = 0
        for stream in self.streams:
            for block in _decoded(self.path, stream, max(2 * size // max(self.channels, 2), 1), dtype):
                if not self.integers and not np.isfinite(block).all():
                    raise Damaged("holds samples that are not numbers", file=self.path, remedy=REPLACE)
                count += len(block)
                yield block
        if count != self.samples:
            raise Damaged(f"truncated: {count} of {self.samples} samples", file=self.path, remedy=REPLACE)


def open_recording(path: str | Path) -> Recording:
    """Find out what an audio file holds; no samples are decoded unless only that tells how many there are.

    Raises:
        NotFound: no such file.
        WrongFormat: it is not audio, or of a format that is not read.
        Damaged: it is truncated or damaged, holds no samples, or its header cannot be true.
    """
    path = existing_file(path, "audio file", "check the name")
    links = [_inspect(path, stream) for stream in _find_streams(path)]
    if any((link.rate, link.channels) != (links[0].rate, links[0].channels) for link in links):
        raise WrongFormat("changes its rate or channels within", file=path, remedy=conversion(path))
    samples = sum(link.samples for link in links)
    if not samples:
        raise Damaged("empty: it holds no samples", file=path, remedy="leave it out")
    return replace(links[0], samples=samples, streams=tuple(stream for link in links for stream in link.streams))


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _find_streams(path: Path) -> list[Stream]:
    try:
        with _mapped(path) as data:
            streams = _streams_of(str(path), data)
    except (OSError, ValueError) as fault:  # ValueError: it has no bytes
        reason = first_line(fault) if path.stat().st_size else "it is a file of no bytes"
        raise Damaged(f"not readable audio ({reason})", file=path, remedy="replace or remove it") from fault
    if not streams:
        problem = f"not readable audio (it is no {FORMATS} file)"
        raise WrongFormat(problem, file=path, remedy="convert it to WAV or FLAC")
    return streams


def _streams_of(name: str, data: mmap.mmap) -> list[Stream]:
    """The streams of a file, by what it begins with; none if that is no audio."""
    start = mpeg.after_tags(data, 0, len(data))
    head = data[start : start + 32]
    if other := unread_format(head):
        raise WrongFormat(f"{other} is not read", file=name, remedy=conversion(name))
    if not start and head[:4] in chunked.LAYOUTS:
        return chunked.find_streams(name, data)
    if not start and head[:4] in chunked.AU_ORDERS:
        return chunked.find_au(name, data)
    if head[:4] == b"fLaC":
        return xiph.find_flac(data, start)
    if head[:4] == b"OggS":
        return xiph.find_ogg(name, data, start)
    return mpeg.find_streams(name, data, start, len(data))


def _inspect(path: Path, stream: Stream) -> Recording:
    """What one stream of a file holds."""
    with _opened(path, stream) as file:
        stated = file.frames if stream.samples is None else stream.samples
        rate, channels, integers = file.samplerate, file.channels, file.subtype.startswith("PCM_")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise Damaged(f"damaged: its header says {rate} Hz", file=path, remedy=REPLACE)
    if stated > MOST_SAMPLES_A_BYTE * path.stat().st_size:
        problem = f"damaged: its header says {stated} samples, more than it can hold"
        raise Damaged(problem, file=path, remedy=REPLACE)
    samples = stated or sum(map(len, _decoded(path, stream, max(CHUNK // channels, 1), np.float32)))
    return Recording(path, rate, channels, samples, integers, (replace(stream, samples=samples),))


def _decoded(path: Path, stream: Stream, size: int, dtype: type) -> Iterator[np.ndarray]:
    """What counts of a stream: (n, C) at a time."""
    skip, left = stream.skip, stream.skip + (stream.samples or sys.maxsize)
    with _opened(path, stream) as file:
        while left and len(block := _read(path, file, min(size, left), dtype)):
            left -= len(block)
            if len(block) > skip:
                yield block[skip:]
            skip = max(skip - len(block), 0)
        if stream.last and stream.samples and not left and _goes_on(path, file):
            raise WrongFormat("holds more samples than its header says", file=path, remedy=conversion(path))
        if damage := re.search(r"^Ogg.*(unexpected|Corrupt|a hole at|Junk|lacks).*", file.extra_info, re.MULTILINE):
            raise Damaged(f"damaged ({damage[0].strip()})", file=path, remedy=REPLACE)


@contextmanager
def _opened(path: Path, stream: Stream) -> Iterator[soundfile.SoundFile]:
    with ExitStack() as stack:
        try:
            source = stack.enter_context(io.BufferedReader(Spliced(path, stream.parts), CHUNK))
            file = stack.enter_context(_Straight(source))
            if file.subtype == "OPUS":
                file.seek(0)  # else samples before the first are not left out where the stream's clock begins late
        except FAULTS as fault:
            problem = f"not readable audio ({_reason(fault)})"
            raise Damaged(problem, file=path, remedy="replace it, or convert it to WAV or FLAC") from fault
        yield file


def _read(path: Path, file: soundfile.SoundFile, count: int, dtype: type) -> np.ndarray:
    try:
        block: np.ndarray = file.read(count, dtype=np.dtype(dtype).name, always_2d=True)
        return block
    except FAULTS as fault:
        raise Damaged(f"cannot be read to its end ({_reason(fault)})", file=path, remedy=REPLACE) from fault


def _reason(fault: Exception) -> str:
    """What libsndfile says, without soundfile's name for the object that it reads from."""
    return fault.error_string if isinstance(fault, soundfile.LibsndfileError) else first_line(fault)


def _goes_on(path: Path, file: soundfile.SoundFile) -> bool:
    """Whether a FLAC file that has been read has more samples, or what follows them is another one."""
    try:
        return len(file.read(1)) > 0
    except FAULTS:  # bytes that are no sound
        with _mapped(path) as data:
            return data.find(xiph.START) != data.rfind(xiph.START)
