"""The model: a transcriptor, a separator and what they need to be used.
It rebuilds itself from plain values and tensors, which may be a stranger's: no network is made before its weights are
known to be there. `models.checkpoint` reads and writes the files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from scoresep.grid import PITCHES, Grid
from scoresep.instruments import Instrument, checked
from scoresep.models.base import Separator, Transcriptor
from scoresep.models.compact import expand
from scoresep.models.networks import Architecture

LARGEST_BLOCK = 2**28
"""Values of one kind that a model from a file may need at a time (1 GiB); the `paper` config needs a fortieth."""
BLOCK_FRAMES = 1000
"""Frames of a block in that reckoning; the context comes on top."""


@dataclass
class Model:
    """The two networks and what they need to be used.

    Attributes:
        grid: the frame grid they were trained on.
        instruments: the groups, in the order of axis N.
        architecture: which networks they are, and their sizes.
        mask: how the separator's logits become masks (`models.base.MASKS`).
        critic: what the transcriptor tells apart (`models.base.Network.critics`): `keys`, or only who plays.
        threshold: probability per instrument above which a key counts as sounding; tuned on validation data.
        onset_threshold: the same for onsets.
    """

    grid: Grid
    instruments: tuple[Instrument, ...]
    architecture: Architecture
    mask: str
    critic: str = "keys"
    transcriptor: Transcriptor = field(init=False)
    separator: Separator = field(init=False)
    threshold: list[float] = field(init=False)
    onset_threshold: list[float] = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.instruments)
        self.transcriptor = self.architecture.make_transcriptor(self.grid.bins, count, self.critic)
        self.separator = self.architecture.make_separator(self.grid.bins, count, self.mask)
        self.threshold = [0.5] * count
        self.onset_threshold = [0.5] * count

    @property
    def names(self) -> tuple[str, ...]:
        """The instruments' names."""
        return tuple(instrument.name for instrument in self.instruments)

    @property
    def transcribes(self) -> bool:
        """Whether the transcriptor knows notes; one that only tells who plays is a critic and no more."""
        return self.critic == "keys"

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"transcriptor": self.transcriptor, "separator": self.separator}

    def to(self, device: str | torch.device) -> Model:
        """Move both networks; returns itself.

        Products of float32 are products of float32 from then on: by itself torch lets convolutions on a GPU round what
        they multiply to ten bits (TF32), and a GPU would separate otherwise than a CPU.
        """
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        for network in self.networks.values():
            network.to(device)
        return self

    def eval(self) -> Model:
        """Put both networks into evaluation mode; returns itself."""
        for network in self.networks.values():
            network.eval()
        return self

    @property
    def device(self) -> torch.device:
        return next(self.separator.parameters()).device

    def to_dict(self) -> dict[str, Any]:
        return {
            "grid": self.grid.to_dict(),
            "instruments": [instrument.to_dict() for instrument in self.instruments],
            "architecture": self.architecture.to_dict(),
            "mask": self.mask,
            "critic": self.critic,
            "threshold": list(self.threshold),
            "onset_threshold": list(self.onset_threshold),
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Model:
        """The model of such values; until they are known to fit, it takes no memory.

        Raises:
            ScoresepError, ValueError, ...: they do not fit together, or ask for a model beyond all measure.
        """
        with torch.device("meta"):
            model = cls(
                Grid.from_dict(values["grid"]),
                checked(tuple(Instrument.from_dict(instrument) for instrument in values["instruments"])),
                Architecture.from_dict(values["architecture"]),
                values["mask"],
                values.get("critic", "keys"),  # there was no other once
            )
        if model.block_values > LARGEST_BLOCK:
            raise ValueError("no memory holds what it needs at a time")
        for name, network in model.networks.items():
            weights = expand(values["networks"][name])
            if _kinds(network.state_dict()) != _kinds(weights):
                raise ValueError(f"the weights are not those of its {name}")
            network.load_state_dict({key: value.clone() for key, value in weights.items()}, assign=True)
        model.threshold, model.onset_threshold = (
            _thresholds(values[name], len(model.instruments)) for name in ("threshold", "onset_threshold")
        )
        return model

    @property
    def block_values(self) -> int:
        """Values of the widest layer for a block of usual length with its context."""
        count, frames = len(self.instruments), BLOCK_FRAMES + 2 * self.architecture.context
        return frames * max(count * self.grid.bins, 2 * count * PITCHES, self.architecture.width)


def _kinds(weights: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in weights.items()}


def _thresholds(values: list[float], count: int) -> list[float]:
    found = [float(value) for value in values]
    if len(found) != count or not all(0.0 <= value <= 1.0 for value in found):
        raise ValueError(f"{found} are no thresholds of {count} instruments")
    return found


def identity(model: Model) -> str:
    """SHA-256 of all weights of a model: tells whether a later stage began from this one."""
    digest = hashlib.sha256()
    for network in model.networks.values():
        for name, value in network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
