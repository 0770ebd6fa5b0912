"""Checkpoints from strangers: they run nothing, take no more memory than their size warrants, and end in one line."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scoresep.errors import ScoresepError
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models.archive import look_through
from scoresep.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings

GRID = Grid(8000, 256, 64)


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


def records(path: Path) -> dict[str, bytes]:
    """What lies in the archive, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def refused(path: Path, fuzz, case: str, message: str) -> None:
    """The file is refused in one line that names it, with little memory."""
    with fuzz.limits(case), pytest.raises(ScoresepError, match=message) as fault:
        load_checkpoint(path)
    assert path.name in str(fault.value) and "\n" not in str(fault.value)
    cause = fault.value.__cause__
    assert not isinstance(cause, MemoryError) and "allocate" not in str(cause), "it was asked for the memory"


def test_a_whole_one_is_seen_as_it_is(whole):
    seen = look_through(whole)
    loaded = torch.load(whole, weights_only=True)
    assert seen["history"] == loaded["history"] and seen["config"] == loaded["config"]
    for name, network in loaded["model"]["networks"].items():
        for key, value in network.items():
            assert (seen["model"]["networks"][name][key].shape, value.dtype) == (tuple(value.shape), value.dtype)
    assert load_checkpoint(whole).steps == 17


# The archive


