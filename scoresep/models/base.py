"""What a network must offer to be a separator or a transcriptor.

A new network is three things:

1. `Settings`: a frozen dataclass of its sizes, which says how far it looks and how wide it is;
2. a `Separator` (magnitudes to masks), a `Transcriptor` (magnitudes to piano rolls), or both;
3. a `Network`, the row that names them: in `networks.NETWORKS`, or in a package of yours by an entry point of the group
   `scoresep.networks` (docs/how-to/network.md).

In evaluation mode an output frame must depend on nothing but the input frames within `context` on either side: that is
what makes separation in blocks equal to separation of the whole. Input and output have the same frames. Weights and
statistics of more than one axis are rounded in small checkpoints (`compact`); all state must be in `state_dict`.

Axes: B batch, N instruments, F frequency bins, T frames, P pitches. Magnitudes are float32 >= 0, relative to the level
of the recording.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from scoresep.errors import InvalidValue
from scoresep.instruments import suggestion

MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: torch.softmax(logits, dim=1),
    "sigmoid": torch.sigmoid,
}
"""How logits (B, N, F, T) become masks: softmax shares every bin out among the instruments, sigmoid is independent."""
TOP = 0.7
"""Share of the bins that a separator sees from which on their mean mask serves for those above them
(`separation.mask_resampling.TOP_BAND` is the same for a recording of a higher rate than the grid's)."""
MAX_CONTEXT = 10_000
"""Frames on either side that a network may depend on: bounds the memory of a block, which needs its context on both
sides. The `paper` config's networks depend on 381."""


class Rolls(NamedTuple):
    """Logits of what sounds and of what begins, float32 (B, N, P, T) each."""

    frame: Tensor
    onset: Tensor


class Settings(Protocol):
    """Sizes of a network: a frozen dataclass of integers, floats, strings and booleans, all with defaults.

    If it also has `width_per_bin`, values a frame and frequency bin, that bounds the memory as `width` does; if it has
    `sample_rate`, Hz, grids of other rates are refused.

    It raises `InvalidValue` when it is made of impossible sizes: they may come from a stranger's checkpoint, so each
    must be bounded before anything is made of it.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def context(self) -> int:
        """Frames on either side that an output frame depends on, `MAX_CONTEXT` at most."""
        ...

    @property
    def width(self) -> int:
        """Values a frame of its widest layer, inputs and outputs aside: bounds the memory of a block."""
        ...


class Separator(nn.Module, ABC):
    """Magnitudes to N x F masks in [0, 1]; separated track i is S_i = M_i * X. Trained in stages 2 and 3.

    Attributes:
        conditioned: whether it sees who does not play, as N rows more beside the magnitudes, 1 or 0: it was made for
            F + N bins then, and of its logits those of F are used. Set by who makes it.
        seen: how many of the F bins of the grid, from 0 Hz on, it sees and makes masks of; it was made for so many.
            Above, each instrument has the mean of its mask over the upper part of these (`TOP`), weighted by the
            mixture. Set by who makes it; by default all.

    Args:
        bins: F.
        instruments: N.
        context: that of its settings.
        mask: a name of `MASKS`.

    Raises:
        InvalidValue: there are no such masks.
    """

    def __init__(self, bins: int, instruments: int, context: int, mask: str) -> None:
        super().__init__()
        if mask not in MASKS:
            raise InvalidValue(f"unknown mask '{mask}'", remedy=suggestion(mask, MASKS))
        self.bins, self.instruments, self.context, self.mask = bins, instruments, context, mask
        self.conditioned, self.seen = False, bins

    @abstractmethod
    def logits(self, magnitude: Tensor) -> Tensor:
        """Magnitudes (B, F, T) -> (B, N, F, T), of which the masks are made."""

    def forward(self, magnitude: Tensor, present: Tensor | None = None) -> Tensor:
        """Magnitudes (B, F, T) -> masks float32 (B, N, F, T).

        Args:
            magnitude: (B, F, T).
            present: who plays, bool (N,) or (B, N), at least one; None where nobody knows. The masks of the others are
                0; softmax shares every bin out among those who play.
        """
        seen = magnitude[:, : self.seen]
        if self.conditioned:
            seen = torch.cat([seen, self._absence(magnitude, present)], dim=1)
        logits = self.logits(seen).float()[:, :, : self.seen]
        if present is not None:
            absent = present.logical_not().reshape(-1, self.instruments, 1, 1)
            logits = logits.masked_fill(absent, -torch.inf)
        masks = MASKS[self.mask](logits)
        unseen = magnitude.shape[1] - self.seen
        return masks if unseen <= 0 else self._extended(masks, magnitude, unseen)

    def _extended(self, masks: Tensor, magnitude: Tensor, unseen: int) -> Tensor:
        """Masks (B, N, seen, T) and those of the bins above: (B, N, F, T)."""
        top = slice(int(TOP * self.seen), self.seen)
        weight = magnitude[:, None, top] + 1e-6
        share = (masks[:, :, top] * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True)
        return torch.cat([masks, share.expand(-1, -1, unseen, -1)], dim=2)

    def _absence(self, magnitude: Tensor, present: Tensor | None) -> Tensor:
        """Who is known not to play, as rows beside magnitudes (B, F, T): 0 or 1, (B, N, T)."""
        clips, _, frames = magnitude.shape
        if present is None:
            return magnitude.new_zeros(clips, self.instruments, frames)
        absent = present.logical_not().to(magnitude.dtype).view(-1, self.instruments, 1)
        return absent.expand(clips, -1, frames)


class Transcriptor(nn.Module, ABC):
    """Magnitudes to piano rolls (the paper's T). Trained in stages 1 and 3, critic of the separator in 2 and 3.

    Onsets tell repeated notes apart when a roll becomes notes; the critic's losses use the frame rolls alone.

    Args:
        context: that of its settings.
    """

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context

    @abstractmethod
    def forward(self, magnitude: Tensor) -> Rolls:
        """Magnitudes (B, F, T) -> logits."""

    def labels(self, roll: Tensor) -> Tensor:
        """Targets of the frame logits, made of a score's piano roll (B, N, P, T): by default the roll itself."""
        return roll


@dataclass(frozen=True)
class Network:
    """A row of `networks.NETWORKS`.

    Attributes:
        settings: class of its sizes (`Settings`); no two rows share one.
        separator: (bins, instruments, settings, mask) -> separator; None if it is none.
        critics: what a transcriptor of it can tell apart -> (bins, instruments, settings) -> transcriptor. `keys` are
            notes; `frames` and `clips` only who plays in them. Empty if it is none.
        inherit: (separator, transcriptor): start the former from the latter, which has the same settings; None where
            nothing is shared.
    """

    settings: type[Settings]
    separator: Callable[..., Separator] | None = None
    critics: Mapping[str, Callable[..., Transcriptor]] = field(default_factory=dict)
    inherit: Callable[[Any, Any], None] | None = None
