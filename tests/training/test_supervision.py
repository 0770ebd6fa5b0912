"""The comparisons: every row trains all stages and is evaluated; who reads which stems; what is refused."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch

from scoresep.cache.build import prepare
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings
from scoresep.datasets.pairs import open_pairs
from scoresep.errors import InvalidValue, Mismatch, NothingToDo
from scoresep.evaluation.evaluate import evaluate, open_subject
from scoresep.evaluation.tables import result_tables
from scoresep.evaluation.track_records import EvaluationSettings
from scoresep.executor import Engine
from scoresep.instruments import choose
from scoresep.models.checkpoint import load_checkpoint
from scoresep.plots.result import plot_track
from scoresep.training.config import Config
from scoresep.training.log import RunLog, read_log
from scoresep.training.run import Run, Stopped, stage_path
from scoresep.training.stages import SUPERVISIONS, stemmed_tracks
from scoresep.training.trainer import Trainer
from scoresep.transcription.transcribe import transcribe_file

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")
STEPS = ("stage1.steps=2", "stage2.steps=2", "stage3.steps=2", "stems_fraction=0.4")


def train(folder: Path, config: Config, data: Cache, last: int = 3, **how) -> Path:
    """Train stages in a folder; returns the last one's checkpoint, which lies beside it."""
    log, out = RunLog(folder), folder.with_suffix(".pt")
    try:
        Run(data, config, folder, out, log, last=last, **how).train()
    finally:
        log.close()
    return out


@pytest.fixture
def run(cache, make, tmp_path):
    """A function that trains stages in a folder of the test and returns the last one's checkpoint."""

    def go(supervision: str, *assignments: str, last: int = 3, folder: str = "run", data: Cache = cache, **how):
        config = make.config(*STEPS, f"supervision={supervision}", *assignments)
        return train(tmp_path / folder, config, data, last, **how)

    return go


@pytest.fixture(scope="module")
def finished(prepared, make, tmp_path_factory):
    """A function that gives the folder of a finished run of all stages by its supervision. Read only."""
    root, data = tmp_path_factory.mktemp("finished"), Cache(prepared)

    @functools.cache
    def folder(supervision: str) -> Path:
        return train(root / supervision, make.config(*STEPS, f"supervision={supervision}"), data).with_suffix("")

    return folder


def separator(folder: Path, number: int = 2) -> dict[str, torch.Tensor]:
    """The separator's weights after a stage."""
    return load_checkpoint(stage_path(folder, number)).model.separator.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("supervision", SUPERVISIONS)
def test_every_row_trains_all_stages_and_is_evaluated(finished, supervision):
    folder = finished(supervision)
    records = [record for record in read_log(folder) if record["kind"] == "validation"]
    assert [(record["stage"], record["step"]) for record in records] == [(1, 2), (2, 2), (3, 2)]
    assert all(np.isfinite(value) for record in records for value in record.values() if isinstance(value, float))
    first, last = (load_checkpoint(stage_path(folder, number)).model for number in (1, 3))
    moved = [
        not torch.equal(a, b) for a, b in zip(first.separator.parameters(), last.separator.parameters(), strict=True)
    ]
    assert all(moved) and first.critic == last.critic == SUPERVISIONS[supervision].critic
    evaluation = evaluate(open_subject(stage_path(folder, 3), None, EvaluationSettings(references=())))
    figures = evaluation.summary["separation"]
    assert all(figures[name]["si_sdr"] is not None for name in ("piano", "guitar", "bass"))
    assert bool(evaluation.summary["transcription"]) == last.transcribes
    assert any("transcription" in note for note in evaluation.notes) != last.transcribes
    assert result_tables(evaluation)


