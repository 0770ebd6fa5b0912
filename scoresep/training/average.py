"""A moving average of weights, which is often better than the last of them (Polyak and Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, dict[str, Tensor]]
"""States of networks, by name."""


class MovingAverage:
    """The exponential moving average a of the weights and statistics w of networks: a <- d a + (1 - d) w a step.

    d is (k + 1) / (k + 10) at step k, counted from 0, until that exceeds the decay: an average over few steps should
    not be one of the beginning. Integers are taken as they are.

    Attributes:
        decay: the largest d, from 0 to 1.
        steps: steps that were averaged.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float) -> None:
        self._networks, self.decay, self.steps = networks, decay, 0
        self._average = copied_states(networks)

    @torch.no_grad()
    def update(self) -> None:
        """Take a step into account."""
        share = 1 - min(self.decay, (self.steps + 1) / (self.steps + 10))
        self.steps += 1
        for name, network in self._networks.items():
            current, average = network.state_dict(), self._average[name]
            floats = [key for key, value in average.items() if value.is_floating_point()]
            torch._foreach_lerp_([average[key] for key in floats], [current[key] for key in floats], share)
            for key in average.keys() - set(floats):
                average[key].copy_(current[key])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the networks are the average."""
        own = copied_states(self._networks)
        self.take()
        try:
            yield
        finally:
            load_states(self._networks, own)

    def take(self) -> None:
        """Make the networks the average."""
        load_states(self._networks, self._average)

    def state(self) -> dict[str, Any]:
        """What `resume` needs, as plain values and tensors."""
        return {"steps": self.steps, "weights": self._average}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.steps = state["steps"]
        for name, average in self._average.items():
            for key, value in average.items():
                value.copy_(state["weights"][name][key])


def copied_states(networks: Mapping[str, nn.Module]) -> State:
    """Copies of all weights and statistics."""
    return {
        name: {key: value.detach().clone() for key, value in network.state_dict().items()}
        for name, network in networks.items()
    }


def load_states(networks: Mapping[str, nn.Module], states: State) -> None:
    """Copy weights and statistics into the networks that have some in `states`."""
    for name, state in states.items():
        networks[name].load_state_dict(state)


def copied(values: Sequence[Tensor]) -> list[Tensor]:
    """Copies, made in a kernel or two on a GPU rather than in one for each."""
    copies = [torch.empty_like(value) for value in values]
    for kind in {value.dtype for value in values}:
        pairs = [(copy, value) for copy, value in zip(copies, values, strict=True) if value.dtype == kind]
        torch._foreach_copy_([copy for copy, _ in pairs], [value for _, value in pairs])
    return copies
