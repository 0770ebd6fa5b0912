"""The separator: magnitudes to one mask per instrument. Trained in stages 2 and 3; needs no score."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scoresep.errors import ScoresepError
from scoresep.instruments import nearest
from scoresep.models.tcn import Trunk, TrunkSettings

MASKS = {"softmax": lambda logits: torch.softmax(logits, dim=1), "sigmoid": torch.sigmoid}
"""How logits (B, N, F, T) become masks: softmax shares every bin out among the instruments, sigmoid is independent."""


class Separator(nn.Module):
    """A trunk and N x F masks in [0, 1]; separated track i is S_i = M_i * X."""

    def __init__(self, bins: int, instruments: int, trunk: TrunkSettings, mask: str) -> None:
        super().__init__()
        if mask not in MASKS:
            raise ScoresepError(f"unknown mask '{mask}'{nearest(mask, MASKS)}")
        self.bins, self.instruments, self.mask = bins, instruments, mask
        self.trunk = Trunk(bins, trunk)
        self.head = nn.Conv1d(trunk.channels, instruments * bins, 1)

    @property
    def context(self) -> int:
        """Frames on either side that an output frame depends on."""
        return self.trunk.context

    def forward(self, magnitude: Tensor) -> Tensor:
        """Magnitudes relative to the track's level (B, F, T) -> masks float32 (B, N, F, T)."""
        logits = self.head(self.trunk(magnitude)).float().unflatten(1, (self.instruments, self.bins))
        return MASKS[self.mask](logits)
