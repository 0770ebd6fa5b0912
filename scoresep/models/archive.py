"""Looking through a file of `torch.save` before it is believed.
`torch.load(weights_only=True)` runs no code, but takes what memory it is told to: it inflates packed records and makes
byte arrays of any length, and a tensor whose strides are 0 claims any size. Here the archive's table and its pickle are
read without the weights, and refused unless they hold what scoresep saves: nested plain values, and tensors that lie
in the file with all their elements.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

STORAGES = {
    f"{name}Storage": kind
    for name, kind in {
        "Float": torch.float32,
        "Double": torch.float64,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Byte": torch.uint8,
        "Char": torch.int8,
        "Bool": torch.bool,
    }.items()
}
"""By torch's name of it, the type of a storage's elements."""
_WRITTEN = (
    "PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 "
    "TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL "
    "REDUCE BUILD BINPERSID"
)
OPCODES = frozenset(_WRITTEN.split())
"""What a pickle of `torch.save` is made of; opcodes that take memory by a number of their own are not among them."""
LARGEST_PICKLE = 64 * 2**20
"""Bytes of all but the weights; a checkpoint that can go on has some 100 kB."""
DEEPEST = 50
"""Values within values; a checkpoint has 8."""
MOST_AXES = 8
SHARED = 4
"""How often the same bytes may be named, on average: the digest reads them each time."""


@dataclass(frozen=True)
class Stored:
    """A tensor, or a storage, that is in the file: its type and axes."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def look_through(path: Path) -> Any:
    """What `torch.load` would give, with `Stored` in place of tensors; takes memory by the file's own size.

    Raises:
        ValueError: it holds what scoresep never saves.
        Exception: of many types, from `zipfile` and `pickle`: it is no such file, or damaged.
    """
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        _check_entries(entries, size)
        root = entries[0].filename.split("/")[0]
        records = {entry.filename.removeprefix(f"{root}/"): entry for entry in entries}
        if records["data.pkl"].file_size > LARGEST_PICKLE:
            raise ValueError("its description is too long")
        content = archive.read(records["data.pkl"])
    _check_opcodes(content)
    found = _Reader(content, {name: entry.file_size for name, entry in records.items()}).load()
    _check_values(found, len(content), SHARED * size)
    return found


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse an archive whose records are packed, lie upon one another, or can be mistaken for one another."""
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size for entry in entries):
        raise ValueError("its records are packed")
    if sum(entry.file_size for entry in entries) > size or min(entry.header_offset for entry in entries):
        raise ValueError("its records do not lie side by side")
    if len({entry.filename.lower() for entry in entries}) != len(entries):
        raise ValueError("two of its records have one name")


def _check_opcodes(content: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name not in OPCODES:
            raise ValueError(f"it is written with {opcode.name}")
        if opcode.name == "LONG_BINPUT" and argument > len(content):  # pickle makes a table of so many places
            raise ValueError("it counts more values than it has")


class _Reader(pickle.Unpickler):
    """Reads a pickle whose every name stands for something harmless of ours."""

    def __init__(self, content: bytes, sizes: dict[str, int]) -> None:
        super().__init__(io.BytesIO(content))
        self._sizes = sizes

    def find_class(self, module: str, name: str) -> Callable[..., Any] | torch.dtype:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise ValueError(f"it asks for {module}.{name}")

    def persistent_load(self, reference: Any) -> Stored:
        _, dtype, key, _, count = reference
        storage = Stored(dtype, (count,))
        if storage.bytes != self._sizes[f"data/{key}"]:
            raise ValueError(f"storage {key} has another size than is said")
        return storage


def _tensor(storage: Stored, offset: int, shape: Any, strides: Any, requires_grad: bool, hooks: Any) -> Stored:
    """The tensor at `offset` of a storage; no two of its elements may be one."""
    tensor = Stored(storage.dtype, tuple(shape))
    if not len(shape) == len(strides) <= MOST_AXES or min((offset, *shape, *strides), default=0) < 0 or hooks:
        raise ValueError("a tensor has impossible axes")
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if tensor.bytes and not (tensor.bytes <= storage.bytes and last < storage.shape[0]):
        raise ValueError("a tensor is larger than what is stored of it")
    return tensor


def _check_values(content: Any, most: int, most_bytes: int) -> None:
    """Refuse what is not made of plain values and tensors, is nested too deep, or repeats itself without end.

    `most`: values that there may be, each counted as often as it is met; `most_bytes`: bytes of tensors.
    """
    waiting = [(content, 1)]
    while waiting:
        value, depth = waiting.pop()
        most -= 1
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, (list, tuple)):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, Stored):
            most_bytes -= value.bytes
        elif value is not None and type(value) not in (bool, int, float, str):
            raise ValueError(f"it holds a value of type {type(value).__name__}")
        if most < 0 or most_bytes < 0 or depth > DEEPEST:
            raise ValueError("it repeats itself without end")
