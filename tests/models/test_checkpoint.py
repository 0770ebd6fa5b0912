"""Checkpoints: a model that rebuilds itself, and files that are none."""

from __future__ import annotations

import errno
import os
import pickle
import resource

import pytest
import safetensors.torch
import torch

from scoresep import __version__
from scoresep.errors import Damaged, NotFound, Unavailable, WrongFormat, WrongVersion
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models import checkpoint as checkpoints
from scoresep.models import storage
from scoresep.models.checkpoint import (
    PLAIN,
    VERSION,
    Checkpoint,
    is_checkpoint,
    load_checkpoint,
    load_newest,
    previous,
    save_checkpoint,
)
from scoresep.models.model import Model, identity
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings

GRID = Grid(8000, 256, 64)
TRUNK = Architecture.both(TCNSettings(8, 16, 2, 1))


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    model = Model(GRID, choose(["bass", "organ"]), TRUNK, "sigmoid")
    model.transcriptor.train()(torch.rand(2, GRID.bins, 20))  # moves the statistics of normalisation
    model.threshold, model.onset_threshold = [0.25, 0.75], [0.1, 0.9]
    return Checkpoint(
        model, 2, 17, False, {"seed": 3}, "/some/cache.h5", "abc", "def", [{"step": 1, "total": 0.5}], {"x": [1]}
    )


