"""A page of a rendered corpus: some of its songs, their stems, what plays each and what it goes through."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scoresep import __version__
from scoresep.audio.loading import read_audio
from scoresep.datasets.base import Stem, Track
from scoresep.datasets.slakh import open_slakh, read_metadata
from scoresep.errors import NothingToDo
from scoresep.files import read_text
from scoresep.grid import Grid
from scoresep.plots.cache_track import busiest
from scoresep.plots.result import log_spectrogram
from scoresep.plots.style import RANGE_DB, colours_of, pitch_range
from scoresep.reporting.media import AUDIO_FORMATS, Picture, audio_uri, fitting, roll, spectrogram
from scoresep.reporting.page import SIZE_MARK, check_page, filled, write_sized
from scoresep.reporting.track_views import within
from scoresep.score.parts import Part

PREVIEW_SONGS, PREVIEW_SECONDS = 12, 10.0
"""How many songs are shown, and how long their excerpts are."""
PREVIEW = "preview.html"
STEP = 0.1
"""Seconds in which parts are looked for, to find where most play."""
WINDOW, HOP = 4096, 1024
"""Of the spectrograms, samples."""


def write_preview(
    corpus: Path,
    songs: int = PREVIEW_SONGS,
    seconds: float = PREVIEW_SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, int]:
    """Write the page of `corpus` into it; returns its path and size in bytes.

    Raises:
        NothingToDo: the corpus has no song.
        ScoresepError: it cannot be read, or the page not be written.
    """
    path = corpus / PREVIEW
    check_page(path)
    whole = [track for track in open_slakh(corpus).tracks if track.stems and not track.problem]
    if not whole:
        raise NothingToDo("there is no song to show", file=corpus, remedy="render some first")
    chosen = [whole[n] for n in np.linspace(0, len(whole) - 1, min(songs, len(whole))).round().astype(int)]
    panels = []
    for number, track in enumerate(chosen):
        panels.append(song_panels(track, seconds, number))
        if progress:
            progress(number + 1, len(chosen))
    page = filled(
        title="scoresep render: a corpus to look at and listen to",
        lead=f"{len(chosen)} of {len(whole)} songs: the mixture, its stems, what plays each and what it goes through.",
        contents=[*((panel["place"], panel["name"]) for panel in panels), ("about", "About")],
        tracks=panels,
        listening_hint=(
            f"The {seconds:g} s of each song in which most parts play. Levels are those in the mixture. "
            f"Spectrograms of a song share one scale of {RANGE_DB:g} dB. A line follows what is played."
        ),
        about=[("made by", f"scoresep {__version__}"), ("size of this page", SIZE_MARK), *settings_of(corpus)],
    )
    return path, write_sized(path, page)


def settings_of(corpus: Path) -> list[tuple[str, str]]:
    """What the corpus remembers of its settings, for people."""
    try:
        settings = json.loads(read_text(corpus / "render.json"))
        return [(name, str(value)) for name, value in settings.items() if name != "music"]
    except (OSError, ValueError, AttributeError):
        return []


def song_panels(track: Track, seconds: float, number: int) -> dict[str, Any]:
    """A song for the page's template."""
    folder = track.stems[0].audio.parents[1]
    stated = read_metadata(folder / "metadata.yaml").stems
    mixture, rate = read_audio(folder / "mix.flac")
    parts = [stem.load_parts() for stem in track.stems]
    span = excerpt_of(parts, len(mixture) / rate, seconds)
    cut = slice(*(round(rate * edge) for edge in span))
    grid, form = Grid(rate, WINDOW, HOP), fitting(AUDIO_FORMATS["mp3"], rate)
    loudest = float(log_spectrogram(mixture[cut], grid).max())

    def player(title: str, what: str, sound: np.ndarray) -> Picture:
        picture = spectrogram(title, f"{what} of {track.id}", sound, loudest, span[0], grid)
        return replace(picture, sound=audio_uri(sound, rate, form))

    names = [stem.name for stem in track.stems]
    colours, place = colours_of(names), f"track{number}"
    panels = []
    for n, (stem, written) in enumerate(zip(track.stems, parts, strict=True)):
        about = stated.get(stem.name, {})
        name = f"{about.get('inst_class', 'stem')} ({stem.name})"
        notes = within(notes_of(written), span)
        pictures = [
            player("stem", f"the stem {name}", read_audio(stem.audio)[0][cut]),
            roll("notes", name, [notes], pitch_range([notes], span), span, colours[stem.name], not stem.is_drum),
        ]
        panels.append(
            {
                "name": name,
                "place": f"{place}part{n}",
                "colour": colours[stem.name],
                "pictures": pictures,
                "figures": [],
                "about": said_of(stem, about),
            }
        )
    about_it = f"{track.split}; {span[0]:.1f} to {span[1]:.1f} s of {len(mixture) / rate:.1f} s; {len(panels)} stems."
    whole = player("mixture", "the mixture", mixture[cut])
    return {"name": track.id, "place": place, "about": about_it, "mixture": whole, "parts": panels}


def said_of(stem: Stem, about: Mapping[str, Any]) -> list[str]:
    """What plays a stem and how loud it is; then what it goes through, in turn."""
    program = "drums" if stem.is_drum else f"program {stem.program}, {about.get('midi_program_name', '')}"
    level = f"; {about['level']:+.1f} LU" if isinstance(about.get("level"), float) else ""
    lines = [f"{about.get('plugin_name', '')}; {program}{level}"]
    return lines + ([str(about["chain"]).replace(" > ", " → ")] if "chain" in about else [])


def notes_of(parts: Sequence[Part]) -> np.ndarray:
    """Notes of parts, float (K, 4): onset s, offset s, pitch, velocity."""
    return np.concatenate([np.zeros((0, 4)), *(part.table for part in parts)])


def excerpt_of(parts: Sequence[Sequence[Part]], length: float, seconds: float) -> tuple[float, float]:
    """The `seconds` of a song in which most stems play."""
    frames = max(1, int(length / STEP))
    count = min(frames, max(1, round(seconds / STEP)))
    sounding = np.zeros((frames, len(parts)), dtype=bool)
    for n, written in enumerate(parts):
        for onset, offset in notes_of(written)[:, :2].tolist():
            sounding[int(onset / STEP) : int(offset / STEP) + 1, n] = True
    first, _ = busiest(sounding, count, 5)
    return first * STEP, min(length, (first + count) * STEP)
