"""Critics that tell who plays, not which notes: the transcriptor's rivals. Called by `training.checkpoint`.

After Pishdadian, Wichern and Le Roux, "Finding Strength in Weakness: Learning to Separate Sounds With Weak
Supervision" (2020, arXiv 1911.02182): the separator's critic is a classifier that learns from temporal labels alone.
The trunk is the transcriptor's, so that rows differ in their labels and in nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from scoresep.models.tcn import Trunk, TrunkSettings
from scoresep.models.transcriptor import Rolls, Transcriptor


class Classifier(nn.Module):
    """A trunk and N sigmoids a frame; `pooled`, a clip.

    Over a clip the frames' logits are joined by the logarithm of their mean exponential: a maximum (a clip has an
    instrument if any of its frames has) through which every frame gets a gradient.
    """

    def __init__(self, bins: int, instruments: int, trunk: TrunkSettings, *, pooled: bool) -> None:
        super().__init__()
        self.pooled = pooled
        self.trunk = Trunk(bins, trunk)
        self.head = nn.Conv1d(trunk.channels, instruments, 1)

    @property
    def context(self) -> int:
        """Frames on either side that a frame's logits depend on."""
        return self.trunk.context

    def forward(self, magnitude: Tensor) -> Rolls:
        """Magnitudes relative to the track's level (B, F, T) -> logits (B, N, 1, T), `pooled` (B, N, 1, 1).

        There are no onsets: (B, 0, 1, ...).
        """
        logits = self.head(self.trunk(magnitude)).float().unsqueeze(2)
        if self.pooled:
            logits = torch.logsumexp(logits, 3, keepdim=True) - math.log(logits.shape[3])
        return Rolls(logits, logits[:, :0])

    def labels(self, roll: Tensor) -> Tensor:
        """What it learns of a score: roll (B, N, P, T) -> float 0 or 1 (B, N, 1, T), `pooled` (B, N, 1, 1)."""
        return roll.amax((2, 3) if self.pooled else 2, keepdim=True)


Critic = Transcriptor | Classifier
CRITICS: dict[str, Callable[[int, int, TrunkSettings], Critic]] = {
    "keys": Transcriptor,
    "frames": partial(Classifier, pooled=False),
    "clips": partial(Classifier, pooled=True),
}
"""By what they tell apart: the keys that sound, who plays in a frame, who plays in a clip."""
