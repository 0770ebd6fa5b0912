"""Checkpoints: a model that rebuilds itself, and files that are none."""

from __future__ import annotations

import errno
import os
import pickle
import resource

import pytest
import torch

from scoresep.errors import ScoresepError
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models.checkpoint import (
    PLAIN,
    VERSION,
    Checkpoint,
    digest_of,
    is_checkpoint,
    load_checkpoint,
    load_newest,
    previous,
    save_checkpoint,
    upgraded,
)
from scoresep.models.model import Model
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
def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    if how == "torch":
        torch.save({"format": "scoresep-checkpoint", "version": VERSION, "model": Evil()}, "a.pt")
    else:
        (tmp_path / "a.pt").write_bytes(pickle.dumps({"format": Evil()}, protocol=2))
    with pytest.raises(ScoresepError, match=r"a\.pt is not a readable checkpoint"):
        load_checkpoint("a.pt")
    assert not (tmp_path / "evil-was-here").exists()


def test_other_version_is_refused(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    content = torch.load(tmp_path / "a.pt", weights_only=True) | {"version": VERSION + 1}
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ScoresepError, match=rf"a\.pt is a checkpoint of version {VERSION + 1}, this .* {VERSION}"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], torch.zeros(3), {"format": "other"}])
def test_other_peoples_files_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ScoresepError, match=r"a\.pt is not a checkpoint of scoresep"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path, checkpoint, share):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ScoresepError, match=r"a\.pt is not a readable checkpoint"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_cache_is_no_checkpoint(prepared):
    with pytest.raises(ScoresepError, match=r"cache\.h5 is not a readable checkpoint"):
        load_checkpoint(prepared)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ScoresepError, match=r"checkpoint .*none\.pt does not exist; make one with `scoresep train"):
        load_checkpoint(tmp_path / "none.pt")


DAMAGES = {
    "no model": lambda content: content.pop("model"),
    "no stage": lambda content: content.pop("stage"),
    "other size": lambda content: content["model"]["architecture"]["separator"].update(channels=9),
    "unknown setting": lambda content: content["model"]["architecture"]["separator"].update(width=9),
    "unknown network": lambda content: content["model"]["architecture"]["separator"].update(network="x"),
    "other instruments": lambda content: content["model"]["instruments"].append("piano"),
    "lost network": lambda content: content["model"]["networks"].pop("separator"),
    "other grid": lambda content: content["model"]["grid"].update(n_fft=512),
    "impossible grid": lambda content: content["model"]["grid"].update(hop=0),
    "unknown mask": lambda content: content["model"].update(mask="x"),
    "no thresholds": lambda content: content["model"].update(threshold=None),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_parts_that_do_not_fit_together_are_refused(tmp_path, checkpoint, damage):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    DAMAGES[damage](content)
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ScoresepError, match=r"a\.pt is damaged"):
        load_checkpoint(tmp_path / "a.pt")


def test_checkpoints_are_told_from_caches(tmp_path, checkpoint, prepared):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    assert is_checkpoint(tmp_path / "a.pt")
    assert not is_checkpoint(prepared) and not is_checkpoint(tmp_path / "none") and not is_checkpoint(tmp_path)


def test_a_flipped_bit_anywhere_in_the_weights_is_found(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    whole = (tmp_path / "a.pt").read_bytes()
    weight = checkpoint.model.separator.head.weight.detach().numpy().tobytes()
    for place in (whole.index(weight), whole.index(weight) + len(weight) - 1):
        (tmp_path / "a.pt").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ScoresepError, match=r"a\.pt is damaged: its content is not what was written"):
            load_checkpoint(tmp_path / "a.pt")


def test_digests_tell_values_types_names_and_shapes_apart():
    contents = [
        {"a": torch.zeros(4)},
        {"a": torch.zeros(2, 2)},
        {"a": torch.zeros(4, dtype=torch.int32)},
        {"b": torch.zeros(4)},
        {"a": [0.0, 0.0]},
        {"a": [0.0], "b": 0.0},
        {"a": ["0.0"]},
        {"a": torch.tensor([0.0, 0.0, 0.0, 1e-45])},
        {"a": {}},
        {"a": []},
    ]
    assert len({digest_of(content) for content in contents}) == len(contents)
    assert digest_of({"a": torch.arange(4)[::2], "b": (1, None)}) == digest_of(
        {"a": torch.tensor([0, 2]), "b": (1, None)}
    )


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


def test_an_older_config_has_todays_names():
    old = {"version": 3, "model": {}, "recipe": {"seed": 1, "data": {"batch": 4, "workers": 2}}}
    assert upgraded(old)["config"] == {"seed": 1, "data": {"batch_size": 4, "workers": 2}}