def test_packed_records_are_not_unpacked(tmp_path, whole, fuzz):
    """Half a gibibyte of zeros in half a megabyte."""
    contents = records(whole)
    contents["a/data/0"] = bytes(fuzz.memory // 2)
    pack(tmp_path / "a.pt", contents, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "a.pt").stat().st_size < fuzz.memory / 500
    refused(tmp_path / "a.pt", fuzz, "packed", "not a readable checkpoint .*packed")


def test_records_that_lie_upon_one_another_are_refused(tmp_path, whole, fuzz):
    """A table of contents in which every record is as long as the file."""
    contents = records(whole)
    pack(tmp_path / "a.pt", contents)
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        table = archive.start_dir
    data = bytearray((tmp_path / "a.pt").read_bytes())
    place = table
    for _ in contents:
        data[place + 20 : place + 28] = len(data).to_bytes(4, "little") * 2
        place += 46 + int.from_bytes(data[place + 28 : place + 30], "little")
    (tmp_path / "a.pt").write_bytes(data)
    refused(tmp_path / "a.pt", fuzz, "overlap", "not a readable checkpoint")


def test_two_records_of_one_name_are_refused(tmp_path, whole, fuzz):
    """Two readers of archives might not take the same one; torch's does not care for case."""
    contents = records(whole)
    root = next(iter(contents)).split("/")[0]
    pack(tmp_path / "a.pt", {**contents, f"{root}/DATA.pkl": contents[f"{root}/data.pkl"]})
    refused(tmp_path / "a.pt", fuzz, "names", "two of its records have one name")


# The pickle


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


PICKLES = {
    "a byte array of 8 GB": opcodes(b"cbuiltins\nbytearray\n", b"\x8a\x05\x00\x00\x00\x00\x02", b"\x85R"),
    "a memo of 4 billion places": opcodes(b"}", b"r\xff\xff\xff\xff"),
    "a text of 4 GB": opcodes(b"X\xff\xff\xff\xff"),
    "bytes of 2^60": opcodes(b"\x8e" + (1 << 60).to_bytes(8, "little")),
    "a list within itself": opcodes(b"]q\x00h\x00a"),
    "a thousand lists within one another": opcodes(b"]" * 1000, b"a" * 999),
    "two to the hundredth": opcodes(b"]q\x00", b"".join(b"](h%ch%ceq%c" % (n, n, n + 1) for n in range(100))),
    "a name of os": opcodes(b"cos\nsystem\n", b"X\x04\x00\x00\x00true", b"\x85R"),
    "an import by stack": opcodes(b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93"),
    "a storage that is not there": opcodes(
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x0099K\x04tQ"
    ),
    "a torch type beyond ours": opcodes(b"ctorch\nComplexFloatStorage\n"),
    "nothing": b"",
}


@pytest.mark.parametrize("case", PICKLES)
def test_pickles_that_are_no_values_are_refused(tmp_path, whole, fuzz, case):
    contents = records(whole)
    root = next(iter(contents)).split("/")[0]
    pack(tmp_path / "a.pt", {**contents, f"{root}/data.pkl": PICKLES[case]})
    refused(tmp_path / "a.pt", fuzz, case, "not a readable checkpoint")


def test_tensors_larger_than_what_is_stored_are_refused(tmp_path, whole, fuzz):
    """One number that claims to be 4 GiB of them: torch makes such views, and a copy of it takes the memory."""
    content = torch.load(whole, weights_only=True)
    content["history"] = [torch.zeros(1).expand(1 << 30)]
    torch.save(content, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", fuzz, "expanded", "larger than what is stored")


def test_one_storage_named_without_end_is_refused(tmp_path, whole, fuzz):
    content = torch.load(whole, weights_only=True)
    once = torch.zeros(1 << 16)
    content["history"] = [[once] * 1000]
    torch.save(content, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", fuzz, "shared", "repeats itself without end")


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
    "a version that is a tensor": lambda content: content.update(version=torch.ones(3)),
    "a digest that is a tensor": lambda content: content.update(digest=torch.ones(3)),
    "a format that is a tensor": lambda content: content.update(format=torch.ones(3)),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_settings_are_refused_before_they_take_memory(tmp_path, whole, fuzz, case):
    content = torch.load(whole, weights_only=True)
    content.pop("digest")  # a forger would leave it out, or make his own
    FORGED[case](content)
    torch.save(content, tmp_path / "a.pt")
    refused(
        tmp_path / "a.pt",
        fuzz,
        case,
        "a.pt (is (damaged|not a checkpoint|not a readable|a checkpoint of version)|has an unknown network)",
    )


def test_a_small_file_of_a_large_model_is_refused(tmp_path, fuzz):
    """All its weights are there, and so few that the file is small; what they would make of a song is not."""
    groups = choose(["bass", "organ", "piano", "guitar"])
    model = Model(Grid(16000, 16384, 256), groups, Architecture.both(TCNSettings(1, 1, 13, 1)), "sigmoid")
    save_checkpoint(tmp_path / "a.pt", Checkpoint(model, 3, 1, True, {}, "", ""))
    assert (tmp_path / "a.pt").stat().st_size < 1 << 20
    refused(tmp_path / "a.pt", fuzz, "wide", "a.pt is damaged")


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a/b", "..", ".x", "a\\b", "a b", "[/x]", "<b>", "\x1b[31m", "x" * 200]
)
def test_names_of_instruments_that_are_paths_or_marks_are_refused(tmp_path, whole, fuzz, name):
    content = torch.load(whole, weights_only=True)
    content.pop("digest")
    instrument(name=name)(content)
    torch.save(content, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", fuzz, "name", "a.pt is damaged")


def test_a_damaged_checkpoint_is_read_or_refused(tmp_path, whole, fuzz):
    """Without its digest, so that what is behind it has to hold."""
    content = torch.load(whole, weights_only=True)
    content.pop("digest")
    torch.save(content, tmp_path / "a.pt")
    seed, path, read = (tmp_path / "a.pt").read_bytes(), tmp_path / "a.pt", 0
    described = seed.index(b"data.pkl"), seed.index(b"data/0")
    for n in range(fuzz.cases):
        data = bytearray(fuzz.mutant(seed, fuzz.binary, f"checkpoint-{n}"))
        if n % 2:  # half of them within the pickle, which is a small part of the file
            inner = fuzz.mutant(seed[slice(*described)], fuzz.binary, f"checkpoint-{n}")
            data = bytearray(seed)
            data[slice(*described)] = inner[: described[1] - described[0]].ljust(described[1] - described[0], b"\0")
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
