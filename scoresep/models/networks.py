"""The table of networks, and which of them a model has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from scoresep.errors import InvalidValue
from scoresep.grid import Grid
from scoresep.instruments import nearest, suggestion
from scoresep.models.base import Network, Separator, Settings, Transcriptor
from scoresep.models.hppnet import HPPNET
from scoresep.models.scnet import SCNET
from scoresep.models.tcn import TCN
from scoresep.models.unet import UNET
from scoresep.plugins import Registry

ROLES = ("transcriptor", "separator")
"""What a network is used as."""
NETWORKS = Registry("scoresep.networks", Network, {"tcn": TCN, "unet": UNET, "scnet": SCNET, "hppnet": HPPNET})
"""By name, as configs and checkpoints call them."""
DEFAULT = TCN
"""What a config has that names no network."""


class UnknownNetwork(InvalidValue):
    """A network that is not in the table: a slip, or one of a package that is not installed."""


def network_called(name: Any) -> Network:
    """A row by its name.

    Raises:
        UnknownNetwork: there is none.
    """
    if not isinstance(name, str) or name not in NETWORKS:
        raise UnknownNetwork(f"unknown network '{name}'", remedy=suggestion(str(name), NETWORKS))
    return NETWORKS[name]


def name_of(settings: Settings) -> str:
    """The network whose settings these are."""
    return next(name for name, row in NETWORKS.items() if type(settings) is row.settings)


@dataclass(frozen=True)
class Architecture:
    """Which networks a model has, by their settings."""

    transcriptor: Settings
    separator: Settings

    @classmethod
    def both(cls, settings: Settings) -> Architecture:
        """The same for both."""
        return cls(settings, settings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, Any]]) -> Architecture:
        """From plain values, which may be a stranger's.

        Raises:
            UnknownNetwork, InvalidValue, TypeError, KeyError: there is no such network, or it has no such settings.
        """
        made = []
        for role in ROLES:
            settings = dict(values[role])
            made.append(network_called(settings.pop("network")).settings(**settings))
        return cls(*made)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain values: name and settings of each."""
        both = {role: getattr(self, role) for role in ROLES}
        return {role: {"network": name_of(settings), **asdict(settings)} for role, settings in both.items()}

    @property
    def context(self) -> int:
        """Frames on either side that an output frame of either depends on."""
        return max(self.transcriptor.context, self.separator.context)

    def width(self, bins: int) -> int:
        """Values a frame of the widest layer of either, on a grid of so many bins."""
        both = (self.transcriptor, self.separator)
        return math.ceil(max(max(each.width, getattr(each, "width_per_bin", 0) * bins) for each in both))

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid that the networks are not made for.

        Raises:
            InvalidValue: one of them is made for another sample rate.
        """
        for role in ROLES:
            rate = getattr(getattr(self, role), "sample_rate", grid.sample_rate)
            if rate != grid.sample_rate:
                raise InvalidValue(
                    f"{role}.sample_rate is {rate}, and the grid's is {grid.sample_rate}",
                    remedy=f"set {role}.sample_rate={grid.sample_rate}",
                )

    def make_transcriptor(self, bins: int, instruments: int, critic: str) -> Transcriptor:
        """A transcriptor that tells apart what `critic` says (`base.Network.critics`).

        Raises:
            InvalidValue: its network cannot.
        """
        name = name_of(self.transcriptor)
        critics = NETWORKS[name].critics
        if critic not in critics:
            raise InvalidValue(
                f"network '{name}' is no transcriptor of '{critic}'{nearest(critic, critics)}", remedy="choose another"
            )
        return critics[critic](bins, instruments, self.transcriptor)

    def make_separator(self, bins: int, instruments: int, mask: str, conditioned: bool = False) -> Separator:
        """A separator with masks of a kind (`base.MASKS`) that sees so many bins (`Separator.seen`) and can be told who
        plays (`Separator.conditioned`).

        Raises:
            InvalidValue: its network is none, or there are no such masks.
        """
        name = name_of(self.separator)
        make = NETWORKS[name].separator
        if make is None:
            raise InvalidValue(f"network '{name}' is no separator", remedy="choose another")
        separator = make(bins + conditioned * instruments, instruments, self.separator, mask)
        separator.conditioned, separator.seen = conditioned, bins
        return separator

    def inherit(self, separator: nn.Module, transcriptor: nn.Module) -> bool:
        """Start a separator from a transcriptor, if they are of one network and size that can; whether it did."""
        start = NETWORKS[name_of(self.separator)].inherit
        if start is None or self.separator != self.transcriptor:
            return False
        start(separator, transcriptor)
        return True
