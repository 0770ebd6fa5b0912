"""Aligning files, and writing what comes of it."""

from __future__ import annotations

from pathlib import Path

from scoresep.alignment.align import Alignment, align, as_dict, check_recording
from scoresep.alignment.features import RATE
from scoresep.audio.loading import read_audio
from scoresep.audio.source import Progress
from scoresep.errors import naming
from scoresep.files import existing_file, write_bytes, write_json
from scoresep.score.midi_writing import midi_bytes
from scoresep.score.reading import read_score


def align_files(audio: str | Path, score: str | Path, progress: Progress | None = None) -> Alignment:
    """Align a score, MIDI or MusicXML, with a recording.

    Raises:
        ScoresepError: a file cannot be read, is empty or silent, or the score is not one of the recording.
    """
    score = existing_file(score, "score", "give a MIDI or MusicXML file")
    scores = read_score(score)
    samples, _ = read_audio(audio, RATE)
    with naming(audio):
        check_recording(samples, RATE)
    with naming(score):
        return align(samples, RATE, scores, progress)


def write_alignment(path: str | Path, alignment: Alignment) -> None:
    """Write the aligned score as MIDI, and what was found, bar by bar, as JSON beside it.

    Raises:
        Unwritable: a file cannot be written.
    """
    parts = [part for part in alignment.parts if len(part)]
    write_json(report_of(path), as_dict(alignment))
    write_bytes(path, midi_bytes(parts, alignment.seconds))


def report_of(path: str | Path) -> Path:
    """Where the report on an aligned score lies."""
    return Path(path).with_suffix(".json")
