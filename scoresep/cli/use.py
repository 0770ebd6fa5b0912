"""The commands that use a checkpoint on music: `scoresep separate` and `scoresep transcribe`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoresep.audio.decoding.formats import FORMATS
from scoresep.cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_SCORES,
    DEFAULT_STEMS,
    CheckpointOption,
    Device,
    by_comma,
)
from scoresep.console import console, errors, meter, one_line
from scoresep.errors import InvalidValue, ScoresepError, Unwritable
from scoresep.machine import use_threads

if TYPE_CHECKING:
    from scoresep.audio.source import Progress
    from scoresep.cli.inputs import Song
    from scoresep.models.model import Model

Audio = Annotated[
    list[Path],
    typer.Argument(help=f"{FORMATS} files, any rate, length and channels, or folders of them."),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace results that are there; else, of several files, those done are passed over."),
]


def separate(
    audio: Audio,
    ckpt: CheckpointOption = None,
    out: Annotated[Path, typer.Option(help="Folder; each file gets a folder of stems in it.")] = DEFAULT_STEMS,
    instruments: Annotated[
        str, typer.Option(help="By comma, those wanted; the others stay together in 'residual'. Default: all.")
    ] = "",
    score: Annotated[
        Path | None,
        typer.Option(help="MIDI file in time with the recording, to help; a folder with song.mid for each song.wav."),
    ] = None,
    refine: Annotated[
        bool, typer.Option("--refine", help="Learn each recording's own sounds from the notes heard in it; slower.")
    ] = False,
    form: Annotated[str, typer.Option("--format", help="wav, flac, ogg or mp3.")] = "wav",
    bits: Annotated[
        str | None, typer.Option(help="float, 16 or 24; default: float for wav, 24 for flac.", show_default=False)
    ] = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Split recordings into one stem per instrument, which add up to the input. No score is needed.

    Where stems cannot add up by themselves, a stem 'residual' holds the rest. Stems of 16 and 24 bits add up to the
    last bit. If they, OGG or MP3 would clip, all stems of a recording get one common gain. A file that fails does not
    stop the others.

    Example: scoresep separate song.flac --refine

    Example: scoresep separate album --ckpt ckpt.pt --out stems --format flac
    """
    from scoresep.cli.inputs import check_no_loss, find_score, find_songs, without_results
    from scoresep.instruments import INSTRUMENTS, OTHER
    from scoresep.separation.score_prior import read_score_prior
    from scoresep.separation.separate import RESIDUAL, Options, earlier_stems, file_names, separate_file
    from scoresep.separation.writing import choose_format

    chosen, stored = by_comma(instruments), choose_format(form, bits)
    songs = find_songs(audio, out)
    tell_unread(audio)
    if score is not None and len(songs) > 1 and not score.is_dir():
        problem = f"the score of one of {len(songs)} files"
        raise InvalidValue(problem, file=score, remedy="give a folder of scores named alike")
    model = load_model(ckpt, device)
    stems = file_names(model, chosen)
    songs = without_results(songs, lambda song: out / song.name, {*model.names, RESIDUAL, *INSTRUMENTS, OTHER.name})
    check_no_loss(songs, lambda song: earlier_stems(out / song.name, model))

    def there(song: Song) -> bool:
        return all((out / song.name / f"{stem}.{stored.name}").exists() for stem in stems)

    def work(song: Song, progress: Progress) -> list[str]:
        prior, lines = None, []
        if score is not None:
            prior = read_score_prior(find_score(score, song), model.instruments, model.grid)
            if prior.missing:
                lines.append(
                    f"the score of {song.name} has no part of {', '.join(prior.missing)}: those are left to the model"
                )
        options = Options(chosen, prior, progress=progress, refine=refine)
        written = separate_file(song.path, model, out / song.name, options, stored, force=force)
        if written.gain != 1.0:
            lines.append(
                f"all stems of {song.name} have a gain of {20 * log10(written.gain):.1f} dB, so that none clips"
            )
        return [*map(str, written.files), *lines]

    each_song(songs, work, None if force else there)


