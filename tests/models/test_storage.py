"""Nested values and tensors in a file: what goes in comes out, and nothing else does."""

from __future__ import annotations

import json
import math

import pytest
import safetensors.torch
import torch

from scoresep.errors import Damaged, WrongVersion
from scoresep.models import storage

PLAIN = {
    "numbers": [0, -1, 2**70, 0.1 + 0.2, 5e-324, -0.0, math.inf, -math.inf],
    "truth": [True, False, None],
    "containers": [(), (1, (2,)), [], {}, [[]], {"a": ({"b": []},)}],
    "texts": ["", "\n\0", "\U0001f3b9", "\udc80"],  # the last is a byte of a file's name that is no text
    "$tensor": {"$dict": "not what it seems"},
    "keys": {0: "a", "0": "b", (1, "x"): "c", None: "d", 0.5: "e"},
}


def test_plain_values_come_back_with_their_types(tmp_path):
    storage.write(tmp_path / "a", 1, PLAIN)
    assert repr(storage.read(tmp_path / "a", 1)) == repr(PLAIN)  # unlike ==, it tells 0 from False and -0.0
    storage.write(tmp_path / "a", 1, {"x": math.nan})
    assert math.isnan(storage.read(tmp_path / "a", 1)["x"])


def test_tensors_come_back_to_the_bit(tmp_path):
    whole = torch.randn(4, 6)
    tensors = {
        "view": whole[:, ::2],
        "whole": (whole, whole),
        "scalar": torch.tensor(3, dtype=torch.int64),
        "empty": torch.zeros(0, 3),
        "nan": torch.tensor([math.nan, -math.inf, -0.0]),
        "half": torch.randn(3).half(),
        "bfloat16": torch.randn(3).bfloat16(),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "signed": torch.arange(-2, 2, dtype=torch.int8),
        "truth": torch.tensor([True, False]),
        7: torch.ones(2, dtype=torch.float64, requires_grad=True),
    }
    storage.write(tmp_path / "a", 1, {"x": tensors})
    found = storage.read(tmp_path / "a", 1)["x"]
    found |= dict(zip(("first", "second"), found.pop("whole"), strict=True))
    tensors |= dict.fromkeys(("first", "second"), tensors.pop("whole")[0])
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
        as_bytes = [x.detach().contiguous().reshape(-1).view(torch.uint8) for x in (found[name], value)]
        assert torch.equal(*as_bytes), name
    assert found["first"].data_ptr() != found["second"].data_ptr()


def test_the_same_content_is_the_same_bytes(tmp_path):
    for name in "ab":
        storage.write(tmp_path / name, 1, {**PLAIN, "x": {n: torch.full((n,), n) for n in range(9)}})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", 1j, object(), torch.float32])
def test_other_types_are_not_written(tmp_path, value):
    with pytest.raises(TypeError, match="x/0 is of type"):
        storage.write(tmp_path / "a", 1, {"x": [value]})
    assert not (tmp_path / "a").exists()


def test_another_version_is_refused(tmp_path, refused):
    storage.write(tmp_path / "a", 1, PLAIN)
    with refused(WrongVersion, tmp_path / "a"):
        storage.read(tmp_path / "a", 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda values, tensors: values["x"].update(a=2),
        lambda values, tensors: tensors["y"].add_(1),
        lambda values, tensors: tensors.update(y=tensors["y"].reshape(2, 2)),
        lambda values, tensors: tensors.update(y=tensors["y"].view(torch.int32)),
        lambda values, tensors: tensors.update(z=tensors.pop("y")),
        lambda values, tensors: tensors.update(z=torch.zeros(1)),
    ],
)
def test_content_that_is_not_what_was_written_is_refused(tmp_path, refused, change):
    storage.write(tmp_path / "a", 1, {"x": {"a": 1}, "y": torch.zeros(4)})
    with safetensors.safe_open(tmp_path / "a", "pt") as file:
        about = json.loads(file.metadata()[storage.KEY])
    tensors = safetensors.torch.load_file(tmp_path / "a")
    change(about["content"], tensors)
    safetensors.torch.save_file(tensors, tmp_path / "a", {storage.KEY: json.dumps(about)})
    with refused(Damaged, tmp_path / "a"):
        storage.read(tmp_path / "a", 1)
