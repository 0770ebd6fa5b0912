"""Time the depthwise convolution of `scoresep.models.tcn` against `conv1d`, forward and backward, in one run.

    python tools/bench_depthwise.py [--threads 2]

Prints the ratio for each dilation of the `mini` and the `paper` trunk at their batch sizes; above 1 ours is faster.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional
from turns import medians

from scoresep.models.tcn import DepthwiseConv
from scoresep.training.config_files import load_config

REPEATS = 15


def main() -> None:
    """Print one line a config and dilation."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(options.parse_args().threads)
    for name in ("mini", "paper"):
        config = load_config(name)
        x = torch.randn(config.data.batch_size, config.separator.hidden, config.data.clip_frames, requires_grad=True)
        for dilation in (2**b for b in range(config.separator.blocks)):
            ours = DepthwiseConv(config.separator.hidden, dilation)
            ratio = compare(partial(plain, x, ours), partial(ours, x))
            print(f"{name}: {tuple(x.shape)}, dilation {dilation:3d}: conv1d / ours = {ratio:.2f}")


def plain(x: Tensor, layer: DepthwiseConv) -> Tensor:
    """The same convolution by PyTorch's own kernel."""
    d = layer.dilation
    return functional.conv1d(x, layer.weight, padding=d, dilation=d, groups=x.shape[1])


def compare(reference: Callable[[], Tensor], ours: Callable[[], Tensor]) -> float:
    """Median time of the first, forward and backward, over that of the second."""
    ways = {"reference": reference, "ours": ours}
    times = medians({name: lambda way=way: way().sum().backward() for name, way in ways.items()}, REPEATS)
    return times["reference"] / times["ours"]


if __name__ == "__main__":
    main()