def transcribe(
    audio: Audio,
    ckpt: CheckpointOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the MIDI files.")] = DEFAULT_SCORES,
    signal: Annotated[
        str, typer.Option("--from", help="mixture; separated, or refined: separate first and listen to each track.")
    ] = "mixture",
    plot: Annotated[bool, typer.Option("--plot", help="Draw each piano roll beside its MIDI file (PNG).")] = False,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Write down what each instrument plays: a MIDI file with one track per instrument.

    A file that fails does not stop the others.

    Example: scoresep transcribe song.flac --plot
    """
    from scoresep.audio.source import FileSource
    from scoresep.cli.inputs import find_songs
    from scoresep.files import folder_for_results
    from scoresep.transcription.transcribe import check_new, check_signal, transcribe_file

    check_signal(signal)
    songs = find_songs(audio, out)
    tell_unread(audio)
    model = load_model(ckpt, device)

    def files(song: Song) -> tuple[Path, Path | None]:
        return out / f"{song.name}.mid", out / f"{song.name}.png" if plot else None

    def there(song: Song) -> bool:
        return all(path is None or path.exists() for path in files(song))

    def work(song: Song, progress: Progress) -> list[str]:
        target, picture = files(song)
        with folder_for_results(target.parent):
            if picture:
                from scoresep.plots.style import check_picture

                check_new(check_picture(picture), force)
            source = FileSource(song.path)
            notes = transcribe_file(source, model, target, progress=progress, signal=signal, force=force)
            if picture:
                from scoresep.plots.result import draw_roll

                draw_roll(picture, notes, source.samples / source.rate, song.path.name)
        counts = ", ".join(f"{len(table)} {instrument}" for instrument, table in notes.items())
        return [f"{target}: {counts} notes", *([str(picture)] if picture else [])]

    each_song(songs, work, None if force else there)


def tell_unread(given: Sequence[Path]) -> None:
    """Print a line on the audio in folders that is not read, if there is any."""
    from scoresep.cli.inputs import unread_note

    if note := unread_note(given):
        errors.print(one_line(note), markup=False)


def each_song(
    songs: Sequence[Song], work: Callable[[Song, Progress], list[str]], there: Callable[[Song], bool] | None
) -> None:
    """Do `work` for every song and print the lines that it returns; a song that fails gets a line and is passed over.

    Args:
        there: whether all results of a song are there. Of several songs those are passed over, so that the same command
            goes on after a stop; a file that was named alone goes to `work`, which refuses it. None: all are done anew.

    Raises:
        ScoresepError: the only song failed, or the disk is full.
        typer.Exit: some of several songs failed (status 2).
    """
    left = [song for song in songs if song.alone or there is None or not there(song)]
    if len(left) < len(songs):
        console.print(f"{len(songs) - len(left)} of {len(songs)} files were done already; --force makes them anew")
    failed = 0
    for song in left:
        try:
            with meter("s of audio") as shown:
                lines = work(song, lambda what, done, total, s=song: shown(f"{what} {s.name}", done, total))
        except ScoresepError as fault:
            if len(songs) == 1 or (isinstance(fault, Unwritable) and fault.no_room):
                raise
            failed += 1
            errors.print(f"error: {one_line(str(fault))}", markup=False)
            continue
        for line in lines:
            console.print(one_line(line), markup=False)
    if failed:
        console.print(f"{len(songs) - failed} of {len(songs)} files are done")
        raise typer.Exit(2)


def load_model(ckpt: Path | None, device: str) -> Model:
    """The networks of a checkpoint on a device, with all cores at work; None: of this folder's, or the shipped one."""
    from scoresep import load

    use_threads()
    if ckpt is None and DEFAULT_CHECKPOINT.exists():
        ckpt = DEFAULT_CHECKPOINT
        console.print(f"with {ckpt} of this folder", markup=False)
    elif ckpt is None:
        console.print("with the model that comes with scoresep: see `scoresep info`", markup=False)
    return load(ckpt, device).model
