"""What would end a run hours later is refused before its first step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import AlreadyExists, InvalidValue, Mismatch, ScoresepError, Unavailable, Unwritable
from scoresep.losses.table import datasets_of
from scoresep.training import checks
from scoresep.training.checks import check_resident, check_stages, missing_validation
from scoresep.training.clip_dataset import ResidentClips, held_bytes
from scoresep.training.distributed import World
from scoresep.training.log import RunLog
from scoresep.training.run import Run, stage_path
from scoresep.training.stages import STAGES, stage_losses, stemmed_tracks

Refusal = Callable[..., ScoresepError]
Refused = Callable[..., AbstractContextManager[pytest.ExceptionInfo[ScoresepError]]]
CPU = torch.device("cpu")
NO_SEPARATOR = [
    f"stage3.separator.{name}=0"
    for name in ("transcription", "clip_mixture", "harmonic_mixture", "adversarial_mixture")
]


@pytest.fixture
def refusal(cache: Cache, make: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """A function that asks for stage 3, must be refused before any step, and returns the error."""

    def never(session: object) -> bool:
        raise AssertionError("a stage is trained")

    monkeypatch.setattr("scoresep.training.trainer.Trainer.train", never)

    def go(
        *assignments: str, data: Cache = cache, out: Path = tmp_path / "ckpt.pt", resident: str = ""
    ) -> ScoresepError:
        log = RunLog(tmp_path / "run")
        try:
            with pytest.raises(ScoresepError) as caught:
                Run(data, make.config(*assignments), tmp_path / "run", out, log, resident=resident).train()
        finally:
            log.close()
        assert not list((tmp_path / "run").glob("stage1*"))
        return caught.value

    return go


def test_a_batch_too_small_for_the_last_stage(refusal: Refusal) -> None:
    fault = refusal("data.batch_size=2")
    assert type(fault) is InvalidValue
    assert all(word in str(fault) for word in ("data.batch_size is 2", "stage3", "adversarial_mixture", "3 instr"))


def test_clips_that_no_memory_holds_on_the_grid_of_the_cache(cache: Cache, make: type) -> None:
    fine = replace(cache.grid, hop=cache.grid.hop // 8)
    data = SimpleNamespace(grid=fine, settings=cache.settings, instruments=cache.instruments)
    config = make.config("data.batch_size=4", f"data.clip_frames={checks.MOST_FRAMES // 16}")
    with pytest.raises(InvalidValue) as fault:
        check_stages(data, [1], config)
    assert str(fine) in fault.value.problem


def test_all_faults_of_a_config_are_said_together(refusal: Refusal) -> None:
    said = str(
        refusal("data.batch_size=2", *NO_SEPARATOR, "stage2.separator.transcription=0", "stage1.transcriptor.score=0")
    )
    assert "data.batch_size" in said and "stage3.separator" in said
    assert "stage2" not in said and "stage1" not in said  # they have others


def test_only_stages_that_will_be_trained_count(cache: Cache, make: type, refused: Refused) -> None:
    small = make.config("data.batch_size=2")
    check_stages(cache, [1, 2], small)
    check_stages(cache, [], small)
    check_stages(cache, [1, 2, 3], make.config("data.batch_size=2", "stage3.steps=0"))
    with refused(InvalidValue, remedy=False) as fault:
        check_stages(cache, [3], small)
    assert "data.batch_size" in str(fault.value)


def test_one_frame_cannot_be_normalised(cache: Cache, make: type, refused: Refused) -> None:
    with refused(InvalidValue, remedy=False) as fault:
        check_stages(cache, [1], make.config("data.batch_size=1", "data.clip_frames=1"))
    assert all(word in str(fault.value) for word in ("stage1", "data.batch_size", "data.clip_frames"))


def test_clips_of_all_processes_count(cache: Cache, make: type, refused: Refused) -> None:
    check_stages(cache, [1, 2, 3], make.config("data.batch_size=4"), World(0, 2))
    with refused(InvalidValue, remedy=False) as fault:
        check_stages(cache, [1, 2, 3], make.config("data.batch_size=2"), World(0, 4))
    assert "stage3" in str(fault.value) and "4 processes" in str(fault.value)


def test_what_a_supervision_learns_from_is_asked_for_first(refusal: Refusal, cache: Cache) -> None:
    assert "stems_fraction" in refusal("supervision=semi", "stems_fraction=0.01").problem


def test_places_that_cannot_take_the_checkpoint(refusal: Refusal, tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "song.wav").write_bytes(b"RIFF and more")
    for out, kind in (
        (tmp_path / "folder", Unwritable),
        (tmp_path / "song.wav", AlreadyExists),
        (cache.path, AlreadyExists),
        (tmp_path / "song.wav" / "ckpt.pt", Unwritable),
        (stage_path(tmp_path / "run", 2), AlreadyExists),
    ):
        fault = refusal(out=out)
        assert (type(fault), fault.file) == (kind, str(out)) and fault.remedy, fault
    assert (tmp_path / "song.wav").read_bytes() == b"RIFF and more"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files, even root's")
def test_a_folder_that_takes_no_files(refusal: Refusal) -> None:
    assert "/proc/ckpt.pt" in str(refusal(out=Path("/proc/ckpt.pt")))


def test_checkpoints_of_later_stages_that_do_not_fit(
    refusal: Refusal, make: type, cache: Cache, cache_copy: Path, tmp_path: Path
) -> None:
    path = make.checkpoint(stage_path(tmp_path / "run", 3), cache)
    with h5py.File(cache_copy, "a") as file:
        file.attrs["digest"] = "another"
    for fault, word in (
        (refusal(), "settings"),
        (refusal("mask=sigmoid"), "mask"),
        (refusal(data=Cache(cache_copy)), "another cache"),
    ):
        assert (type(fault), fault.file) == (Mismatch, str(path)) and word in fault.problem and fault.remedy


@pytest.mark.parametrize("split", ["train", "validation"])
def test_shards_that_lack_what_a_later_stage_reads(refusal: Refusal, cache_copy: Path, split: str) -> None:
    cache = Cache(cache_copy)
    shard = cache.shard_path(int(cache.tracks["shard"][cache.rows(split)[0]]))
    with h5py.File(shard, "a") as file:
        del file["harmonic"]
    fault = refusal(data=Cache(cache_copy))
    assert fault.file == str(shard) and "harmonic" in fault.problem and fault.remedy
    shard.unlink()
    assert refusal(data=Cache(cache_copy)).file == str(shard)


@pytest.mark.parametrize("settings", [(), ("supervision=semi", "stems_fraction=0.4"), ("supervision=score+teacher",)])
def test_the_memory_of_resident_tracks_is_what_they_take(cache: Cache, make: type, settings: tuple[str, ...]) -> None:
    config = make.config(*settings)
    losses = stage_losses(STAGES[3], config.stage3.weights)
    stemmed = stemmed_tracks(cache, "train", config.supervision, config.stems_fraction, config.seed)
    names = datasets_of(losses)
    rows = cache.rows("train").tolist()
    held = ResidentClips(cache, 32, rows, CPU, names, stemmed=stemmed)._held
    taken = sum(tensor[:-1].numel() * tensor.element_size() for tensor in held.values())
    assert taken > 0 and held_bytes(cache, names, rows, stemmed) == taken


def test_more_resident_tracks_than_memory(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, cache: Cache, make: type
) -> None:
    check_resident(cache, [1, 2, 3], make.config(), CPU)
    monkeypatch.setattr(checks, "memory", lambda device: 1000)
    fault = refusal(resident="host")
    assert type(fault) is Unavailable and "--resident" in fault.remedy


def test_nothing_to_validate_on_is_said(cache: Cache, make: type) -> None:
    best = make.config("stage1.keep=best", "stage2.keep=last", "stage3.keep=best", "data.validation_clips=0")
    lines = list(missing_validation(cache, [1, 2, 3], best))
    assert [line[:7] for line in lines] == ["stage 1", "stage 3"] and all("last weights" in line for line in lines)
    assert not list(missing_validation(cache, [1, 2, 3], make.config("stage1.keep=best")))
    assert np.size(cache.rows("validation")) == 1