def test_everything_comes_back(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    found = load_checkpoint(tmp_path / "a.pt")
    for name in PLAIN:
        assert getattr(found, name) == getattr(checkpoint, name), name
    model = found.model
    assert (model.grid, model.instruments, model.architecture, model.mask) == (
        GRID,
        choose(["bass", "organ"]),
        TRUNK,
        "sigmoid",
    )
    assert (model.threshold, model.onset_threshold) == ([0.25, 0.75], [0.1, 0.9])
    for name, network in checkpoint.model.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(model.networks[name].state_dict()[key], value), key
    assert not any(network.training for network in model.networks.values())


def test_the_same_input_gives_the_same_output_after_loading(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    model = load_checkpoint(tmp_path / "a.pt").model
    checkpoint.model.eval()
    x = torch.rand(1, GRID.bins, 9)
    assert torch.equal(model.separator(x), checkpoint.model.separator(x))
    assert torch.equal(model.transcriptor(x).onset, checkpoint.model.transcriptor(x).onset)


def test_a_disk_that_takes_no_more_keeps_the_old_checkpoint(tmp_path, checkpoint):
    """A limit on the size of files stands for a full disk; the fault is the disk's, not one of torch's."""
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    before = (tmp_path / "a.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError) as fault:
            save_checkpoint(tmp_path / "a.pt", checkpoint)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (fault.value.errno, fault.value.filename) == (errno.EFBIG, str(tmp_path / "a.pt"))
    assert (tmp_path / "a.pt").read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["a.pt"]


class Evil:
    """A pickle of it runs code when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("evil-was-here",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_file_is_not_run(tmp_path, monkeypatch, refused, how):
    monkeypatch.chdir(tmp_path)
    if how == "torch":
        torch.save({"format": "scoresep-checkpoint", "version": 4, "model": Evil()}, "a.pt")
    else:
        (tmp_path / "a.pt").write_bytes(pickle.dumps({"format": Evil()}, protocol=2))
    with refused(WrongVersion if how == "torch" else WrongFormat, "a.pt"):
        load_checkpoint("a.pt")
    assert not (tmp_path / "evil-was-here").exists()


def test_other_version_is_refused(tmp_path, checkpoint, monkeypatch, refused):
    monkeypatch.setattr(checkpoints, "VERSION", VERSION + 1)
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    monkeypatch.undo()
    with refused(WrongVersion, tmp_path / "a.pt") as fault:
        load_checkpoint(tmp_path / "a.pt")
    assert f"version {VERSION + 1}" in fault.value.problem and __version__ in fault.value.remedy


def test_other_peoples_files_are_refused(tmp_path, refused, prepared):
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "a.pt", {"format": "pt"})
    (tmp_path / "b.pt").write_bytes(b"")
    for path in (tmp_path / "a.pt", tmp_path / "b.pt", prepared):
        with refused(WrongFormat, path):
            load_checkpoint(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path, checkpoint, refused, share):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: int(share * len(whole))])
    with refused(Damaged, tmp_path / "a.pt"):
        load_checkpoint(tmp_path / "a.pt")


def test_missing_file_is_named(tmp_path, refused):
    with refused(NotFound, tmp_path / "none.pt"):
        load_checkpoint(tmp_path / "none.pt")


DAMAGES = {
    "no model": lambda content: content.pop("model"),
    "no stage": lambda content: content.pop("stage"),
    "other size": lambda content: content["model"]["architecture"]["separator"].update(channels=9),
    "unknown setting": lambda content: content["model"]["architecture"]["separator"].update(width=9),
    "other instruments": lambda content: content["model"]["instruments"].append("piano"),
    "lost network": lambda content: content["model"]["networks"].pop("separator"),
    "other grid": lambda content: content["model"]["grid"].update(n_fft=512),
    "impossible grid": lambda content: content["model"]["grid"].update(hop=0),
    "unknown mask": lambda content: content["model"].update(mask="x"),
    "no thresholds": lambda content: content["model"].update(threshold=None),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_parts_that_do_not_fit_together_are_refused(tmp_path, checkpoint, refused, damage):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    content = storage.read(tmp_path / "a.pt", VERSION)
    DAMAGES[damage](content)
    storage.write(tmp_path / "a.pt", VERSION, content)
    with refused(Damaged, tmp_path / "a.pt"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_network_of_a_package_that_is_not_here_is_named(tmp_path, checkpoint, refused):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    content = storage.read(tmp_path / "a.pt", VERSION)
    content["model"]["architecture"]["separator"]["network"] = "theirs"
    storage.write(tmp_path / "a.pt", VERSION, content)
    with refused(Unavailable, tmp_path / "a.pt") as fault:
        load_checkpoint(tmp_path / "a.pt")
    assert "theirs" in fault.value.problem


def test_optimisers_come_back_to_the_bit(tmp_path, checkpoint):
    """Their state is told by numbers, and holds tuples: the next step is the step that would have been made."""
    network, x = checkpoint.model.separator.train(), torch.rand(2, GRID.bins, 20)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def step(network: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        network(x).square().mean().backward()
        optimiser.step()

    step(network, optimiser)
    checkpoint.resume = {"optimisers": {"separator": optimiser.state_dict()}}
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    loaded = load_checkpoint(tmp_path / "a.pt")
    again = torch.optim.AdamW(loaded.model.separator.train().parameters(), lr=1.0)
    again.load_state_dict(loaded.resume["optimisers"]["separator"])
    assert again.state_dict()["param_groups"] == optimiser.state_dict()["param_groups"]
    step(network, optimiser)
    step(loaded.model.separator, again)
    assert identity(loaded.model) == identity(checkpoint.model)


def test_checkpoints_are_told_from_other_files(tmp_path, checkpoint, prepared):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    torch.save({}, tmp_path / "old.pt")
    assert is_checkpoint(tmp_path / "a.pt") and is_checkpoint(tmp_path / "old.pt")
    assert not is_checkpoint(prepared) and not is_checkpoint(tmp_path / "none") and not is_checkpoint(tmp_path)


def test_a_flipped_bit_anywhere_in_the_weights_is_found(tmp_path, checkpoint, refused):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    whole = (tmp_path / "a.pt").read_bytes()
    weight = checkpoint.model.separator.head.weight.detach().numpy().tobytes()
    for place in (whole.index(weight), whole.index(weight) + len(weight) - 1):
        (tmp_path / "a.pt").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with refused(Damaged, tmp_path / "a.pt"):
            load_checkpoint(tmp_path / "a.pt")


def test_the_one_before_is_kept_where_that_is_asked_for(tmp_path, checkpoint):
    path = tmp_path / "a.pt"
    for steps in (1, 2, 3):
        checkpoint.steps = steps
        save_checkpoint(path, checkpoint, keep=steps == 3)
        assert previous(path).exists() == (steps == 3)
    assert (load_checkpoint(path).steps, load_checkpoint(previous(path)).steps) == (3, 2)


def test_the_one_before_serves_where_the_newest_is_missing(tmp_path, checkpoint):
    path, said = tmp_path / "a.pt", []
    assert load_newest(path, said.append) is None and said == []
    save_checkpoint(previous(path), checkpoint)
    assert load_newest(path, said.append).steps == 17 and "a.pt is missing" in said[0]
