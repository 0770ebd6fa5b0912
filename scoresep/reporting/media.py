"""Sound as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from scoresep.arguments import unknown
from scoresep.errors import Mismatch, first_line


@dataclass(frozen=True)
class AudioFormat:
    """How sound is embedded: libsndfile's names, the media type, and what to know about it."""

    container: str
    subtype: str
    media_type: str
    about: str


AUDIO_FORMATS = {
    "flac": AudioFormat("FLAC", "PCM_16", "audio/flac", "FLAC, 16 bit, without loss"),
    "mp3": AudioFormat("MP3", "MPEG_LAYER_III", "audio/mpeg", "MP3, which has artefacts of its own"),
    "ogg": AudioFormat("OGG", "VORBIS", "audio/ogg", "Ogg Vorbis, which has artefacts of its own"),
}
"""FLAC is the usual one: all current browsers play it, and no artefact of a codec is taken for one of separation."""


def audio_format(name: str) -> AudioFormat:
    """A row of `AUDIO_FORMATS`.

    Raises:
        InvalidValue: there is no such row.
    """
    if name not in AUDIO_FORMATS:
        raise unknown("audio format", name, AUDIO_FORMATS)
    return AUDIO_FORMATS[name]


def audio_uri(samples: np.ndarray, rate: int, form: AudioFormat) -> str:
    """Sound (L,) in full scale +-1 at `rate` Hz as a data URI; what is louder is clipped.

    Raises:
        Mismatch: the format cannot hold the rate.
    """
    file = io.BytesIO()
    try:
        soundfile.write(file, np.clip(samples, -1.0, 1.0), rate, form.subtype, format=form.container)
    except soundfile.LibsndfileError as fault:
        problem = f"{form.container} cannot hold {rate} Hz ({first_line(fault)})"
        raise Mismatch(problem, remedy="choose another --audio") from fault
    return f"data:{form.media_type};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def common_gain(signals: Sequence[np.ndarray]) -> float:
    """One factor for all signals, 1 or what keeps the loudest of them from clipping."""
    peak = max((float(np.abs(signal).max()) for signal in signals if signal.size), default=0.0)
    return min(1.0, 0.999 / peak) if peak else 1.0


def size_text(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"
