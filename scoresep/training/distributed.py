"""Several processes that train one model, started by `torchrun`.

`data.batch_size` counts the clips of a step over all processes: each reads its share, gradients are averaged, and what
a formula takes from the whole batch (statistics of normalisation, the mixture losses' total magnitude, tracks of other
clips in X~) is summed over the processes. So the same config gives the same parameters on one device and on many, up to
rounding; variations of clips are drawn by each process for its own (docs/explanation/training.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce

Result = TypeVar("Result")


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: number of this one.
        size: how many there are.
        local_size: how many of them are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, clips: int) -> slice:
        """This process's part of so many clips, a multiple of `size`."""
        count = clips // self.size
        return slice(self.rank * count, (self.rank + 1) * count)

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes, on all of them; no gradient."""
        if self.size > 1:
            values = values.detach().clone()
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any process."""
        return bool(self.sum(torch.tensor(float(flag)))) if self.size > 1 else flag

    def gather_objects(self, value: Result) -> list[Result]:
        """The values of all processes, on all of them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def gather_clips(self, clips: Tensor) -> Tensor:
        """(B, ...) of each process -> (all B, ...) on all of them, in the order of ranks; gradients flow back."""
        if self.size == 1:
            return clips
        everything = clips.new_zeros((len(clips) * self.size, *clips.shape[1:]))
        everything[self.share(len(everything))] = clips
        return summed(everything)

    def from_first(self, make: Callable[[], Result]) -> Result:
        """What `make` returns on the first process, on all of them; its exception, on all of them."""
        if self.size == 1:
            return make()
        message: list[Any] = [None, None]
        if self.is_first:
            try:
                message[0] = make()
            except Exception as fault:
                message[1] = fault
        distributed.broadcast_object_list(message, src=0)
        if message[1] is not None:
            raise message[1]
        result: Result = message[0]
        return result

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give the gradients, in place, their mean over all processes."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        means = torch.split(flat / self.size, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def share_start(self, network: nn.Module) -> None:
        """Give a network, in place, the first process's parameters and statistics."""
        for values in network.state_dict().values() if self.size > 1 else ():
            distributed.broadcast(values, src=0)

    def share_statistics(self, network: nn.Module) -> None:
        """Let the network's batch normalisation, in place, see the clips of all processes."""
        if self.size > 1 and next(network.parameters()).is_cuda:
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # of torch
        elif self.size > 1:
            for module in network.modules():
                if type(module) is nn.BatchNorm1d:
                    module.__class__ = SyncBatchNormCPU


ALONE = World()


def summed(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, through which gradients are summed as well."""
    total: Tensor = all_reduce(values)  # type: ignore[no-untyped-call]  # of torch
    return total


class SyncBatchNormCPU(nn.BatchNorm1d):
    """Batch normalisation over the clips of all processes, for CPUs: `nn.SyncBatchNorm` is for GPUs alone."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T); B clips on each process."""
        if not self.training:
            return super().forward(x)
        values, count = x.float(), distributed.get_world_size() * x.shape[0] * x.shape[2]
        mean = summed(values.sum((0, 2))) / count
        centred = values - mean[:, None]
        variance = summed(centred.square().sum((0, 2))) / count
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        with torch.no_grad():
            self.get_buffer("num_batches_tracked").add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None] + self.bias[:, None]).to(x.dtype)


@contextmanager
def joined(device: torch.device | None = None) -> Iterator[World]:
    """Join the processes that `torchrun` started, if it did, for the block.

    Args:
        device: of this process; None for one GPU a process where there are GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    on_gpu = device.type == "cuda" if device else torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(device if device and device.index is not None else int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    yield World(distributed.get_rank(), size, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    distributed.barrier()  # for gloo's threads, too: one that drops its tensors after the interpreter's end aborts
    distributed.destroy_process_group()  # after a fault this waits for the others, whom torchrun ends
