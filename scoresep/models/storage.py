"""Nested plain values and tensors in one safetensors file.

The tensors are the file's own; everything around them is JSON in its metadata. Reading such a file runs no code and
takes memory in proportion to its length: safetensors refuses tensors that overlap or leave the file, the length of the
header is checked before it is parsed, and every tensor is used exactly once. A digest tells a damaged file from a
whole one.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from scoresep._version import __version__
from scoresep.errors import Damaged, WrongVersion
from scoresep.files import first_bytes

KEY = "scoresep"
"""The metadata's only key: with several, their order would differ from write to write."""
BEGINNING = b'{"__metadata__":{"' + KEY.encode() + b'":'
"""What the header of every file begins with, after its length in 8 bytes."""
LARGEST_HEADER = 16 * 2**20
"""Bytes of a header, at most, lest parsing a forged one fill the memory; a run's largest have some 300 kB."""


def write(path: Path, version: int, content: dict[str, Any]) -> None:
    """Write a file of a version.

    Args:
        content: None, truth values, numbers, texts and tensors in dicts, lists and tuples. Keys are any of the former.

    Raises:
        TypeError: a value is of another type.
        OSError: the disk does not take it.
    """
    tensors: dict[str, Tensor] = {}
    values = _encode(content, "", tensors)
    about = {"version": version, "made_by": __version__, "digest": digest_of(values, tensors), "content": values}
    path.write_bytes(save(tensors, {KEY: json.dumps(about)}))  # by ourselves: safetensors hides what a full disk says


def read(path: Path, version: int) -> dict[str, Any]:
    """The content of a file, types of containers included, its tensors on the CPU.

    Raises:
        WrongVersion: the file is of another version.
        Damaged: its content is not what was written.
        Exception: of many types, from `json` and `safetensors`: it is cut short, or forged.
    """
    if int.from_bytes(first_bytes(path, 8), "little") > LARGEST_HEADER:
        raise ValueError("its header is too long")
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()[KEY])
        if about["version"] != version:
            raise WrongVersion(
                f"checkpoint of version {about['version']}; this scoresep reads version {version}",
                file=path,
                remedy=f"train it anew, or use the scoresep that made it ({about['made_by']})",
            )
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it is no dict
    if about["digest"] != digest_of(about["content"], tensors):
        raise Damaged(
            "damaged checkpoint: its content is not what was written",
            file=path,
            remedy="train it anew or fetch it again",
        )
    content = _decode(about["content"], tensors)
    if tensors:
        raise ValueError(f"it has tensors without a place, such as {next(iter(tensors))}")
    if not isinstance(content, dict):
        raise TypeError("its content is no dict")
    return content


def is_stored(path: Path) -> bool:
    """Whether `path` looks like a file that `write` made."""
    return first_bytes(path, 8 + len(BEGINNING))[8:] == BEGINNING


def digest_of(values: Any, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of encoded values and of tensors with their names, types and shapes."""
    digest = hashlib.sha256(json.dumps(values).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _encode(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`value`, found at the path `name`, as JSON. Its tensors go to `tensors`.

    What JSON does not have is a dict with one key: `$tensor`, `$tuple`, `$float` (nan, inf) or `$dict` (pairs).
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, Tensor):
        if name in tensors:
            raise ValueError(f"two tensors are at {name}")
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"$tensor": name}
    if isinstance(value, (list, tuple)):
        items = [_encode(item, f"{name}/{place}", tensors) for place, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, dict):
        pairs = [(key, _encode(item, f"{name}/{key}".lstrip("/"), tensors)) for key, item in value.items()]
        if all(type(key) is str and not key.startswith("$") for key in value):
            return dict(pairs)
        return {"$dict": [[_encode(key, name, tensors), item] for key, item in pairs]}
    raise TypeError(f"{name} is of type {type(value).__name__}")


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What `_encode` was given; takes each tensor out of `tensors`, so that none can be named twice."""
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((kind, inner),) = value.items()
        if kind == "$tensor":
            return tensors.pop(inner)
        if kind == "$tuple":
            return tuple(_decode(inner, tensors))
        if kind == "$float":
            return float(inner)
        if kind == "$dict":
            return {_decode(key, tensors): _decode(item, tensors) for key, item in inner}
    return {key: _decode(item, tensors) for key, item in value.items()}
