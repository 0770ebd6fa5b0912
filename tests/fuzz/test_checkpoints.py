"""Checkpoints from strangers: they run nothing, take no more memory than their size warrants, and end in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from scoresep.errors import Damaged, ScoresepError, Unavailable
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models import storage
from scoresep.models.checkpoint import VERSION, Checkpoint, load_checkpoint, save_checkpoint
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings

GRID = Grid(8000, 256, 64)
pytestmark = pytest.mark.robustness


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A checkpoint that can go on: all that training keeps is in it."""
    torch.manual_seed(0)
    model = Model(GRID, choose(["bass", "organ"]), Architecture.both(TCNSettings(8, 16, 2, 1)), "sigmoid")
    optimiser = torch.optim.AdamW(model.separator.parameters())
    model.separator(torch.rand(1, GRID.bins, 9)).sum().backward()
    optimiser.step()
    history = [{"step": 1, "total": 0.5, "losses": {"score": 0.25}}]
    path = tmp_path_factory.mktemp("whole") / "a.pt"
    resume = {"optimisers": {"separator": optimiser.state_dict()}, "best": None, "precision": "float32"}
    save_checkpoint(path, Checkpoint(model, 2, 17, False, {"seed": 3}, "/c.h5", "abc", "def", history, resume))
    return path


def refused(path: Path, fuzz, case: str, *kinds: type[ScoresepError]) -> None:
    """The file is refused in one line that names it, with little memory."""
    with fuzz.limits(case), pytest.raises(kinds or Damaged) as fault:
        load_checkpoint(path)
    assert path.name in str(fault.value) and "\n" not in str(fault.value)
    cause = fault.value.__cause__
    assert not isinstance(cause, MemoryError) and "allocate" not in str(cause), "it was asked for the memory"


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and the bytes of its tensors."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(path: Path, header: dict[str, Any] | bytes, data: bytes, length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)


# The file


