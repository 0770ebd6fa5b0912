"""A run: stages in order, what is reused, what is refused, stopping, the result."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import h5py
import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import AlreadyExists, Damaged, Mismatch
from scoresep.executor import Engine
from scoresep.models.checkpoint import load_checkpoint, previous
from scoresep.training.log import RunLog, read_log
from scoresep.training.run import Run, Stopped, default_config, stage_path, stop_signals
from scoresep.training.trainer import Trainer
from scoresep.transcription.threshold_tuning import Tuned

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")


@pytest.fixture
def run(cache, make, tmp_path):
    """A function that trains in `tmp_path/run` and returns what was said."""

    def go(
        last: int,
        *assignments: str,
        force: bool = False,
        data: Cache = cache,
        out: str = "ckpt.pt",
        start: Path | None = None,
    ) -> list[str]:
        said: list[str] = []
        log = RunLog(tmp_path / "run", note=said.append)
        try:
            config = make.config(*assignments)
            Run(data, config, tmp_path / "run", tmp_path / out, log, last=last, force=force, start=start).train()
        finally:
            log.close()
        return said

    return go


@pytest.fixture(scope="module")
def whole(prepared, make, tmp_path_factory) -> Path:
    """The folder of a finished run of all three stages. Read only."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    log = RunLog(folder)
    Run(Cache(prepared), make.config(), folder, folder.with_name("ckpt.pt"), log).train()
    log.close()
    return folder


@pytest.fixture
def begin(whole, tmp_path):
    """A function that puts the finished stages up to the last that is named into `tmp_path/run`."""

    def copy(last: int) -> None:
        (tmp_path / "run").mkdir()
        for number in range(1, last + 1):
            for path in (stage_path(whole, number), previous(stage_path(whole, number))):
                shutil.copy2(path, tmp_path / "run")

    return copy


def weights(path: Path) -> dict[str, torch.Tensor]:
    model = load_checkpoint(path).model
    return {f"{n}.{k}": v for n, network in model.networks.items() for k, v in network.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], part: str = "") -> bool:
    return all(torch.equal(a[key], b[key]) for key in a if key.startswith(part))


def test_stage_3_trains_the_stages_before_it_and_says_so(run, tmp_path, cache):
    said = run(3)
    folder = tmp_path / "run"
    assert [line for line in said if "trained first" in line] == [
        f"stage {n}: {folder / f'stage{n}.pt'} is missing or not finished, so it is trained first" for n in (1, 2)
    ]
    for number in (1, 2, 3):
        found = load_checkpoint(stage_path(folder, number))
        assert (found.stage, found.steps, found.complete) == (number, 4, True)
        assert found.cache == str(cache.path) and found.cache_digest == cache.digest
    assert (tmp_path / "ckpt.pt").read_bytes() == (folder / "stage3.pt").read_bytes()
    one, two, three = (weights(stage_path(folder, n)) for n in (1, 2, 3))
    assert same(one, two, "transcriptor") and not same(one, two, "separator")
    assert not same(two, three, "transcriptor") and not same(two, three, "separator")
    assert {record["stage"] for record in read_log(folder)} == {1, 2, 3}


def test_earlier_stages_are_reused(run, begin, tmp_path):
    begin(1)
    before = (tmp_path / "run" / "stage1.pt").stat().st_mtime_ns
    said = run(2)
    assert said[0] == f"stage 1: {tmp_path / 'run' / 'stage1.pt'} is there"
    assert (tmp_path / "run" / "stage1.pt").stat().st_mtime_ns == before


def test_stage_by_stage_ends_the_same_as_at_once(run, tmp_path, whole):
    run(1)
    run(2)
    run(3)
    assert same(weights(tmp_path / "ckpt.pt"), weights(stage_path(whole, 3)))


def test_a_finished_run_is_left_as_it_is_and_copied_anew(run, begin, tmp_path):
    begin(1)
    path = stage_path(tmp_path / "run", 1)
    before = path.stat().st_mtime_ns
    assert run(1, out="again.pt") == [f"stage 1: {path} is there"]
    assert path.stat().st_mtime_ns == before and (tmp_path / "again.pt").read_bytes() == path.read_bytes()


