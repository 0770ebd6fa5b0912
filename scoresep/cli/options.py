"""Options and defaults that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from scoresep.audio.decoding.formats import FORMATS
from scoresep.errors import InvalidValue

DEFAULT_CACHE, DEFAULT_CHECKPOINT, DEFAULT_RUN = Path("cache.h5"), Path("ckpt.pt"), Path("run")
DEFAULT_METRICS, DEFAULT_STEMS, DEFAULT_SCORES = Path("metrics.json"), Path("stems"), Path("scores")
DEFAULT_ALIGNED = Path("aligned")

Jobs = Annotated[int, typer.Option(help="Worker processes; 0 for one a core.", min=0)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--ckpt", help="Checkpoint made by `scoresep train`; default: ckpt.pt, or the one that comes with scoresep."
    ),
]
Audio = Annotated[
    list[Path],
    typer.Argument(help=f"{FORMATS} files, any rate, length and channels, or folders of them."),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace results that are there; else, of several files, those done are passed over."),
]
StemFormat = Literal["wav", "flac", "ogg", "mp3"]
StemBits = Literal["float", "16", "24"]
"""As `separation.writing.SUBTYPES` has them."""
Signal = Literal["mixture", "separated", "refined"]
"""As `transcription.transcribe.SIGNALS` has them."""
Sound = Literal["flac", "mp3", "ogg"]
"""As `reporting.media.AUDIO_FORMATS` has them."""
Resident = Literal["host", "device"]
"""As `training.loader.RESIDENT` has them."""


def by_comma(text: str) -> tuple[str, ...]:
    """The names in 'piano, guitar,bass'; none in ''.

    Raises:
        InvalidValue: there is a text, and no name in it.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if text and not names:
        raise InvalidValue(f"'{text}' names nothing", remedy="give names with commas between them")
    return names
