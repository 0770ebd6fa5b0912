"""A page to give away: mixer and piano roll of a separated song in one HTML file that needs no server and no network.

It is the studio's own page, its modules put one after another, with sound and notes inside. What comes from a file is
JSON in it, never markup.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from scoresep.audio.decoding.recording import open_recording
from scoresep.audio.source import Source
from scoresep.errors import Mismatch
from scoresep.files import write_text
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.instruments import Instrument
from scoresep.models.model import Model
from scoresep.models.streaming import relative_magnitudes
from scoresep.plots.style import COLOURS
from scoresep.reporting.media import AUDIO_FORMATS, AudioFormat, fitting
from scoresep.separation.score_prior import SCORE_WEIGHT
from scoresep.studio.analysis import ROWS_A_KEY, picture
from scoresep.studio.worker import Job
from scoresep.transcription.transcribe import posterior_stream, transcribe_stream

MODULES = ("notes.js", "stretch.js", "synth.js", "engine.js", "mixer.js", "roll.js", "server.js", "app.js")
"""Of the page, each after those that it imports from; no two have a name in common."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src '{hash}'"


@dataclass(frozen=True)
class SeparatedSong:
    """What a page shows.

    Attributes:
        name: of the song.
        stems: audio file of each, all of one rate, length and number of channels.
        notes: instrument -> float64 (K, 4).
        picture: `analysis.picture` of all frames, uint8 (T, rows).
        versions: as `Studio.about` gives them; one.
        mix: level, pan, mute and solo of lanes.
    """

    name: str
    stems: Mapping[str, Path]
    notes: Mapping[str, np.ndarray]
    picture: np.ndarray
    versions: Sequence[Mapping[str, Any]]
    mix: Mapping[str, Mapping[str, float]]


def write_page(path: Path, song: SeparatedSong, model: Model, form: str = "mp3") -> None:
    """Write the page, whole or not at all.

    Args:
        form: a row of `reporting.media.AUDIO_FORMATS`; one that cannot hold the rate or the channels gives way to FLAC.

    Raises:
        Unwritable: `path` cannot be written.
    """
    sources = [open_recording(stem) for stem in song.stems.values()]
    first, gain = sources[0], min(1.0, 0.999 / max(1e-9, *(_peak(source) for source in sources)))
    stored = fitting(AUDIO_FORMATS[form], first.rate, first.channels)
    data = {
        "state": song_state(song.name, first, model.instruments, list(song.stems), song.versions, song.mix, model.grid),
        "notes": {name: np.round(table, 4).tolist() for name, table in song.notes.items()},
        "stems": [_encoded(source, stored, gain) for source in sources],
        "picture": base64.b64encode(song.picture.tobytes()).decode("ascii"),
    }
    write_text(path, html(json.dumps(data)))


def song_state(
    name: str,
    sound: Any,
    instruments: Sequence[Instrument],
    stems: Sequence[str],
    versions: Sequence[Mapping[str, Any]],
    mix: Mapping[str, Mapping[str, float]],
    grid: Grid,
) -> dict[str, Any]:
    """What the page is told of a song that is separated.

    Args:
        sound: has `rate`, `channels` and `samples`.
    """
    return {
        "name": name,
        "opened": True,
        "decoded": True,
        "ready": True,
        "rate": sound.rate,
        "channels": sound.channels,
        "samples": sound.samples,
        "instruments": [
            {"name": each.name, "pitched": each.pitched, "scored": each.scored, "program": each.midi_program}
            for each in instruments
        ],
        "stems": list(stems),
        "colours": COLOURS,
        "versions": list(versions),
        "mix": mix,
        "weight": SCORE_WEIGHT,
        "picture": {
            "frameRate": grid.frame_rate,
            "lowest": LOWEST_PITCH,
            "keys": PITCHES,
            "rowsAKey": ROWS_A_KEY,
        },
        "job": vars(Job()),
    }


def of_files(name: str, recording: Path, stems: Mapping[str, Path], model: Model) -> SeparatedSong:
    """The song of a recording and its stems; the notes are what the model hears, if it hears any."""
    source = open_recording(recording)
    shown = np.concatenate([picture(part, model.grid) for part in relative_magnitudes(source, model.grid)[0]])
    notes: Mapping[str, np.ndarray] = {each.name: np.zeros((0, 4)) for each in model.instruments if each.scored}
    if model.transcribes:
        notes = transcribe_stream(posterior_stream(source, model), model, source)
    version = {"id": 0, "weight": 0.0, "present": list(model.names), "span": None, "touched": [0, source.samples]}
    return SeparatedSong(name, stems, notes, shown, [version], {})


def html(data: str) -> str:
    """The page with its data, JSON."""
    script, page = bundle(), read("index.html")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = POLICY.format(hash=f"sha256-{digest}")
    page = page.replace(
        '<meta charset="utf-8">',
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">',
    )
    page = page.replace('<link rel="stylesheet" href="style.css">', f"<style>{read('style.css')}</style>")
    inner = data.replace("<", "\\u003c")  # nothing in it ends the element
    packed = f'<script type="application/json" id="packed">{inner}</script>\n<script type="module">{script}</script>'
    return page.replace('<script type="module" src="app.js"></script>', packed)


def bundle() -> str:
    """All modules as one: imports left out, what they export plain."""
    text = "\n".join(read(name) for name in MODULES)
    text = re.sub(r"^import [^;]*;\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^export ", "", text, flags=re.MULTILINE)


def read(name: str) -> str:
    """A file of the page."""
    return resources.files("scoresep.studio").joinpath("page", name).read_text(encoding="utf-8")


def _encoded(source: Source, form: AudioFormat, gain: float) -> str:
    """A file's sound in a format, base64."""
    out = io.BytesIO()
    try:
        with soundfile.SoundFile(out, "w", source.rate, source.channels, form.subtype, format=form.container) as file:
            for chunk in source.chunks():
                file.write(np.clip(chunk * gain, -1.0, 1.0))
    except (soundfile.LibsndfileError, ValueError, TypeError) as fault:
        problem = f"{source.channels} channels at {source.rate} Hz fit no page"
        raise Mismatch(problem, remedy="separate a file of 44100 or 48000 Hz and one or two channels") from fault
    return base64.b64encode(out.getvalue()).decode("ascii")


def _peak(source: Source) -> float:
    return max((float(np.abs(chunk).max(initial=0.0)) for chunk in source.chunks()), default=0.0)
