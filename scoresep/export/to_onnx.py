"""A separator as an ONNX file: magnitudes and who plays to masks, with what a program must know in its metadata.

Inputs: `magnitude`, float32 (1, F, frames), divided by the recording's level; `present`, bool (N,), who may play: all,
if nothing is known. Output: `masks`, float32 (1, N, F, frames). A frame depends on `context` frames on either side.
The metadata's `scoresep` is JSON: sample_rate, n_fft, hop, context, mask and instruments.
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from scoresep.errors import Failed, Unavailable, first_line
from scoresep.files import as_target, check_writable, write_bytes
from scoresep.models.base import Separator
from scoresep.models.model import Model

KEY = "scoresep"
"""Of the metadata."""
FRAMES = 100
"""Of the input that is traced; the file takes any number."""


class Masks(nn.Module):
    """A separator as a function of two tensors."""

    def __init__(self, separator: Separator) -> None:
        super().__init__()
        self.separator = separator

    def forward(self, magnitude: Tensor, present: Tensor) -> Tensor:
        """Magnitudes (1, F, T) and who plays, bool (N,) -> masks (1, N, F, T)."""
        masks: Tensor = self.separator(magnitude, present)
        return masks


def export_onnx(model: Model, path: str | Path) -> Path:
    """Write the separator of a model to an ONNX file; returns its path.

    Raises:
        Unavailable: packages of the extra `onnx` are missing.
        Failed: the network has operations that ONNX does not.
        Unwritable: the file cannot be written.
    """
    path = as_target(path, "ONNX file")
    check_writable(path, "ONNX file")
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch needs it
    except ImportError as fault:
        raise Unavailable(f"{fault.name} is not installed", remedy='pip install "scoresep[onnx]"') from fault
    inputs = (torch.rand(1, model.grid.bins, FRAMES), torch.ones(len(model.instruments), dtype=torch.bool))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                Masks(model.separator).eval(),
                tuple(each.to(model.device) for each in inputs),
                input_names=["magnitude", "present"],
                output_names=["masks"],
                dynamic_shapes={"magnitude": {2: torch.export.Dim("frames", min=2)}, "present": None},
                dynamo=True,
                verbose=False,
            )
        except Exception as fault:  # of many types, whatever torch cannot trace or translate
            problem = f"its separator cannot be written as ONNX ({first_line(fault)})"
            raise Failed(problem, file=path, remedy="choose another network") from fault
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {KEY: json.dumps(about(model))})
    write_bytes(path, proto.SerializeToString())
    return path


def about(model: Model) -> dict[str, object]:
    """What a program must know to use the network."""
    return {
        **model.grid.to_dict(),
        "context": model.separator.context,
        "mask": model.mask,
        "instruments": list(model.names),
    }
