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
from scoresep.errors import InvalidValue
from scoresep.separation.score_prior import SCORE_WEIGHT

if TYPE_CHECKING:
    from scoresep.audio.source import Progress
    from scoresep.cli.inputs import Recording
    from scoresep.models.model import Model
    from scoresep.separation.score_prior import ScorePrior


def separate(
    audio: Audio,
    ckpt: CheckpointOption = None,
    out: Annotated[Path, typer.Option(help="Folder; each file gets a folder of stems in it.")] = DEFAULT_STEMS,
    instruments: Annotated[
        str, typer.Option(help="By comma, those wanted; the others stay together in 'residual'. Default: all.")
    ] = "",
    present: Annotated[
        str,
        typer.Option(help="By comma, those that play in every recording, if you know: the others get nothing."),
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
    score_weight: Annotated[
        float,
        typer.Option(
            help="How much notes count with --score or --refine: 0, the model's masks alone, to 1, notes alone.",
            min=0,
            max=1,
        ),
    ] = SCORE_WEIGHT,
    long_window: Annotated[
        bool,
        typer.Option("--long-window", help="Apply the masks by a window twice as long: a little better, and slower."),
    ] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Also write a page with mixer and notes to give away, beside the stems.")
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

    Say who plays, if you know: what would go to instruments that are not there goes to those that are.

    Example: scoresep separate song.flac --refine

    Example: scoresep separate song.flac --present guitar,bass,drums

    Example: scoresep separate song.flac --score guitar.mid --align

    Example: scoresep separate album --ckpt ckpt.pt --out stems --format flac
    """
    from scoresep.cli.inputs import check_no_loss, check_scores, each_recording, listed, load_model, without_results
    from scoresep.instruments import INSTRUMENTS, OTHER
    from scoresep.separation.separate import (
        RESIDUAL,
        Options,
        earlier_stems,
        file_names,
        present_names,
        separate_file,
    )
    from scoresep.separation.writing import choose_format

    chosen, playing, stored = by_comma(instruments), by_comma(present), choose_format(form, bits)
    recordings = listed(audio, out)
    if align and score is None:
        raise InvalidValue("--align needs a score", remedy="name one with --score")
    if score is not None:
        check_scores(score, recordings)
    model = load_model(ckpt, device)
    stems = file_names(model, chosen, playing)
    names = {*model.names, RESIDUAL, *INSTRUMENTS, OTHER.name}
    recordings = without_results(recordings, lambda recording: out / recording.name, names)
    check_no_loss(recordings, lambda recording: earlier_stems(out / recording.name, model))

    def files(recording: Recording) -> list[Path]:
        folder = out / recording.name
        return [*(folder / f"{stem}.{stored.name}" for stem in stems), *([folder / "listen.html"] if page else [])]

    def work(recording: Recording, progress: Progress) -> list[str]:
        prior: ScorePrior | None = None
        lines: list[str] = []
        if score is not None:
            prior = read_prior(score, recording, model, align, lines)
            if missing := [name for name in prior.missing if name in present_names(model, playing)]:
                absent = ", ".join(missing)
                lines.append(f"the score of {recording.name} has no part of {absent}: those are left to the model")
        options = Options(
            chosen,
            prior,
            progress=progress,
            refine=refine,
            present=playing,
            score_weight=score_weight,
            long_window=long_window,
        )
        written = separate_file(recording.path, model, out / recording.name, options, stored, force=force)
        if written.gain != 1.0:
            gain = 20 * log10(written.gain)
            lines.append(f"all stems of {recording.name} have a gain of {gain:.1f} dB, so that none clips")
        if page:
            from scoresep.studio.giving import of_files, write_page

            song = of_files(recording.path.stem, recording.path, dict(zip(stems, written.files, strict=True)), model)
            write_page(files(recording)[-1], song, model)
            lines.append(str(files(recording)[-1]))
        return [*map(str, written.files), *lines]

    each_recording(recordings, work, files, force)


def read_prior(score: Path, recording: Recording, model: Model, align: bool, lines: list[str]) -> ScorePrior:
    """The score of a recording, aligned with it if that is asked for; what was found is added to `lines`."""
    from scoresep.cli.inputs import find_score
    from scoresep.score.parts import SCORE_SUFFIXES
    from scoresep.score.reading import WRITTEN_SUFFIXES
    from scoresep.separation.score_prior import prior_of, read_score_prior

    file = find_score(score, recording, WRITTEN_SUFFIXES if align else SCORE_SUFFIXES)
    if not align:
        return read_score_prior(file, model.instruments, model.grid)
    from scoresep.alignment.align import summary
    from scoresep.alignment.files import align_files

    alignment = align_files(recording.path, file)
    lines.append(f"{file} aligned: {summary(alignment)}")
    return prior_of([part for part in alignment.parts if len(part)], file, model.instruments, model.grid)
