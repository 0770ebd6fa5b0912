"""Options and defaults that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CACHE, DEFAULT_CHECKPOINT, DEFAULT_RUN = Path("cache.h5"), Path("ckpt.pt"), Path("run")
DEFAULT_METRICS, DEFAULT_STEMS, DEFAULT_SCORES = Path("metrics.json"), Path("stems"), Path("scores")

Jobs = Annotated[int, typer.Option(help="Worker processes; 0 for one a core.", min=0)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--ckpt", help="Checkpoint made by `scoresep train`; default: ckpt.pt, or the one that comes with scoresep."
    ),
]


def by_comma(text: str) -> tuple[str, ...]:
    """The names in 'piano, guitar,bass'."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
