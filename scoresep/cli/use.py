"""The commands that use a checkpoint on music: `scoresep separate` and `scoresep transcribe`. Called by `cli`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoresep.cli.options import DEFAULT_CHECKPOINT, DEFAULT_SCORES, DEFAULT_STEMS, CheckpointOption, Device
from scoresep.console import console, meter
from scoresep.machine import available_cores

if TYPE_CHECKING:
    from scoresep.training.checkpoint import Model


def separate(
    audio: Annotated[list[Path], typer.Argument(help="WAV, FLAC, OGG or MP3 files, any rate, length and channels.")],
    ckpt: CheckpointOption = DEFAULT_CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Folder; each file gets a folder of stems in it.")] = DEFAULT_STEMS,
    device: Device = "auto",
) -> None:
    """Split recordings into one stem per instrument, which add up to the input. No score is needed.

    Example: scoresep separate song.flac --ckpt ckpt.pt --out stems
    """
    from scoresep.inference.separate import result_names, separate_file

    model = load_model(ckpt, device)
    names = result_names(audio)
    for path, name in zip(audio, names, strict=True):
        with meter("s of audio") as progress:
            title = f"separating {name}"
            written = separate_file(path, model, out, progress=lambda done, total, t=title: progress(t, done, total))
        for stem in written:
            console.print(str(stem), markup=False)


def transcribe(
    audio: Annotated[list[Path], typer.Argument(help="WAV, FLAC, OGG or MP3 files, any rate, length and channels.")],
    ckpt: CheckpointOption = DEFAULT_CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Folder for the MIDI files.")] = DEFAULT_SCORES,
    device: Device = "auto",
) -> None:
    """Write down what each instrument plays: a MIDI file with one track per instrument.

    Example: scoresep transcribe song.flac --ckpt ckpt.pt --out scores
    """
    from scoresep.inference.separate import result_names
    from scoresep.inference.transcribe import transcribe_file

    model = load_model(ckpt, device)
    for path, name in zip(audio, result_names(audio), strict=True):
        target = out / f"{name}.mid"
        with meter("s of audio") as progress:
            title = f"transcribing {name}"
            notes = transcribe_file(path, model, target, progress=lambda d, n, t=title: progress(t, d, n))
        counts = ", ".join(f"{len(found)} {instrument}" for instrument, found in notes.items())
        console.print(f"{target}: {counts} notes", markup=False)


def load_model(ckpt: Path, device: str) -> Model:
    """The networks of a checkpoint on a device, with all cores at work."""
    import torch

    from scoresep.training.checkpoint import load_checkpoint
    from scoresep.training.run import choose_device

    torch.set_num_threads(available_cores())
    return load_checkpoint(ckpt).model.to(choose_device(device))
