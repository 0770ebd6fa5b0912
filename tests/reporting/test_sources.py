from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from scoresep.errors import Damaged, InvalidValue, NotFound, NothingToDo, WrongFormat
from scoresep.reporting.sources import gather, kind_of


def test_each_thing_leads_to_the_next(made) -> None:
    result = gather([made.metrics])
    assert result.checkpoint_path == made.checkpoint and result.cache.path == made.cache.resolve()
    assert (result.run, result.split, result.notes) == (None, "train", [])
    result = gather([made.run])
    assert result.checkpoint_path == made.run / "stage3.pt" and sorted(result.stages) == [1, 2, 3]
    assert (result.split, result.notes, result.evaluation) == ("test", [], None)
    result = gather([made.checkpoint])
    assert result.cache.path == made.cache.resolve() and result.run is None
    result = gather([made.metrics, made.run], split="validation")
    assert result.run and result.evaluation and result.split == "validation"


def test_the_usual_names_are_found(made_copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused) -> None:
    monkeypatch.chdir(tmp_path)
    result = gather([])
    assert result.run == Path("run") and result.evaluation_path == Path("metrics.json")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with refused(NothingToDo):
        gather([])


def test_a_result_that_was_moved_finds_its_checkpoint_by_content(made_copy, tmp_path: Path) -> None:
    about = json.loads(made_copy.metrics.read_text())
    about["about"]["checkpoint"]["path"] = "/gone/ckpt.pt"
    made_copy.metrics.write_text(json.dumps(about))
    assert gather([made_copy.metrics]).checkpoint_path == tmp_path / "ckpt.pt"  # beside the figures
    (tmp_path / "ckpt.pt").unlink()
    result = gather([made_copy.metrics, made_copy.run])
    assert result.checkpoint_path == made_copy.run / "stage3.pt" and not result.notes
    result = gather([made_copy.metrics])
    assert result.checkpoint is None and result.cache is None
    assert result.notes == ["The checkpoint that was evaluated does not exist any more: no track can be shown."]


def test_a_checkpoint_that_was_not_evaluated_is_told(made, made_copy) -> None:
    result = gather([made.metrics], checkpoint=made.run / "stage2.pt")
    (note,) = result.notes
    assert "stage2.pt is not the checkpoint that was evaluated" in note
    shutil.copy(made.run / "stage1.pt", made_copy.run / "stage3.pt")
    assert any("(stage 1)" in note for note in gather([made_copy.run]).notes)


def test_a_damaged_stage_is_told_and_a_missing_cache_too(made_copy, make) -> None:
    (made_copy.run / "stage2.pt").write_bytes(b"broken")
    result = gather([made_copy.run])
    assert sorted(result.stages) == [1, 3] and "stage2.pt: not a checkpoint" in result.notes[0]
    about = json.loads(made_copy.metrics.read_text())
    about["about"]["cache"]["path"] = "/gone/cache.h5"
    made_copy.metrics.write_text(json.dumps(about))
    assert gather([made_copy.metrics]).cache.path == made_copy.cache.resolve()  # the checkpoint knows it, too


def test_what_is_named_must_be_there(made, tmp_path: Path, refused) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "other.json").write_text('{"about": 1, "notes": [], "summary": {}, "tracks": []}')
    (tmp_path / "text.json").write_text("no JSON")
    cases = [
        ([tmp_path / "nowhere"], {}, NotFound),
        ([tmp_path / "folder"], {}, WrongFormat),
        ([tmp_path / "other.json"], {}, Damaged),
        ([tmp_path / "text.json"], {}, Damaged),
        ([made.run, made.run], {}, InvalidValue),
        ([made.metrics], {"split": "tset"}, NothingToDo),
        ([made.metrics], {"cache": tmp_path / "no.h5"}, NotFound),
        ([made.metrics], {"checkpoint": tmp_path / "no.pt"}, NotFound),
    ]
    for paths, options, kind in cases:
        with refused(kind):
            gather(paths, **options)
    assert kind_of(made.checkpoint) == "checkpoint"
