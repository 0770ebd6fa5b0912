"""scoresep: music source separation that learns from scores alone.

The package mirrors the way of the data:
corpora -> features -> cache -> training (models, losses) -> evaluation, inference.

For programs there is `load`: a checkpoint as an object that separates and transcribes arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scoresep._version import __version__
from scoresep.machine import wait_passively

if TYPE_CHECKING:
    from pathlib import Path

    from scoresep.pretrained import Pretrained

__all__ = ["__version__", "load"]
wait_passively()


def load(checkpoint: str | Path | None = None, device: str = "auto") -> Pretrained:
    """Load a model to use it: `scoresep.load().separate(audio, rate)`.

    Args:
        checkpoint: a file made by `scoresep train`; None for the model that comes with scoresep.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, ...

    Raises:
        scoresep.errors.ScoresepError: no such file, not a checkpoint, a damaged one, or no such device.
    """
    from scoresep.pretrained import load as load_model  # imports torch, which takes seconds

    return load_model(checkpoint, device)
