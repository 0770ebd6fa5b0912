"""What a network must offer to be a separator or a transcriptor, and the row that describes it.

Axes: B batch, N instruments, F frequency bins, T frames, P pitches. Magnitudes are float32 >= 0, relative to the level
of the recording. A network of another package is a `Network`, too, given by an entry point of the group
`scoresep.networks` (`plugins`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from scoresep.errors import ScoresepError
from scoresep.instruments import nearest

MASKS = {"softmax": lambda logits: torch.softmax(logits, dim=1), "sigmoid": torch.sigmoid}
"""How logits (B, N, F, T) become masks: softmax shares every bin out among the instruments, sigmoid is independent."""
LONGEST_CONTEXT = 10_000
"""Frames on either side that a network may depend on; the `paper` config's depends on 381."""


class Rolls(NamedTuple):
    """Logits of what sounds and of what begins, float32 (B, N, P, T) each."""

    frame: Tensor
    onset: Tensor


class Settings(Protocol):
    """Sizes of a network: a frozen dataclass of whole numbers, fractions, words and truth values, with defaults.

    It raises `ScoresepError` where they are impossible; they may come from a stranger's checkpoint.
    """

    @property
    def context(self) -> int:
        """Frames on either side that an output frame depends on, `LONGEST_CONTEXT` at most."""
        ...

    @property
    def width(self) -> int:
        """Values a frame of its widest layer, inputs and outputs aside; bounds the memory of a block."""
        ...


class Separator(nn.Module, ABC):
    """Magnitudes to N x F masks in [0, 1]; separated track i is S_i = M_i * X. Trained in stages 2 and 3."""

    def __init__(self, bins: int, instruments: int, context: int, mask: str) -> None:
        super().__init__()
        if mask not in MASKS:
            raise ScoresepError(f"unknown mask '{mask}'{nearest(mask, MASKS)}")
        self.bins, self.instruments, self.context, self.mask = bins, instruments, context, mask

    @abstractmethod
    def logits(self, magnitude: Tensor) -> Tensor:
        """Magnitudes (B, F, T) -> (B, N, F, T), of which the masks are made."""

    def forward(self, magnitude: Tensor) -> Tensor:
        """Magnitudes (B, F, T) -> masks float32 (B, N, F, T)."""
        return MASKS[self.mask](self.logits(magnitude).float())


class Transcriptor(nn.Module, ABC):
    """Magnitudes to piano rolls (the paper's T). Trained in stages 1 and 3, critic of the separator in 2 and 3.

    Onsets tell repeated notes apart when a roll becomes notes; the critic's losses use the frame rolls alone.
    """

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context

    @abstractmethod
    def forward(self, magnitude: Tensor) -> Rolls:
        """Magnitudes (B, F, T) -> logits."""

    def labels(self, roll: Tensor) -> Tensor:
        """What it learns of a score: the roll itself, (B, N, P, T)."""
        return roll


@dataclass(frozen=True)
class Network:
    """A row of `networks.NETWORKS`.

    Attributes:
        settings: class of its sizes (`Settings`); no two rows share one.
        separator: (bins, instruments, settings, mask) -> separator; None if it is none.
        critics: what a transcriptor of it can tell apart -> (bins, instruments, settings) -> transcriptor. `keys` are
            notes; `frames` and `clips` only who plays in them. Empty if it is none.
        inherit: start a separator of it from a transcriptor with the same settings; None where nothing is shared.
    """

    settings: type
    separator: Callable[..., Separator] | None = None
    critics: Mapping[str, Callable[..., Transcriptor]] = field(default_factory=dict)
    inherit: Callable[[nn.Module, nn.Module], None] | None = None
