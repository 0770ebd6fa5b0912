"""What rendering leaves out of the songs, by reason: rows of a table beside the corpus, and lines for a terminal.

All of it follows from the scores, the settings and the finished tracks, so that a second run tells the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from scoresep.datasets.slakh import read_metadata
from scoresep.errors import Damaged
from scoresep.files import write_rows
from scoresep.score.parts import SHORTEST_NOTE, Part

TABLE = "left_out.csv"
CUT = "outside the excerpt"
AGAIN = f"struck again within {SHORTEST_NOTE} s"
UNWANTED = "instruments not asked for (--groups)"
NO_PATCH = "no SoundFont or pack has the program"
SILENT = "silent when played"
NO_KEY = "keys that the sound lacks"
BEYOND = "more songs than asked for (--songs)"


class LeftOut(NamedTuple):
    """What of one part, or of a whole song, was left out.

    Attributes:
        song: the MIDI file, or where a composed song comes from.
        part: its track's name and program; '' for all parts.
        notes: how many; '' where nobody counted them, as in a file that cannot be read.
        reason: one of the constants above, or why a file gives no song.
    """

    song: str
    part: str
    notes: int | str
    reason: str


def part_name(part: Part) -> str:
    """How a part is called in the table."""
    kind = "drums" if part.is_drum else f"program {part.program}"
    return f"{part.name} ({kind})" if part.name else kind


def lost(song: str, before: Iterable[Part], after: Iterable[Part], reason: str) -> list[LeftOut]:
    """The rows of parts that have fewer notes after something than before."""
    pairs = zip(before, after, strict=True)
    return [LeftOut(song, part_name(a), len(a) - len(b), reason) for a, b in pairs if len(b) < len(a)]


def silent_stems(folder: Path) -> list[int]:
    """Numbers of the stems of a finished track that have no audio, as its metadata say.

    Raises:
        Damaged: they are missing or unreadable.
    """
    try:
        stems = read_metadata(folder / "metadata.yaml").stems
        return [int(name[1:]) for name, stem in stems.items() if not stem["audio_rendered"]]
    except (OSError, ValueError, LookupError, TypeError) as fault:
        raise Damaged(f"not a whole track ({fault})", file=folder, remedy="remove it and render again") from fault


def summary(rows: Sequence[LeftOut]) -> list[str]:
    """A line a reason, the most notes first; of songs as wholes only those that were not asked for."""
    notes, songs = Counter[str](), defaultdict[str, set[str]](set)
    for row in rows:
        songs[row.reason].add(row.song)
        notes[row.reason] += int(row.notes or 0)
    order = sorted((reason for reason in songs if notes[reason]), key=lambda reason: (-notes[reason], reason))
    lines = [f"left out {notes[reason]:,} notes of {len(songs[reason]):,} songs: {reason}" for reason in order]
    beyond = len(songs.get(BEYOND, ()))
    return lines + [f"left out {beyond:,} songs: {BEYOND}"] * (beyond > 0)


def write_table(out: Path, rows: Sequence[LeftOut]) -> None:
    """Write the table, or remove one of before if nothing is left out."""
    if rows:
        write_rows(out / TABLE, LeftOut._fields, rows)
    else:
        (out / TABLE).unlink(missing_ok=True)