def test_force_trains_the_last_stage_anew(run, begin, tmp_path):
    begin(2)
    stamps = [stage_path(tmp_path / "run", n).stat().st_mtime_ns for n in (1, 2)]
    run(2, "stage2.steps=2", force=True)
    assert stage_path(tmp_path / "run", 1).stat().st_mtime_ns == stamps[0]
    assert load_checkpoint(stage_path(tmp_path / "run", 2)).steps == 2
    records = [record for record in read_log(tmp_path / "run") if record["stage"] == 2]
    assert max(record["step"] for record in records) == 2


def test_settings_of_other_stages_and_of_the_machine_do_not_matter(run, begin):
    begin(1)
    assert run(1, "stage2.steps=99", "stage3.learning_rate=1", "data.workers=1")[0].endswith("is there")


@pytest.mark.parametrize(
    ("last", "setting", "words"),
    [
        (1, "stage1.steps=6", ("stage1.steps", "4", "6")),
        (2, "network.channels=12", ("transcriptor.channels", "8", "12")),
        (2, "mask=sigmoid", ("mask", "softmax", "sigmoid")),
    ],
)
def test_other_settings_and_sizes_are_refused_and_named(run, begin, tmp_path, refused, last, setting, words):
    begin(1)
    with refused(Mismatch, stage_path(tmp_path / "run", 1)) as fault:
        run(last, setting)
    assert all(word in fault.value.problem for word in words)


def test_another_cache_is_refused(run, begin, tmp_path, cache_copy, refused):
    begin(1)
    with h5py.File(cache_copy, "a") as file:
        file.attrs["digest"] = "another"
    with refused(Mismatch, stage_path(tmp_path / "run", 1)) as fault:
        run(2, data=Cache(cache_copy))
    assert "cache.h5" in fault.value.problem


def test_a_damaged_checkpoint_is_refused_and_named(run, begin, tmp_path, refused):
    begin(1)
    path = stage_path(tmp_path / "run", 1)
    previous(path).unlink()
    path.write_bytes(path.read_bytes()[:5000])
    with refused(Damaged, path):
        run(2)


@pytest.mark.parametrize("last", [1, 3])
def test_stopped_by_a_signal_and_continued_is_the_same(run, tmp_path, monkeypatch, last, whole):
    """The signal arrives in the second step of the last stage."""
    real = Trainer.train

    def interrupt(trainer):
        if trainer.stage.number == last:
            inner = trainer.log.progress

            def tell(title, done, total, losses):
                inner(title, done, total, losses)
                if done == 3:
                    os.kill(os.getpid(), signal.SIGINT)

            trainer.log.progress = tell
        return real(trainer)

    monkeypatch.setattr(Trainer, "train", interrupt)
    with pytest.raises(Stopped, match=f"stopped after 3 of 4 steps of stage {last}"):
        run(last)
    assert not (tmp_path / "ckpt.pt").exists()
    assert not load_checkpoint(stage_path(tmp_path / "run", last)).complete
    monkeypatch.setattr(Trainer, "train", real)
    assert f"stage {last}: goes on after step 3" in run(last)
    assert same(weights(tmp_path / "ckpt.pt"), weights(stage_path(whole, last)))
    assert read_log(tmp_path / "run") == [record for record in read_log(whole) if record["stage"] <= last]


def test_an_unfinished_stage_with_other_settings_is_refused(run, monkeypatch, refused, tmp_path):
    monkeypatch.setattr(Trainer, "train", lambda trainer: (trainer.save(complete=False), False)[1])
    with pytest.raises(Stopped):
        run(1)
    for last in (1, 2):
        with refused(Mismatch, stage_path(tmp_path / "run", 1)) as fault:
            run(last, "stage1.steps=8")
        assert "stage1.steps" in fault.value.problem
        assert ("--force" in fault.value.remedy) == (last == 1), "which is for the last stage"


def test_the_separator_starts_from_the_transcriptors_trunk(run, begin, tmp_path):
    begin(1)
    run(2, "stage2.steps=0")
    found = weights(tmp_path / "ckpt.pt")
    trunk = [key.removeprefix("transcriptor.trunk") for key in found if key.startswith("transcriptor.trunk")]
    assert trunk and all(torch.equal(found[f"separator.trunk{k}"], found[f"transcriptor.trunk{k}"]) for k in trunk)


def test_the_separator_may_start_afresh(run, begin, tmp_path):
    begin(1)
    run(2, "stage2.steps=0", "share_trunk=false")
    found = weights(tmp_path / "ckpt.pt")
    assert not torch.equal(found["separator.trunk.bottleneck.weight"], found["transcriptor.trunk.bottleneck.weight"])