def entry(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Change what the header says of one tensor."""
    return lambda header: header["model/networks/separator/head.weight"].update(changes)


HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a tensor of 2^60 numbers": entry(shape=[1 << 60]),
    "a shape that overflows": entry(shape=[1 << 33, 1 << 33]),
    "a tensor beyond the end": entry(data_offsets=[0, 1 << 40]),
    "a tensor of less than nothing": entry(data_offsets=[100, 0]),
    "another type": entry(dtype="F64"),
    "an unknown type": entry(dtype="F7"),
    "two tensors of the same bytes": lambda header: header.update(more=header["model/networks/separator/head.weight"]),
    "a tensor that is lost": lambda header: header.pop("model/networks/separator/head.weight"),
    "no values": lambda header: header["__metadata__"].update(scoresep="{}"),
    "values that are a list": lambda header: header["__metadata__"].update(scoresep="[]"),
    "lists without end": lambda header: header["__metadata__"].update(scoresep="[" * 10**6),
    "a number without end": lambda header: header["__metadata__"].update(scoresep="1" * 10**6),
}


@pytest.mark.parametrize("case", HEADERS)
def test_forged_headers_are_refused(tmp_path, whole, fuzz, case):
    header, data = parts(whole)
    HEADERS[case](header)
    join(tmp_path / "a.pt", header, data)
    refused(tmp_path / "a.pt", fuzz, case)


@pytest.mark.parametrize("length", [0, 1, 100, 1 << 26, 1 << 40, (1 << 64) - 1])
def test_a_header_of_another_length_is_refused(tmp_path, whole, fuzz, length):
    header, data = parts(whole)
    join(tmp_path / "a.pt", header, data, length)
    refused(tmp_path / "a.pt", fuzz, "length")


def test_a_header_that_would_fill_the_memory_is_not_parsed(tmp_path, fuzz):
    """As text 60 MB, parsed more than a gibibyte."""
    text = storage.BEGINNING + b'"' + b"[" + b"[]," * (20 * 2**20) + b'[]]"}}'
    join(tmp_path / "a.pt", text, b"")
    refused(tmp_path / "a.pt", fuzz, "long")


# The values


ENCODED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "one tensor named twice": lambda values: values["history"].extend([{"$tensor": HEAD}] * 2),
    "one tensor named a million times": lambda values: values["history"].extend([{"$tensor": HEAD}] * 300_000),
    "a tensor that is not there": lambda values: values["history"].append({"$tensor": "x"}),
    "a tensor without a name": lambda values: values["history"].append({"$tensor": []}),
    "a tensor without a place": lambda values: values["model"]["networks"]["separator"].pop("head.weight"),
    "a tuple of a number": lambda values: values["history"].append({"$tuple": 3}),
    "a number that is none": lambda values: values["history"].append({"$float": "x"}),
    "a dict of numbers": lambda values: values["history"].append({"$dict": [1, 2]}),
    "a key that is a list": lambda values: values["history"].append({"$dict": [[[], 1]]}),
}
HEAD = "model/networks/separator/head.weight"


@pytest.mark.parametrize("case", ENCODED)
def test_values_that_nothing_was_written_as_are_refused(tmp_path, whole, fuzz, case):
    header, data = parts(whole)
    about = json.loads(header["__metadata__"][storage.KEY])
    ENCODED[case](about["content"])
    tensors = safetensors.torch.load_file(whole)
    about["digest"] = storage.digest_of(about["content"], tensors)
    header["__metadata__"][storage.KEY] = json.dumps(about)
    join(tmp_path / "a.pt", header, data)
    refused(tmp_path / "a.pt", fuzz, case)


# The settings


def replaced(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Settings of the model; a dict changes parts of them."""

    def change(content: dict[str, Any]) -> None:
        for name, value in changes.items():
            content["model"][name] = {**content["model"][name], **value} if isinstance(value, dict) else value

    return change


def sized(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Settings of the separator's network."""
    return lambda content: content["model"]["architecture"]["separator"].update(changes)


def instrument(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["model"]["instruments"][0].update(changes)


FORGED: dict[str, Callable[[dict[str, Any]], None]] = {
    "channels": sized(channels=10**6, hidden=10**6),
    "hidden": sized(hidden=10**9),
    "endless channels": sized(channels=10**30),
    "blocks": sized(blocks=60),
    "more blocks": sized(blocks=10**9),
    "repeats": sized(repeats=10**9),
    "half a channel": sized(channels=7.5),
    "no channels": sized(channels=0),
    "an unknown network": sized(network="rnn"),
    "a network that is no name": sized(network=["tcn"]),
    "a network without settings": lambda content: content["model"].update(architecture={"separator": 3}),
    "bins": replaced(grid={"n_fft": 1 << 34, "hop": 1 << 32}),
    "a rate of 10^12 Hz": replaced(grid={"sample_rate": 10**12}),
    "a rate of 1 Hz": replaced(grid={"sample_rate": 1}),
    "a hop of 1": replaced(grid={"hop": 1}),
    "endless rate": replaced(grid={"sample_rate": math.inf}),
    "a million instruments": lambda content: content["model"].update(
        instruments=[{**content["model"]["instruments"][0], "name": f"i{n}"} for n in range(10**4)]
    ),
    "no instruments": replaced(instruments=[]),
    "a number for instruments": replaced(instruments=10**12),
    "one instrument twice": lambda content: content["model"]["instruments"].__setitem__(
        1, content["model"]["instruments"][0]
    ),
    "an empty name": instrument(name=""),
    "a name with a null": instrument(name="a\0b"),
    "a name of two lines": instrument(name="a\nb"),
    "a name of a megabyte": instrument(name="a" * 10**6),
    "a program of 10^9": instrument(midi_program=10**9),
    "a kind of its own": instrument(kind="x"),
    "programs without end": instrument(programs=10**12),
    "an unknown critic": replaced(critic="x"),
    "a critic that is a list": replaced(critic=[]),
    "a mask that is a list": replaced(mask=[]),
    "one threshold": replaced(threshold=[0.5]),
    "thresholds that are no numbers": replaced(onset_threshold=[math.nan, 0.5]),
    "thresholds of another size": replaced(threshold=[0.5, 7.0]),
    "weights of another type": lambda content: content["model"]["networks"].update(
        separator={key: value.double() for key, value in content["model"]["networks"]["separator"].items()}
    ),
    "weights that are numbers": replaced(networks={"separator": {"head.weight": 3}}),
    "networks that are a list": replaced(networks=[]),
    "a model that is a list": lambda content: content.update(model=[]),
    "a stage that is a text": lambda content: content.update(stage="2"),
    "steps that are a tensor": lambda content: content.update(steps=torch.ones(3)),
    "a cache that is a list": lambda content: content.update(cache=["/etc/passwd"]),
    "a cache of no name": lambda content: content.update(cache="a\0b"),
    "a history that is a number": lambda content: content.update(history=10**12),
    "a config that is a list": lambda content: content.update(config=[]),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_settings_are_refused_before_they_take_memory(tmp_path, whole, fuzz, case):
    content = storage.read(whole, VERSION)
    FORGED[case](content)
    storage.write(tmp_path / "a.pt", VERSION, content)  # with a digest: a forger would make his own
    refused(tmp_path / "a.pt", fuzz, case, Damaged, Unavailable)


def test_a_small_file_of_a_large_model_is_refused(tmp_path, fuzz):
    """All its weights are there, and so few that the file is small; what they would make of a song is not."""
    groups = choose(["bass", "organ", "piano", "guitar"])
    model = Model(Grid(16000, 16384, 256), groups, Architecture.both(TCNSettings(1, 1, 13, 1)), "sigmoid")
    save_checkpoint(tmp_path / "a.pt", Checkpoint(model, 3, 1, True, {}, "", ""))
    assert (tmp_path / "a.pt").stat().st_size < 1 << 20
    refused(tmp_path / "a.pt", fuzz, "wide")


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a/b", "..", ".x", "a\\b", "a b", "[/x]", "<b>", "\x1b[31m", "x" * 200]
)
def test_names_of_instruments_that_are_paths_or_marks_are_refused(tmp_path, whole, fuzz, name):
    content = storage.read(whole, VERSION)
    instrument(name=name)(content)
    storage.write(tmp_path / "a.pt", VERSION, content)
    refused(tmp_path / "a.pt", fuzz, "name")


def test_a_damaged_checkpoint_is_read_or_refused(tmp_path, whole, fuzz, monkeypatch):
    """Without a digest, so that what is behind it has to hold; half of them are damaged within their header."""
    content = storage.read(whole, VERSION)
    monkeypatch.setattr(storage, "digest_of", lambda values, tensors: "")
    storage.write(tmp_path / "a.pt", VERSION, content)
    seed, path, read = (tmp_path / "a.pt").read_bytes(), tmp_path / "a.pt", 0
    length = int.from_bytes(seed[:8], "little")
    for n in range(fuzz.cases):
        data = fuzz.mutant(seed, fuzz.binary, f"checkpoint-{n}")
        if n % 2:
            header = fuzz.mutant(seed[8 : 8 + length], fuzz.binary, f"checkpoint-{n}")
            data = len(header).to_bytes(8, "little") + header + seed[8 + length :]
        path.write_bytes(data)
        with fuzz.limits(f"checkpoint-{n}"):
            try:
                found = load_checkpoint(path)
            except ScoresepError as fault:
                assert path.name in str(fault)
            else:
                read += 1
                with torch.inference_mode():
                    found.model.separator(torch.rand(1, found.model.grid.bins, 3))
    assert read < fuzz.cases