def test_rows_differ_in_nothing_but_what_the_losses_see(finished):
    """The same fresh separator, clips and steps: rows with one critic have one stage 1, and another stage 2."""
    folders = [finished(name) for name in ("score", "stems", "semi")]
    ones = [load_checkpoint(stage_path(folder, 1)).model for folder in folders]
    for network in ones[0].networks:
        first, *others = (model.networks[network].state_dict() for model in ones)
        assert all(same(first, other) for other in others)
    weights = [separator(folder)["head.weight"] for folder in folders]
    assert not any(torch.equal(weights[a], weights[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_rows_with_one_critic_go_on_from_one_stage_1(run, finished, tmp_path, refused):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy2(stage_path(finished("score"), 1), folder)
    before = stage_path(folder, 1).stat().st_mtime_ns
    run("stems", last=2)
    assert stage_path(folder, 1).stat().st_mtime_ns == before
    with refused(Mismatch, stage_path(folder, 2)) as fault:
        run("semi", last=2)
    assert "supervision" in fault.value.problem
    with refused(Mismatch, stage_path(folder, 1)) as fault:
        run("class-frame", last=2)
    assert "critic" in fault.value.problem


@pytest.mark.parametrize("supervision", ["score", "score+teacher", "class-frame", "class-clip"])
def test_all_stages_need_neither_stems_nor_audio(run, cache_copy, supervision):
    """Nor masks and onsets, where the critic learns who plays."""
    unread = ["stems", "mixture"] + ["harmonic", "onset"] * supervision.startswith("class")
    for shard in cache_copy.with_name("cache.shards").glob("*.h5"):
        with h5py.File(shard, "a") as file:
            for name in unread:
                del file[name]
    assert load_checkpoint(run(supervision, data=Cache(cache_copy))).complete


def test_stems_are_read_of_the_tracks_that_have_them_and_no_others(run, cache_copy):
    """Poisoned stems of the others change nothing; poisoned stems of theirs do."""
    clean = Cache(cache_copy)
    known = stemmed_tracks(clean, "train", "semi", 0.4, 0)
    assert len(known) == 1
    weights = []
    for number, poisoned in enumerate((set(), {0, 1, 2} - known, known)):
        index = cache_copy.parent / str(number) / "cache.h5"
        index.parent.mkdir()
        shutil.copy(cache_copy, index)
        shutil.copytree(cache_copy.with_name("cache.shards"), index.with_name("cache.shards"))
        data = Cache(index)
        for row in poisoned:
            first, count = int(data.tracks["first_sample"][row]), int(data.tracks["samples"][row])
            with h5py.File(data.shard_path(int(data.tracks["shard"][row])), "a") as file:
                file["stems"][first : first + count] = 9999
        out = run("semi", "data.validation_clips=0", last=2, folder=f"run{number}", data=data)
        weights.append(load_checkpoint(out).model.separator.head.weight)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_tracks_with_stems_follow_from_the_seed(cache):
    assert stemmed_tracks(cache, "train", "score", 0.5, 0) == frozenset()
    assert stemmed_tracks(cache, "train", "stems", 0.5, 0) == {0, 1, 2}
    chosen = [stemmed_tracks(cache, "train", "semi", 0.4, seed) for seed in range(12)]
    assert chosen == [stemmed_tracks(cache, "train", "semi", 0.4, seed) for seed in range(12)]
    assert {len(found) for found in chosen} == {1} and len(set(chosen)) == 3
    assert stemmed_tracks(cache, "train", "semi", 0.7, 0) > chosen[0], "a larger share holds the smaller"


def test_what_the_teacher_says_matters_and_only_where_it_is_asked(run, finished, cache_copy):
    """Other activations change what is learnt from the teacher, and nothing of what is learnt from the score alone."""
    for shard in cache_copy.with_name("cache.shards").glob("*.h5"):
        with h5py.File(shard, "a") as file:
            file["activation"][:] = file["activation"][()][::-1]
    for name in ("score", "teacher"):
        after = run(name, last=2, folder=name, data=Cache(cache_copy)).with_suffix("")
        assert same(separator(finished(name)), separator(after)) == (name == "score")


@pytest.mark.parametrize("resident", ["host", "device"])
@pytest.mark.parametrize("supervision", ["score+teacher", "semi"])
def test_factors_and_stems_held_in_memory_train_to_the_same_weights(run, finished, supervision, resident):
    held = run(supervision, last=2, resident=resident).with_suffix("")
    assert same(separator(held), separator(finished(supervision)))


@pytest.mark.parametrize(
    ("supervision", "lack"),
    [
        ("stems", {"stems": False}),
        ("semi", {"stems": False}),
        ("score+teacher", {"teacher": "none"}),
        ("teacher", {"teacher": "none"}),
    ],
)
def test_a_cache_that_lacks_what_is_learnt_from_is_refused_first(run, cache, tmp_path, refused, supervision, lack):
    bare = Cache(cache.path)
    bare.settings = dataclasses.replace(bare.settings, **lack)
    with refused(Mismatch, cache.path) as fault:
        run(supervision, data=bare)
    assert f"'{supervision}'" in fault.value.problem and not list((tmp_path / "run").glob("*.pt"))


def test_recordings_and_scores_alone_make_a_teacher_and_a_separator(run, make, tmp_path):
    """From files to a separator without a stem anywhere."""
    folder = tmp_path / "songs"
    for number in range(6):
        notes = [(0.1, 0.9, 50 + number), (0.9, 1.7, 55 + number)]
        make.midi(folder / f"song{number}.mid", notes)
        noise = np.random.default_rng(number).normal(0, 0.01, 32000)
        soundfile.write(folder / f"song{number}.wav", make.play(notes, 2.0) + noise, make.rate)
    settings = CacheSettings(instruments=choose(["piano", "other"]), score_check="off")
    prepare(open_pairs(folder), tmp_path / "pairs.h5", settings, Engine(1))
    data = Cache(tmp_path / "pairs.h5")
    assert data.has_teacher and not data.has_stems and len(data.rows("train"))
    model = load_checkpoint(run("score+teacher", last=2, data=data)).model
    assert model.names == ("piano", "other")


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 0), (0.9, 3)])
def test_a_share_that_is_none_or_all_is_refused(run, cache, refused, fraction, count):
    with refused(InvalidValue, cache.path) as fault:
        run("semi", f"stems_fraction={fraction}")
    assert f"stems_fraction {fraction} of the 3 training tracks is {count}," in fault.value.problem


