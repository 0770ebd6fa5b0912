"""Time the losses that are computed in one pass on a CPU against the same losses as tensor operations.

    python tools/bench_losses.py [--clips 24] [--frames 64] [--instruments 3] [--threads 1] [--repeats 9]

Each with its gradient of the separated tracks, on random clips; both ways must give the same. Times are the median of
the repeats, taken in turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor
from turns import medians

from scoresep.grid import PITCHES, Grid
from scoresep.losses import formulas as losses
from scoresep.losses import fused

Loss = Callable[[Tensor], Tensor]
"""Of the separated tracks, the rest being given."""


def main() -> None:
    """Print one line a loss."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--clips", type=int, default=24)
    options.add_argument("--frames", type=int, default=64)
    options.add_argument("--instruments", type=int, default=3)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--repeats", type=int, default=9)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    shape = (chosen.clips, chosen.instruments, Grid().bins, chosen.frames)
    tracks = torch.rand(shape, requires_grad=True)
    for name, loss in examples(shape).items():
        quick, plain = slope(loss, tracks), slope(as_operations(loss), tracks)
        assert torch.allclose(quick, plain, atol=1e-9), name
        ways = {"quick": lambda f=loss: slope(f, tracks), "plain": lambda f=loss: slope(as_operations(f), tracks)}
        took = medians(ways, chosen.repeats, time.perf_counter)
        print(
            f"{name:12} {1000 * took['quick']:6.1f} ms in one pass, {1000 * took['plain']:6.1f} ms as operations, "
            f"{took['plain'] / took['quick']:.1f} times as long"
        )


def examples(shape: tuple[int, int, int, int]) -> dict[str, Loss]:
    """The losses by name, on random clips of tracks (B, N, F, T)."""
    clips, count, bins, frames = shape
    mixture, roll = torch.rand(clips, bins, frames), (torch.rand(clips, count, PITCHES, frames) < 0.05).float()
    harmonic, parts = torch.rand(shape) < 0.3, torch.rand(shape)
    return {
        "clip": lambda tracks: losses.clip_mixture_loss(mixture, tracks, roll),
        "harmonic": lambda tracks: losses.harmonic_mixture_loss(mixture, tracks, harmonic),
        "stem": lambda tracks: losses.stem_loss(mixture, tracks, parts),
        "teacher": lambda tracks: losses.teacher_loss(mixture, tracks, parts),
    }


def slope(loss: Loss, tracks: Tensor) -> Tensor:
    """The gradient of a loss."""
    return torch.autograd.grad(loss(tracks), tracks)[0]


def as_operations(loss: Loss) -> Loss:
    """The loss where it may not be computed in one pass."""

    def plain(tracks: Tensor) -> Tensor:
        with mock.patch.object(fused, "applies", return_value=False):
            return loss(tracks)

    return plain


if __name__ == "__main__":
    main()
