"""Pictures and sound as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from scoresep.errors import ScoresepError
from scoresep.plots.style import load_matplotlib

LEVELS = 64
"""Colours of a picture: more cannot be told apart, fewer show as bands."""


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
        ScoresepError: there is no such row.
    """
    if name not in AUDIO_FORMATS:
        raise ScoresepError(f"unknown audio format '{name}'; choose of {', '.join(AUDIO_FORMATS)}")
    return AUDIO_FORMATS[name]


def audio_uri(samples: np.ndarray, rate: int, form: AudioFormat) -> str:
    """Sound (L,) in full scale +-1 at `rate` Hz as a data URI; what is louder is clipped.

    Raises:
        ScoresepError: the format knows no such rate.
    """
    file = io.BytesIO()
    try:
        soundfile.write(file, np.clip(samples, -1.0, 1.0), rate, form.subtype, format=form.container)
    except soundfile.LibsndfileError as fault:
        raise ScoresepError(f"{form.container} cannot hold {rate} Hz ({fault}); choose another --audio") from fault
    return data_uri(file.getvalue(), form.media_type)


def common_gain(signals: Sequence[np.ndarray]) -> float:
    """One factor for all signals, 1 or what keeps the loudest of them from clipping."""
    peak = max((float(np.abs(signal).max()) for signal in signals if signal.size), default=0.0)
    return min(1.0, 0.999 / peak) if peak else 1.0


def picture_uri(values: np.ndarray, colours: str = "magma") -> str:
    """Values (T, R) from 0 to 1 as a PNG, time to the right, rows upwards, in a colour map of matplotlib."""
    load_matplotlib()
    from matplotlib import colormaps
    from PIL import Image

    steps = np.rint(np.clip(values, 0.0, 1.0) * (LEVELS - 1)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(steps.T[::-1]), mode=None)
    image.putpalette((colormaps[colours](np.linspace(0, 1, LEVELS))[:, :3] * 255).round().astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return data_uri(file.getvalue(), "image/png")


def data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def size_text(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"
