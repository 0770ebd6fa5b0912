"""The command `scoresep align`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoresep.audio.decoding.formats import FORMATS
from scoresep.cli.options import DEFAULT_ALIGNED, Force
from scoresep.errors import AlreadyExists, InvalidValue

if TYPE_CHECKING:
    from scoresep.audio.source import Progress
    from scoresep.cli.inputs import Recording


def align(
    audio: Annotated[Path, typer.Argument(help=f"{FORMATS} file, or a folder of them.")],
    score: Annotated[
        Path, typer.Argument(help="MIDI or MusicXML of what is played, or a folder with song.mid for each song.wav.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder; or, of one recording, the MIDI file to write (.mid).")
    ] = DEFAULT_ALIGNED,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the score over the recording, before and after.")] = False,
    force: Force = False,
) -> None:
    """Put scores in time with recordings: MIDI in the recording's tempo, key and form.

    The score may be in another tempo or key, have repeats that are not played, lack some that are, be cut, or be of one
    instrument alone. A JSON file beside the MIDI file says, bar by bar, how far it can be trusted. The score of
    another piece is refused.

    Example: scoresep align song.flac song.musicxml --out song.mid --plot

    Example: scoresep align recordings scores --out aligned
    """
    from scoresep.alignment.align import summary
    from scoresep.alignment.files import align_files, report_of, write_alignment
    from scoresep.cli.inputs import check_scores, each_recording, find_score, listed
    from scoresep.files import check_new, same_file
    from scoresep.score.reading import WRITTEN_SUFFIXES

    if audio.suffix.lower() in WRITTEN_SUFFIXES and score.suffix.lower() not in WRITTEN_SUFFIXES:
        raise InvalidValue("the score is given first", file=audio, remedy="give the recording first, then the score")
    recordings = listed([audio], out)
    check_scores(score, recordings)
    one = recordings[0].alone and out.suffix.lower() in (".mid", ".midi")

    def files(recording: Recording) -> list[Path]:
        target = out if one else out / f"{recording.name}.mid"
        return [target, report_of(target), *[target.with_suffix(".png")] * plot]

    def work(recording: Recording, progress: Progress) -> list[str]:
        written = find_score(score, recording, WRITTEN_SUFFIXES)
        target, report, *picture = files(recording)
        if same_file(target, written):
            raise AlreadyExists("the score itself lies there", file=target, remedy="give another --out")
        for path in (target, report, *picture):
            check_new(path, force)
        alignment = align_files(recording.path, written, progress)
        if picture:
            from scoresep.plots.alignment import plot_alignment

            plot_alignment(picture[0], recording.path, alignment)
        write_alignment(target, alignment)
        doubtful = ", ".join(f"{begin:.1f}-{end:.1f}" for begin, end in alignment.doubtful)
        lines = [f"{target}: {summary(alignment)}"]
        lines += [f"  not trusted: {doubtful} s"] * bool(doubtful)
        return [*lines, *map(str, picture)]

    each_recording(recordings, work, files, force)
