"""The command `scoresep separate`."""

from __future__ import annotations

from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoresep.cli.options import (
    DEFAULT_STEMS,
    Audio,
    CheckpointOption,
    Device,
    Force,
    StemBits,
    StemFormat,
    by_comma,
)
from scoresep.console import errors, one_line
from scoresep.errors import InvalidValue, Mismatch

if TYPE_CHECKING:
    from scoresep.audio.source import Progress
    from scoresep.cli.inputs import Recording


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
    align: Annotated[
        bool,
        typer.Option("--align", help="Align the score first; it may be MusicXML, and of one instrument alone."),
    ] = False,
    refine: Annotated[
        bool, typer.Option("--refine", help="Learn each recording's own sounds from the notes heard in it; slower.")
    ] = False,
    form: Annotated[StemFormat, typer.Option("--format", help="Of the stems' files.")] = "wav",
    bits: Annotated[
        StemBits | None, typer.Option(help="Of a sample; default: float for wav, 24 for flac.", show_default=False)
    ] = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Split recordings into one stem per instrument, which add up to the input. No score is needed.

    Where stems cannot add up by themselves, a stem 'residual' holds the rest. Stems of 16 and 24 bits add up to the
    last bit. If they, OGG or MP3 would clip, all stems of a recording get one common gain. A file that fails does not
    stop the others.

    Example: scoresep separate song.flac --refine

    Example: scoresep separate song.flac --score guitar.mid --align

    Example: scoresep separate album --ckpt ckpt.pt --out stems --format flac
    """
    from scoresep.cli.inputs import (
        check_no_loss,
        each_recording,
        find_recordings,
        find_score,
        load_model,
        notes,
        without_results,
    )
    from scoresep.instruments import INSTRUMENTS, OTHER
    from scoresep.score.parts import SCORE_SUFFIXES
    from scoresep.score.reading import WRITTEN_SUFFIXES
    from scoresep.separation.score_prior import prior_of, read_score_prior
    from scoresep.separation.separate import RESIDUAL, Options, earlier_stems, file_names, separate_file
    from scoresep.separation.writing import choose_format

    chosen, stored = by_comma(instruments), choose_format(form, bits)
    recordings = find_recordings(audio, out)
    for note in notes(audio, out):
        errors.print(one_line(note), markup=False)
    if align and score is None:
        raise InvalidValue("--align needs a score", remedy="name one with --score")
    if score is not None and len(recordings) > 1 and not score.is_dir():
        problem = f"the score of one of {len(recordings)} files"
        raise Mismatch(problem, file=score, remedy="give a folder of scores named alike")
    model = load_model(ckpt, device)
    stems = file_names(model, chosen)
    names = {*model.names, RESIDUAL, *INSTRUMENTS, OTHER.name}
    recordings = without_results(recordings, lambda recording: out / recording.name, names)
    check_no_loss(recordings, lambda recording: earlier_stems(out / recording.name, model))

    def files(recording: Recording) -> list[Path]:
        return [out / recording.name / f"{stem}.{stored.name}" for stem in stems]

    def work(recording: Recording, progress: Progress) -> list[str]:
        prior, lines = None, []
        if score is not None:
            file = find_score(score, recording, WRITTEN_SUFFIXES if align else SCORE_SUFFIXES)
            if align:
                from scoresep.alignment.align import summary
                from scoresep.alignment.files import align_files

                alignment = align_files(recording.path, file)
                lines.append(f"{file} aligned: {summary(alignment)}")
                played = [part for part in alignment.parts if len(part)]
                prior = prior_of(played, file, model.instruments, model.grid)
            else:
                prior = read_score_prior(file, model.instruments, model.grid)
            if prior.missing:
                absent = ", ".join(prior.missing)
                lines.append(f"the score of {recording.name} has no part of {absent}: those are left to the model")
        options = Options(chosen, prior, progress=progress, refine=refine)
        written = separate_file(recording.path, model, out / recording.name, options, stored, force=force)
        if written.gain != 1.0:
            gain = 20 * log10(written.gain)
            lines.append(f"all stems of {recording.name} have a gain of {gain:.1f} dB, so that none clips")
        return [*map(str, written.files), *lines]

    each_recording(recordings, work, files, force)
