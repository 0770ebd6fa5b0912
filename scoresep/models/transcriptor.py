"""The transcriptor: magnitudes to piano rolls. Trained in stages 1 and 3, critic of the separator in 2 and 3."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from scoresep.grid import PITCHES
from scoresep.models.tcn import Trunk, TrunkSettings

RARE = -4.0
"""Starting bias of the output: a key sounds in about 2 % of frames, so learning need not begin by finding that out."""


class Rolls(NamedTuple):
    """Logits of what sounds and of what begins, float32 (B, N, P, T) each."""

    frame: Tensor
    onset: Tensor


class Transcriptor(nn.Module):
    """A trunk and N x 88 sigmoids for sounding keys (the paper's T), with as many for onsets beside them.

    Onsets tell repeated notes apart when a roll becomes notes; the critic's losses use the frame rolls alone.
    """

    def __init__(self, bins: int, instruments: int, trunk: TrunkSettings) -> None:
        super().__init__()
        self.instruments = instruments
        self.trunk = Trunk(bins, trunk)
        self.head = nn.Conv1d(trunk.channels, 2 * instruments * PITCHES, 1)
        nn.init.constant_(self.head.bias, RARE)

    @property
    def context(self) -> int:
        """Frames on either side that an output frame depends on."""
        return self.trunk.context

    def forward(self, magnitude: Tensor) -> Rolls:
        """Magnitudes relative to the track's level (B, F, T) -> logits."""
        logits = self.head(self.trunk(magnitude)).float()
        frame, onset = logits.unflatten(1, (2, self.instruments, PITCHES)).unbind(1)
        return Rolls(frame, onset)

    def labels(self, roll: Tensor) -> Tensor:
        """What it learns of a score: the roll itself, (B, N, P, T)."""
        return roll
