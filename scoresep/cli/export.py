"""The command `scoresep export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scoresep.cli.options import DEFAULT_CHECKPOINT
from scoresep.console import console
from scoresep.errors import AlreadyExists


def export(
    onnx: Annotated[Path, typer.Option("--onnx", help="File to write.")],
    ckpt: Annotated[
        Path | None,
        typer.Argument(help="Checkpoint; default: ckpt.pt, or the one that comes with scoresep.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    r"""Write a checkpoint's separator as an ONNX file, for programs without torch.

    Needs `pip install "scoresep\[onnx]"`. What it writes is run by `python -m scoresep.export.run_onnx`, a script that
    needs numpy, soundfile and onnxruntime alone and can be copied elsewhere.

    Example: scoresep export ckpt.pt --onnx model.onnx
    """
    from scoresep.cli.inputs import load_model
    from scoresep.export.to_onnx import export_onnx
    from scoresep.files import same_file

    if onnx.exists() and not force:
        raise AlreadyExists("exists already", file=onnx, remedy="--force replaces it, or give another --onnx")
    if same_file(onnx, ckpt or DEFAULT_CHECKPOINT):
        raise AlreadyExists("the checkpoint itself lies there", file=onnx, remedy="give another --onnx")
    export_onnx(load_model(ckpt, "cpu"), onnx)
    console.print(f"{onnx}: next: python -m scoresep.export.run_onnx {onnx} song.wav", markup=False)
