"""Who plays, as the separator is told in training: what a user may know, and may not say."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scoresep.cache.reader import Cache
from scoresep.losses.batch import Crop


def told(cache: Cache, crops: Sequence[Crop], share: float, generator: torch.Generator) -> Tensor:
    """Who may play, bool (B, N): those that play in a clip's song, for that share of the clips; for the others all.

    Of a song in which nobody plays nothing is told.
    """
    active = torch.from_numpy(cache.tracks.active[[row for row, _ in crops]])
    known = torch.rand(len(crops), generator=generator) < share
    return active | ~(known & active.any(1))[:, None]
