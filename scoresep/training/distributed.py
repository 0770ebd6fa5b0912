"""Several processes that train one model, started by `torchrun`.
`data.batch` counts the clips of a step over all ranks: each reads its share, DistributedDataParallel averages the
gradients, and what a formula takes from the whole batch (statistics of normalisation, the mixture losses' total
magnitude, tracks of other clips in X~) is summed over the ranks. So the same config gives the same parameters on one
device and on many, up to rounding; variations of clips are drawn by each rank for its own
(docs/explanation/training.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from scoresep.errors import ScoresepError
from scoresep.losses import formulas as losses
from scoresep.losses.table import Pass

Result = TypeVar("Result")


@dataclass(frozen=True)
class Ranks:
    """The processes of a run.

    Attributes:
        rank: number of this one.
        count: how many there are.
        local: how many of them are on this machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """This rank's part of `batch` clips.

        Raises:
            ScoresepError: the clips cannot be shared out evenly.
        """
        for fault in self.uneven(batch):
            raise ScoresepError(f"config: {fault}")
        size = batch // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def uneven(self, batch: int) -> list[str]:
        """What is wrong with sharing `batch` clips out, if anything."""
        return [f"data.batch is {batch}, which {self.count} processes cannot share evenly"] * bool(batch % self.count)

    def total(self, values: Tensor) -> Tensor:
        """The sum of `values` over all ranks, on all of them; no gradient."""
        if self.count > 1:
            values = values.detach().clone()
            distributed.all_reduce(values)
        return values

    def any(self, wish: bool) -> bool:
        """Whether any rank wishes it."""
        return bool(self.total(torch.tensor(float(wish)))) if self.count > 1 else wish

    def gather(self, value: Result) -> list[Result]:
        """The values of all ranks, on all of them."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, value)
        return found

    def from_first(self, make: Callable[[], Result]) -> Result:
        """What `make` returns on the first rank, on all of them; its fault, on all of them."""
        if self.count == 1:
            return make()
        message: list[Any] = [None, None]
        if self.first:
            try:
                message[0] = make()
            except Exception as fault:
                message[1] = fault
        distributed.broadcast_object_list(message, src=0)
        if message[1] is not None:
            raise message[1]
        return message[0]

    def spread(self, objective: nn.Module) -> nn.Module:
        """The module with gradients averaged over the ranks; starts with the first rank's parameters everywhere."""
        return DistributedDataParallel(objective, broadcast_buffers=False) if self.count > 1 else objective

    def join_statistics(self, network: nn.Module) -> None:
        """Let the network's batch normalisation, in place, see the whole batch."""
        if self.count > 1 and next(network.parameters()).is_cuda:
            nn.SyncBatchNorm.convert_sync_batchnorm(network)
        elif self.count > 1:
            for module in list(network.modules()):
                for name, child in module.named_children():
                    if type(child) is nn.BatchNorm1d:
                        setattr(module, name, SharedNorm.like(child, self))

    def view(self, plain: Pass) -> Pass:
        """A pass that takes the tracks of X~ from the whole batch."""
        return SharedPass(self, plain) if self.count > 1 else plain


ALONE = Ranks()


class SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all ranks, through which gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return SumOverRanks.forward(ctx, gradient)


class SharedNorm(nn.BatchNorm1d):
    """Batch normalisation over the clips of all ranks, for CPUs: `nn.SyncBatchNorm` is for GPUs alone."""

    ranks: Ranks

    @classmethod
    def like(cls, norm: nn.BatchNorm1d, ranks: Ranks) -> SharedNorm:
        """One with the parameters and statistics of `norm`, shared with it."""
        made = cls(norm.num_features, norm.eps, norm.momentum)
        made.ranks, made.training = ranks, norm.training
        made.weight, made.bias = norm.weight, norm.bias
        made.running_mean, made.running_var = norm.running_mean, norm.running_var
        made.num_batches_tracked = norm.num_batches_tracked
        return made

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T); B clips on each rank."""
        if not self.training:
            return super().forward(x)
        values, count = x.float(), self.ranks.count * x.shape[0] * x.shape[2]
        mean = SumOverRanks.apply(values.sum((0, 2))) / count
        centred = values - mean[:, None]
        variance = SumOverRanks.apply(centred.square().sum((0, 2))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None] + self.bias[:, None]).to(x.dtype)


class SharedPass(Pass):
    """A pass over one rank's clips whose X~ takes tracks from the clips of all ranks.

    `shifts` are those of the whole batch.
    """

    def __init__(self, ranks: Ranks, plain: Pass) -> None:
        super().__init__(plain.model, plain.batch, plain.shifts, plain.__dict__.get("separated"), plain.objective)
        self.ranks = ranks

    def detached(self) -> Pass:
        return SharedPass(self.ranks, super().detached())

    @cached_property
    def crossed(self) -> tuple[Tensor, Tensor]:
        """T(X~) frame logits and y~ of this rank's clips, (B, N, P, T) each."""
        mixture, roll = losses.cross_mixture(self._all(self.separated), self._all(self.labels), self.shifts)
        own = self.ranks.share(len(mixture))
        return self.model.transcriptor(mixture[own]).frame, roll[own]

    def _all(self, values: Tensor) -> Tensor:
        """Clips of all ranks, in the order of ranks."""
        whole = values.new_zeros((len(values) * self.ranks.count, *values.shape[1:]))
        whole[self.ranks.share(len(whole))] = values
        return SumOverRanks.apply(whole)


@contextmanager
def joined(device: torch.device | None = None) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, if it did, for the block.

    Args:
        device: of this process; None for one GPU a process where there are GPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    on_gpu = device.type == "cuda" if device else torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(device if device and device.index is not None else int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    yield Ranks(distributed.get_rank(), count, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    distributed.barrier()  # for gloo's threads, too: one that drops its tensors after the interpreter's end aborts
    distributed.destroy_process_group()  # after a fault this waits for the others, whom torchrun ends
