"""Weights of losses: as they are set, or learnt.

Kendall, Gal, Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics", CVPR
2018: a network minimises sum_i exp(-s_i) w_i L_i + s_i, over its parameters and over the logarithms s_i of the losses'
variances. The s_i begin with 0, so with the weights w_i that are set; where they settle, exp(-s_i) w_i is 1 / L_i.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp

WEIGHTINGS = ("fixed", "uncertainty")
"""As configs name them."""
RATE = 0.02
"""Of the gradient descent in the s_i, whose gradients are clipped to 1: a weight takes 35 steps to double or halve."""
LARGEST = 7.0
"""Of the |s_i|: weights become a thousand times what is set, or a thousandth, at most; so a loss that is 0 in most
batches, or negative, does not drive all others out."""


class LossWeights:
    """The weights of the networks' losses.

    In plain numbers and from the losses of the whole batch, so all processes find the same.

    Attributes:
        log_variances: the s_i by network and loss: 0 where weights are fixed.
    """

    def __init__(self, weights: Mapping[str, Mapping[str, float]], weighting: str) -> None:
        self._set, self._learnt = weights, weighting == "uncertainty"
        self.log_variances = {network: dict.fromkeys(losses, 0.0) for network, losses in weights.items()}

    def of(self, network: str) -> dict[str, float]:
        """exp(-s_i) w_i by loss."""
        return {loss: weight * exp(-self.log_variances[network][loss]) for loss, weight in self._set[network].items()}

    def step(self, network: str, losses: Mapping[str, float]) -> None:
        """A step of gradient descent in the s_i, where they are learnt: the gradient is 1 - exp(-s_i) w_i L_i."""
        for loss, weight in self.of(network).items() if self._learnt else ():
            gradient = max(-1.0, min(1.0, 1.0 - weight * losses[loss]))
            value = self.log_variances[network][loss] - RATE * gradient
            self.log_variances[network][loss] = max(-LARGEST, min(LARGEST, value))

    def record(self) -> dict[str, float]:
        """What the log holds of them: learnt weights by 'network/loss/weight'."""
        networks = self._set if self._learnt else ()
        return {f"{name}/{loss}/weight": weight for name in networks for loss, weight in self.of(name).items()}