def test_fine_tuning_starts_from_both_networks_of_a_checkpoint(run, whole, tmp_path):
    run(2, "stage1.steps=0", "stage2.steps=0", "validate_every=1000", start=stage_path(whole, 3))
    assert same(weights(tmp_path / "ckpt.pt"), weights(stage_path(whole, 3)))


def test_a_checkpoint_of_stage_1_gives_its_transcriptor_and_the_separator_its_trunk(run, whole, tmp_path):
    run(2, "stage1.steps=0", "stage2.steps=0", "validate_every=1000", start=stage_path(whole, 1))
    ended = weights(tmp_path / "ckpt.pt")
    assert same(ended, weights(stage_path(whole, 1)), "transcriptor.")
    trunk = [key for key in ended if key.startswith("transcriptor.trunk")]
    assert trunk and all(torch.equal(ended[key.replace("transcriptor", "separator")], ended[key]) for key in trunk)


def test_a_run_that_started_elsewhere_is_refused(run, begin, whole, tmp_path, refused):
    begin(2)
    with refused(Mismatch, stage_path(tmp_path / "run", 1)):
        run(2, start=stage_path(whole, 3))


def test_a_start_of_other_networks_is_refused_before_anything_is_written(run, whole, tmp_path, refused):
    with refused(Mismatch, stage_path(whole, 3)):
        run(2, "mask=sigmoid", start=stage_path(whole, 3))
    assert not stage_path(tmp_path / "run", 1).exists()


def test_the_checkpoint_that_a_run_starts_from_is_not_its_out(run, whole, tmp_path, refused):
    shutil.copy(stage_path(whole, 2), tmp_path / "ckpt.pt")
    with refused(AlreadyExists, tmp_path / "ckpt.pt"):
        run(2, start=tmp_path / "ckpt.pt")


def test_the_best_weights_are_what_the_stage_ends_with(run, tmp_path, monkeypatch):
    real = Trainer.train

    def with_better_weights(trainer):
        ended = real(trainer)
        for value in trainer.best["networks"]["transcriptor"].values():
            value.fill_(0.5)
        return ended

    monkeypatch.setattr(Trainer, "train", with_better_weights)
    run(1, "stage1.keep=best")
    found = weights(tmp_path / "ckpt.pt")
    assert all(
        (value == 0.5).all() for key, value in found.items() if key.endswith((".weight", ".bias")) and "transc" in key
    )


def test_thresholds_are_tuned_on_validation_scores(run, tmp_path, monkeypatch):
    seen = []

    def tune(model, cache, split, tracks):
        seen.append(split)
        return Tuned([0.1, 0.2, 0.3], [0.5, 0.5, 0.5])

    monkeypatch.setattr("scoresep.training.trainer.tune_thresholds", tune)
    run(2)
    assert seen == ["validation"], "after stage 1, whose transcriptor learnt, and not after stage 2"
    assert load_checkpoint(tmp_path / "ckpt.pt").model.threshold == [0.1, 0.2, 0.3]


def test_a_cache_without_validation_tracks_can_be_trained_on(run, corpus_copy, tmp_path):
    from scoresep.cache.build import prepare
    from scoresep.cache.schema import CacheSettings
    from scoresep.datasets.slakh import open_slakh

    shutil.rmtree(corpus_copy / "validation")
    prepare(open_slakh(corpus_copy), tmp_path / "c.h5", CacheSettings(), Engine(1))
    run(1, data=Cache(tmp_path / "c.h5"))
    assert load_checkpoint(tmp_path / "ckpt.pt").history == []


def test_the_first_signal_is_a_wish_and_the_second_stops():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop_signals() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_config_goes_with_the_device():
    assert default_config(CPU) == "mini" and default_config(torch.device("cuda")) == "paper"


def test_the_log_is_json_lines(run, tmp_path):
    run(1, "stage1.steps=10")
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds.count("train") == 1 and kinds.count("validation") == 5


def test_a_stage_is_not_taken_for_the_continuation_of_another_stage_before_it(run, begin, tmp_path, refused):
    begin(2)
    run(1, "stage1.steps=5", force=True)
    with refused(Mismatch, stage_path(tmp_path / "run", 2)):
        run(2)
