from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from scoresep.errors import Damaged, InvalidValue, NotFound, NothingToDo, ScoresepError, WrongFormat
from scoresep.reporting.sources import gather, kind_of


def test_each_thing_leads_to_the_next(made) -> None:
    found = gather([made.metrics])
    assert found.checkpoint_path == made.checkpoint and found.cache.path == made.cache.resolve()
    assert (found.run, found.split, found.notes) == (None, "train", [])
    found = gather([made.run])
    assert found.checkpoint_path == made.run / "stage3.pt" and sorted(found.stages) == [1, 2, 3]
    assert (found.split, found.notes, found.evaluation) == ("test", [], None)
    found = gather([made.checkpoint])
    assert found.cache.path == made.cache.resolve() and found.run is None
    found = gather([made.metrics, made.run], split="validation")
    assert found.run and found.evaluation and found.split == "validation"


def test_the_usual_names_are_found(made_copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = gather([])
    assert found.run == Path("run") and found.evaluation_path == Path("metrics.json")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(NothingToDo):
        gather([])


def test_a_result_that_was_moved_finds_its_checkpoint_by_content(made_copy, tmp_path: Path) -> None:
    about = json.loads(made_copy.metrics.read_text())
    about["about"]["checkpoint"]["path"] = "/gone/ckpt.pt"
    made_copy.metrics.write_text(json.dumps(about))
    assert gather([made_copy.metrics]).checkpoint_path == tmp_path / "ckpt.pt"  # beside the figures
    (tmp_path / "ckpt.pt").unlink()
    found = gather([made_copy.metrics, made_copy.run])
    assert found.checkpoint_path == made_copy.run / "stage3.pt" and not found.notes
    found = gather([made_copy.metrics])
    assert found.checkpoint is None and found.cache is None
    assert found.notes == ["The checkpoint that was evaluated does not exist any more: no track can be shown."]


def test_a_checkpoint_that_was_not_evaluated_is_told(made, made_copy) -> None:
    found = gather([made.metrics], checkpoint=made.run / "stage2.pt")
    (note,) = found.notes
    assert "stage2.pt is not the checkpoint that was evaluated" in note
    shutil.copy(made.run / "stage1.pt", made_copy.run / "stage3.pt")
    assert any("(stage 1)" in note for note in gather([made_copy.run]).notes)


def test_a_damaged_stage_is_told_and_a_missing_cache_too(made_copy, make) -> None:
    (made_copy.run / "stage2.pt").write_bytes(b"broken")
    found = gather([made_copy.run])
    assert sorted(found.stages) == [1, 3] and "stage2.pt: not a checkpoint" in found.notes[0]
    about = json.loads(made_copy.metrics.read_text())
    about["about"]["cache"]["path"] = "/gone/cache.h5"
    made_copy.metrics.write_text(json.dumps(about))
    assert gather([made_copy.metrics]).cache.path == made_copy.cache.resolve()  # the checkpoint knows it, too


def test_what_is_named_must_be_there(made, tmp_path: Path) -> None:
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
        ([made.metrics], {"cache": tmp_path / "no.h5"}, ScoresepError),
        ([made.metrics], {"checkpoint": tmp_path / "no.pt"}, ScoresepError),
    ]
    for paths, options, kind in cases:
        with pytest.raises(kind):
            gather(paths, **options)
    assert kind_of(made.checkpoint) == "checkpoint"
