"""Where the time of the training steps goes.
The parts are told apart by hooks on the networks: on entering and leaving them forwards, and by hooks on their inputs
and outputs that fire as gradients arrive there. Hooks pass values on as they are, so a timed run computes what an
untimed one does. What a stage does besides (recording, validation, checkpoints) is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

PARTS = ("waiting", "variation", "transcriptor", "separator", "losses", "optimiser")
"""`waiting`: until a batch is on the device and unpacked; `variation`: `augment`; `losses`: forwards and backwards of
all that is not a network; `optimiser`: clipping, checking and stepping."""


class Clock:
    """Stop-watch of the parts of steps; on a GPU it marks the device's time line and waits for it in `read` alone."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu, self._device = device.type == "cuda", device
        self._marks: list[tuple[str, Any]] = []
        self._part = ""
        self._steps = 0

    def enter(self, part: str) -> str:
        """The part that runs from now on, '' for none that counts; returns the one that ran until now."""
        before, self._part = self._part, part
        self._marks.append((part, self._now()))
        return before

    def step_done(self) -> None:
        """A step has ended: nothing that counts runs until the next `enter`."""
        self.enter("")
        self._steps += 1

    def read(self) -> dict[str, float]:
        """Milliseconds a step by part and in all, since the last `read`; empty where no step was made."""
        if not self._steps:
            return {}
        if self._on_gpu:
            torch.cuda.synchronize(self._device)
        spent = dict.fromkeys(PARTS, 0.0)
        for (part, began), (_, ended) in zip(self._marks, self._marks[1:], strict=False):
            if part:
                spent[part] += began.elapsed_time(ended) if self._on_gpu else 1000 * (ended - began)
        values = {part: spent[part] / self._steps for part in PARTS}
        self._marks, self._steps = self._marks[-1:], 0
        return {**values, "step": sum(values.values())}

    @contextmanager
    def watching(self, networks: Mapping[str, nn.Module]) -> Iterator[None]:
        """Tell the networks' time from that of the losses, for the block."""
        handles = []
        for name, network in networks.items():
            handles.append(network.register_forward_pre_hook(lambda _, inputs, n=name: self._entering(n, inputs)))
            handles.append(network.register_forward_hook(lambda _, inputs, outputs, n=name: self._leaving(n, outputs)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _entering(self, name: str, inputs: tuple[Tensor, ...]) -> None:
        self.enter(name)
        for value in inputs:
            if value.requires_grad:
                value.register_hook(lambda _: self._pass("losses"))

    def _leaving(self, name: str, outputs: Tensor | tuple[Tensor, ...]) -> None:
        self.enter("losses")
        for value in (outputs,) if isinstance(outputs, Tensor) else outputs:
            if value.requires_grad:
                value.register_hook(lambda _: self._pass(name))

    def _pass(self, part: str) -> None:
        """A tensor hook: it returns nothing, so the gradient stays as it is."""
        self.enter(part)

    def _now(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))  # not of the current device, which may be another
        return event