def test_a_critic_of_who_plays_separates_and_does_not_transcribe(finished, tmp_path, make, refused):
    checkpoint = stage_path(finished("class-clip"), 3)
    model = load_checkpoint(checkpoint).model
    assert model.threshold == [0.5] * 3 and not model.transcribes
    soundfile.write(tmp_path / "song.wav", make.tone(60, 1.0), 16000)
    with refused(Mismatch):
        transcribe_file(tmp_path / "song.wav", model, tmp_path / "song.mid")
    assert not (tmp_path / "song.mid").exists()
    plot_track(tmp_path / "picture.png", open_subject(checkpoint, None, EvaluationSettings()), "cpu")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_nothing_to_compare_is_refused(finished, monkeypatch, refused):
    monkeypatch.setattr(Cache, "has_stems", False)
    with refused(NothingToDo, remedy=False):
        evaluate(open_subject(stage_path(finished("class-frame"), 1)))


@pytest.mark.parametrize("supervision", ["class-clip", "semi", "score+teacher"])
def test_stopped_and_continued_is_the_same_as_uninterrupted(run, finished, tmp_path, monkeypatch, supervision):
    settings = ("stage2.steps=4", "stage2.keep=best")
    for folder in ("whole", "run"):
        (tmp_path / folder).mkdir()
        shutil.copy2(stage_path(finished(supervision), 1), tmp_path / folder)
    whole = run(supervision, *settings, last=2, folder="whole")
    real = Trainer.train

    def interrupt(trainer):
        trainer.stop_wanted = lambda: trainer.stage.number == 2 and trainer.step == 3
        return real(trainer)

    monkeypatch.setattr(Trainer, "train", interrupt)
    with pytest.raises(Stopped):
        run(supervision, *settings, last=2)
    monkeypatch.setattr(Trainer, "train", real)
    again = run(supervision, *settings, last=2)
    assert whole.read_bytes() == again.read_bytes()
    assert read_log(tmp_path / "run") == read_log(tmp_path / "whole")


@pytest.mark.parametrize(
    ("supervision", "falling"),
    [("stems", "separator/stem"), ("teacher", "separator/teacher"), ("class-frame", "transcriptor/score")],
)
def test_rows_learn(run, tmp_path, supervision, falling):
    """A separator from stems; a classifier that learns who plays when."""
    stage = {"separator": 2, "transcriptor": 1}[falling.split("/")[0]]
    fast = (f"stage{stage}.steps=60", f"stage{stage}.learning_rate=0.01", "validate_every=30", "data.equalise=0.0")
    run(supervision, *fast, "network.channels=16", "data.transpose=0", last=stage)
    values = [
        record[falling]
        for record in read_log(tmp_path / "run")
        if record["kind"] == "train" and record["stage"] == stage
    ]
    assert values[-1] < 0.7 * values[0]
