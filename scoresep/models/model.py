"""The model: a transcriptor, a separator and what they need to be used. `models.checkpoint` reads and writes it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from scoresep.errors import InvalidValue, described
from scoresep.grid import Grid
from scoresep.instruments import Instrument
from scoresep.models.base import Separator, Transcriptor
from scoresep.models.networks import Architecture


@dataclass
class Model:
    """The two networks and what they need to be used.

    Attributes:
        grid: the frame grid they were trained on.
        instruments: the groups, in the order of axis N.
        architecture: which networks they are, and their sizes.
        mask: how the separator's logits become masks (`models.base.MASKS`).
        critic: what the transcriptor tells apart (`models.base.Network.critics`): `keys`, or only who plays.
        conditioned: whether the separator has learnt from who plays (`models.base.Separator.conditioned`).
        bandwidth: Hz up to which the separator sees and masks (`models.base.Separator.seen`); 0 for the whole grid.
        threshold: probability per instrument above which a key counts as sounding; tuned on validation data.
        onset_threshold: the same for onsets.
    """

    grid: Grid
    instruments: tuple[Instrument, ...]
    architecture: Architecture
    mask: str
    critic: str = "keys"
    conditioned: bool = False
    bandwidth: float = 0.0
    transcriptor: Transcriptor = field(init=False)
    separator: Separator = field(init=False)
    threshold: list[float] = field(init=False)
    onset_threshold: list[float] = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.instruments)
        self.architecture.check_grid(self.grid)
        self.transcriptor = self.architecture.make_transcriptor(self.grid.bins, count, self.critic)
        seen = self.grid.bins_up_to(self.bandwidth) if self.bandwidth else self.grid.bins
        self.separator = self.architecture.make_separator(seen, count, self.mask, self.conditioned)
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


def identity(model: Model) -> str:
    """SHA-256 of all weights of a model: tells whether a later stage began from this one."""
    digest = hashlib.sha256()
    for network in model.networks.values():
        for name, value in network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def as_model(model: Any) -> Model:
    """The networks, also of what `scoresep.load` returns.

    Raises:
        InvalidValue: neither.
    """
    networks = getattr(model, "model", model)
    if not isinstance(networks, Model):
        raise InvalidValue(f"the model is {described(model)}", remedy="give what scoresep.load returns")
    return networks
