"""Stems to files: formats, rounding that keeps the sum, one gain for all."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from scoresep.arguments import unknown
from scoresep.audio.source import Progress, Source
from scoresep.errors import InvalidValue, Mismatch, first_line
from scoresep.files import Sink, remove_stale, replacing, system_name, writing

SUBTYPES = {
    "wav": {"float": "FLOAT", "16": "PCM_16", "24": "PCM_24"},
    "flac": {"24": "PCM_24", "16": "PCM_16"},
    "ogg": {"": "VORBIS"},
    "mp3": {"": "MPEG_LAYER_III"},
}
"""By format and bits, libsndfile's name of the samples; the first is the default."""
LARGEST_WAV = 4_000_000_000
"""Bytes above which a stem is written as RF64, the WAV format with 64-bit lengths."""
LOSSY_TOP = 0.95
"""Full scale of formats that change samples: a decoded peak may be higher than the encoded one (3 % for a tone)."""
HEADROOM = 1e-6
"""By how much a common gain stays below full scale, so that rounding cannot reach beyond it, and by how much a stem may
be beyond it without a gain: a mask of one takes a sample at full scale there by rounding alone."""


@dataclass(frozen=True)
class Format:
    """How stems are stored; made by `choose_format`.

    Attributes:
        name: `wav`, `flac`, `ogg` or `mp3`, the files' suffix.
        bits: `float`, `16` or `24`; '' where the format has none.
    """

    name: str = "wav"
    bits: str = "float"

    @property
    def subtype(self) -> str:
        return SUBTYPES[self.name][self.bits]

    @property
    def clips(self) -> bool:
        """Whether samples beyond full scale are lost."""
        return self.bits != "float"

    @property
    def steps(self) -> int:
        """Steps between 0 and full scale; 0 where samples are not integers."""
        return 1 << (int(self.bits) - 1) if self.bits.isdecimal() else 0

    def container(self, source: Source) -> str:
        """libsndfile's name of the container for a stem of `source`."""
        size = source.samples * source.channels * (4 if self.bits == "float" else max(int(self.bits or 0) // 8, 1))
        return "RF64" if self.name == "wav" and size >= LARGEST_WAV else self.name.upper()


FLOAT_WAV = Format()
"""32-bit float WAV: what stems are kept in until their peak is known."""


def choose_format(name: str = "wav", bits: str | None = None) -> Format:
    """The format of that name with so many bits, or its default.

    Raises:
        InvalidValue: there is no such format, or it has no such bits.
    """
    if name not in SUBTYPES:
        raise unknown("format", name, SUBTYPES)
    widths = SUBTYPES[name]
    if bits is None:
        return Format(name, next(iter(widths)))
    if bits not in widths:
        choices = " or ".join(filter(None, widths))
        remedy = f"choose {choices}" if choices else "leave --bits out"
        raise InvalidValue(f"{name} has no samples of '{bits}' bits", remedy=remedy)
    return Format(name, bits)


def check_fits(form: Format, source: Source) -> None:
    """Refuse a format that cannot hold the source's rate and channels, before any work is done.

    Raises:
        Mismatch: it cannot.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(), "w", source.rate, source.channels, form.subtype, format=form.name):
            pass
    except (soundfile.LibsndfileError, ValueError, TypeError) as fault:
        problem = f"{form.name} cannot hold {source.channels} channels at {source.rate} Hz ({first_line(fault)})"
        raise Mismatch(problem, remedy="choose --format wav") from fault


def write_stems(
    pieces: Iterable[np.ndarray],
    names: Sequence[str],
    folder: Path,
    source: Source,
    form: Format,
    progress: Progress | None = None,
) -> tuple[list[Path], float]:
    """Write stems to `<folder>/<name>.<format>`; none appears before all are whole.

    Args:
        pieces: float32 (S, n, C) at a time, S as many as names.
        source: what they were separated from and add up to.

    Returns:
        the files, and the gain that all of them were given so that none clips (1.0 if none would).

    Raises:
        Unwritable: the folder or a file cannot be written.
    """
    paths = [folder / f"{name}.{form.name}" for name in names]
    with ExitStack() as stack:
        for path in paths:
            remove_stale(path)
        final = [stack.enter_context(replacing(path)) for path in paths]
        stack.enter_context(writing(folder))
        if form == FLOAT_WAV:
            _write(pieces, final, source, form)
            return paths, 1.0
        working = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder)))
        floats = [working / f"{n}.wav" for n in range(len(paths))]
        highest, lowest = _write(pieces, floats, source, FLOAT_WAV)
        gain = common_gain(highest, lowest, form)
        _write(_converted(floats, gain, form, source, progress), final, source, form)
        return paths, gain


def common_gain(highest: float, lowest: float, form: Format) -> float:
    """The gain that brings samples from `lowest` to `highest` within full scale; 1.0 if they are."""
    if not form.clips:
        return 1.0
    top = 1.0 - 1.0 / form.steps if form.steps else LOSSY_TOP
    if highest <= top + HEADROOM and lowest >= (-1.0 if form.steps else -top) - HEADROOM:
        return 1.0
    return top / max(highest, -lowest) * (1.0 - HEADROOM)


def to_steps(stems: np.ndarray, total: np.ndarray, form: Format) -> np.ndarray:
    """Round stems (S, ...) to integers whose sum is the rounded total: int64 of the same shape.

    The sums of the first one, two, three ... stems are rounded, and a stem is the difference of two of them: less than
    one step from its value, but for what rounding took beyond full scale, which goes to the quietest stem.

    Args:
        total: float64 (...), what the stems add up to, exactly: sums of float32 may be a step off at 24 bits.
    """
    sums = np.cumsum(stems, axis=0, dtype=np.float64)
    sums[-1] = total
    # halves upwards, always: halves to even could take a stem one step beyond full scale
    steps = np.diff(np.floor(sums * form.steps + 0.5).astype(np.int64), axis=0, prepend=0)
    beyond = steps - np.clip(steps, -form.steps, form.steps - 1)
    if beyond.any():
        steps -= beyond
        quietest = np.abs(steps).argmin(axis=0)[None]
        moved = np.take_along_axis(steps, quietest, axis=0) + beyond.sum(axis=0)
        np.put_along_axis(steps, quietest, np.clip(moved, -form.steps, form.steps - 1), axis=0)
    return steps


def _converted(
    floats: Sequence[Path], gain: float, form: Format, source: Source, progress: Progress | None
) -> Iterator[np.ndarray]:
    """The stems in `floats` with a gain, as the samples of `form`: (S, n, C) at a time."""
    done = 0
    with ExitStack() as stack:
        files = [stack.enter_context(soundfile.SoundFile(system_name(path))) for path in floats]
        for total in source.chunks(np.float64):
            read = [file.read(len(total), dtype="float32", always_2d=True) for file in files]
            stems = np.stack(read) * gain
            yield _as_integers(to_steps(stems, total * gain, form), form) if form.steps else stems.astype(np.float32)
            done += len(total)
            if progress:
                progress("writing", done / source.rate, source.samples / source.rate)


def _as_integers(steps: np.ndarray, form: Format) -> np.ndarray:
    """int16, or int32 whose upper bits libsndfile takes."""
    return steps.astype(np.int16) if form.bits == "16" else (steps << (32 - int(form.bits))).astype(np.int32)


def _write(pieces: Iterable[np.ndarray], paths: Sequence[Path], source: Source, form: Format) -> tuple[float, float]:
    """Write pieces (S, n, C) to `paths`; returns the highest and the lowest sample."""
    highest = lowest = 0.0
    container = form.container(source)
    with ExitStack() as stack:
        sinks = [stack.enter_context(Sink(path, path)) for path in paths]
        files = [
            stack.enter_context(
                soundfile.SoundFile(sink, "w", source.rate, source.channels, form.subtype, format=container)
            )
            for sink in sinks
        ]
        for stems in pieces:
            for file, sink, samples in zip(files, sinks, stems, strict=True):
                file.write(samples)
                sink.check()
            if stems.size:
                highest, lowest = max(highest, float(stems.max())), min(lowest, float(stems.min()))
    return highest, lowest
