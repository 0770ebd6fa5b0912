"""What a project gives away: stems, the recording without one of them, MIDI, MusicXML, a page, itself as one file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from scoresep.audio.decoding.recording import CHUNK, open_recording
from scoresep.errors import NotFound
from scoresep.score.musicxml_writing import Beat
from scoresep.separation.writing import choose_format, write_stems
from scoresep.studio.analysis import picture
from scoresep.studio.giving import SeparatedSong, write_page
from scoresep.studio.packing import SUFFIX, pack
from scoresep.studio.project import Project
from scoresep.studio.stems import read_span
from scoresep.transcription.notation import write_musicxml

BITS = {"wav": "24", "flac": "24", "mp3": None}
"""Formats and bits of exported stems: what audio editors read."""


def export(
    project: Project, folder: Path, kind: str, form: str = "wav", version: int | None = None, part: int = 0
) -> Path:
    """Write what is asked for into `folder`; returns the file.

    Args:
        kind: a row of `KINDS`.
        form: of sound: `wav`, `flac` or `mp3`.
        version: of the stems; none for the latest.
        part: the stem that is meant.

    Raises:
        NotFound: there is no such kind, format, version or stem.
        ScoresepError: it cannot be written.
    """
    if kind not in KINDS or form not in BITS:
        raise NotFound(f"nothing is exported as {kind}, {form}", remedy=f"kinds are {', '.join(KINDS)}")
    project.stem(project.version(version).id, part)
    return KINDS[kind](project, folder, form, version, part)


def stems(project: Project, folder: Path, form: str, version: int | None, part: int) -> Path:
    """All stems in one ZIP file, with one gain where one would clip."""
    files = _written(project, folder, form, version, None)
    target = folder / "stems.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
        for file in files:
            out.write(file, file.name)
    return target


def stem(project: Project, folder: Path, form: str, version: int | None, part: int) -> Path:
    """One stem, with the gain that all of them need."""
    return _written(project, folder, form, version, None)[part]


def without(project: Project, folder: Path, form: str, version: int | None, part: int) -> Path:
    """The recording without one instrument, to play along."""
    return _written(project, folder, form, version, part)[0]


def midi(project: Project, folder: Path, form: str, version: int | None, part: int) -> Path:
    """The notes."""
    project.write_midi(folder / "notes.mid")
    return folder / "notes.mid"


def score(project: Project, folder: Path, form: str, version: int | None, part: int) -> Path:
    """The notes as MusicXML, by the beat that was tapped or, without one, by the steady one that fits them best."""
    beat = Beat(*project.state.beat) if project.state.beat else None
    write_musicxml(folder / "score.musicxml", project.tables(), project.model.instruments, beat)
    return folder / "score.musicxml"


def whole(project: Project, folder: Path, form: str, version: int | None, part: int) -> Path:
    """The project."""
    pack(project, folder / f"project{SUFFIX}")
    return folder / f"project{SUFFIX}"


def page(project: Project, folder: Path, form: str, version: int | None, part: int) -> Path:
    """A page to give away; its sound is MP3 unless `form` is FLAC."""
    chosen = project.version(version)
    files = {name: project.stem(chosen.id, n) for n, name in enumerate(project.names)}
    shown = picture(project.analysis().magnitude, project.model.grid)
    about = {**asdict(chosen), "touched": project.touched(chosen)}
    song = SeparatedSong(project.state.name, files, project.tables(), shown, [about], project.state.mix)
    write_page(folder / "page.html", song, project.model, "flac" if form == "flac" else "mp3")
    return folder / "page.html"


KINDS = {
    "stems": stems,
    "stem": stem,
    "without": without,
    "midi": midi,
    "musicxml": score,
    "project": whole,
    "page": page,
}


def _written(project: Project, folder: Path, form: str, version: int | None, part: int | None) -> list[Path]:
    """Files of all stems or, of one part, of the recording without it and of the part; they add up to the recording."""
    number = project.version(version).id
    names = list(project.names) if part is None else [f"without_{project.names[part]}", project.names[part]]
    source = open_recording(project.mixture)
    return write_stems(_pieces(project, number, part), names, folder, source, choose_format(form, BITS[form]))[0]


def _pieces(project: Project, version: int, part: int | None) -> Iterator[np.ndarray]:
    """Samples (S, n, C) at a time."""
    parts = range(len(project.names)) if part is None else (part,)
    for start in range(0, project.state.samples, CHUNK):
        stop = min(start + CHUNK, project.state.samples)
        sounds = np.stack([read_span(project.stem(version, each), start, stop) for each in parts])
        yield sounds if part is None else np.stack([read_span(project.mixture, start, stop) - sounds[0], sounds[0]])
