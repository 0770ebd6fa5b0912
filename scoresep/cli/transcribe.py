"""The command `scoresep transcribe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoresep.cli.options import DEFAULT_SCORES, Audio, CheckpointOption, Device, Force, Signal

if TYPE_CHECKING:
    from scoresep.audio.source import Progress
    from scoresep.cli.inputs import Recording


def transcribe(
    audio: Audio,
    ckpt: CheckpointOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the MIDI files.")] = DEFAULT_SCORES,
    signal: Annotated[
        Signal, typer.Option("--from", help="The mixture, or each separated or refined track by itself.")
    ] = "mixture",
    plot: Annotated[bool, typer.Option("--plot", help="Draw each piano roll beside its MIDI file (PNG).")] = False,
    musicxml: Annotated[
        bool, typer.Option("--musicxml", help="Write the notes as MusicXML too, quantised to the beat that fits them.")
    ] = False,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Write down what each instrument plays: a MIDI file with one track per instrument.

    A file that fails does not stop the others.

    Example: scoresep transcribe song.flac --plot
    """
    from scoresep.audio.decoding.recording import open_recording
    from scoresep.cli.inputs import each_recording, listed, load_model
    from scoresep.files import check_new, folder_for_results
    from scoresep.transcription.transcribe import transcribe_file

    recordings = listed(audio, out)
    model = load_model(ckpt, device, separates=signal != "mixture")

    def files(recording: Recording) -> list[Path]:
        suffixes = [".mid", *([".png"] if plot else []), *([".musicxml"] if musicxml else [])]
        return [out / f"{recording.name}{suffix}" for suffix in suffixes]

    def work(recording: Recording, progress: Progress) -> list[str]:
        target, *others = files(recording)
        picture, score = others[: int(plot)], others[int(plot) :]
        with folder_for_results(target.parent):
            if picture:
                from scoresep.plots.style import check_picture

                check_new(check_picture(picture[0]), force)
            if score:
                check_new(score[0], force)
            source = open_recording(recording.path)
            parts = transcribe_file(source, model, target, progress=progress, signal=signal, force=force)
            if picture:
                from scoresep.plots.result import draw_roll

                draw_roll(picture[0], parts, source.samples / source.rate, recording.path.name)
            if score:
                from scoresep.transcription.notation import write_musicxml

                write_musicxml(score[0], parts, model.instruments)
        counts = ", ".join(f"{len(played)} {instrument}" for instrument, played in parts.items())
        return [f"{target}: {counts} notes", *map(str, others)]

    each_recording(recordings, work, files, force)
