from __future__ import annotations

import json
import pickle
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from scoresep.audio.source import Progress
from scoresep.errors import AlreadyExists, Damaged, InvalidValue, Mismatch, Unavailable, WrongFormat, WrongVersion
from scoresep.models.model import Model
from scoresep.score.parts import read_midi
from scoresep.separation.score_prior import ScorePrior
from scoresep.separation.separate import Options, separate_array
from scoresep.studio.analysis import named, only_present
from scoresep.studio.exports import export
from scoresep.studio.packing import pack, unpack
from scoresep.studio.project import Project
from scoresep.studio.state import Conflict
from scoresep.studio.stems import stems_between
from scoresep.studio.studio import Studio
from scoresep.studio.worker import Worker
from scoresep.transcription.notation import parts_of
from scoresep.transcription.transcribe import transcribe_array

LIMIT = 10**9


@pytest.fixture
def project(model: Model, song: Path, tmp_path: Path) -> Project:
    made = Project(tmp_path / "project", model)
    made.take(song, song.name)
    made.prepare()
    return made


def stems_of(project: Project, version: int) -> np.ndarray:
    return np.stack([soundfile.read(project.stem(version, n), dtype="float32")[0] for n in range(len(project.names))])


def test_stems_and_notes_are_those_of_the_commands(project: Project, song: Path, model: Model) -> None:
    sound, rate = soundfile.read(song, dtype="float32")
    ours, theirs = stems_of(project, 0), separate_array(sound, rate, model)
    np.testing.assert_allclose(ours.sum(axis=0), sound, atol=1e-6)
    np.testing.assert_allclose(ours, np.stack(list(theirs.values())), atol=2e-3 * np.abs(sound).max())
    heard = transcribe_array(sound, rate, model).notes
    assert any(len(table) for table in heard.values())
    for name, table in heard.items():
        np.testing.assert_allclose(project.tables()[name], table, atol=1e-4)


def test_separating_by_notes_is_what_separate_does_with_a_score(project: Project, song: Path, model: Model) -> None:
    sound, rate = soundfile.read(song, dtype="float32")
    project.edit({"piano": [[0.5 * k, 0.5 * k + 0.4, 60 + 2 * k, 90] for k in range(7)], "bass": [[0, 0.7, 36, 90]]}, 0)
    version = project.separate(0.6, model.names)
    prior = ScorePrior(parts_of(project.tables(), model.instruments), named(model.instruments), model.grid)
    theirs = separate_array(sound, rate, model, Options(score=prior, score_weight=0.6))
    np.testing.assert_allclose(
        stems_of(project, version.id), np.stack(list(theirs.values())), atol=5e-3 * np.abs(sound).max()
    )


def test_outside_of_a_span_nothing_changes(project: Project, model: Model) -> None:
    project.edit({"guitar": [[1.5, 2.0, 70, 90]]}, 0)
    before = stems_of(project, 0)
    version = project.separate(1.0, model.names, (1.4, 2.1))
    after, (start, stop) = stems_of(project, version.id), project.touched(version)
    assert 0 < start < 1.4 * project.state.rate < 2.1 * project.state.rate < stop < project.state.samples
    np.testing.assert_array_equal(after[:, :start], before[:, :start])
    np.testing.assert_array_equal(after[:, stop:], before[:, stop:])
    middle = slice(round(1.6 * project.state.rate), round(1.9 * project.state.rate))
    assert np.abs(after[:, middle] - before[:, middle]).max() > 0.01
    np.testing.assert_allclose(after.sum(axis=0), before.sum(axis=0), atol=1e-6)


def test_a_sample_is_the_same_whatever_span_it_is_made_with(project: Project, model: Model) -> None:
    masks = np.load(project.folder / "versions" / "0" / "masks.npy")
    whole = stems_of(project, 0)
    for start, stop in ((0, 1), (12345, 23456), (project.state.samples - 700, project.state.samples)):
        pieces = stems_between(project.mixture, project.analysis().magnitude, masks, model.grid, start, stop, True)
        parts = list(pieces)
        assert parts[0][0] == start and sum(part.shape[1] for _, part in parts) == stop - start
        np.testing.assert_array_equal(np.concatenate([part for _, part in parts], axis=1), whole[:, start:stop])


def test_who_does_not_play_gets_nothing(project: Project) -> None:
    version = project.separate(0.0, ["piano", "bass"])
    stems = stems_of(project, version.id)
    assert not stems[project.names.index("guitar")].any()
    np.testing.assert_allclose(stems.sum(axis=0), stems_of(project, 0).sum(axis=0), atol=1e-6)
    sound, rate = soundfile.read(project.mixture, dtype="float32")
    theirs = separate_array(sound, rate, project.model, Options(present=("piano", "bass")))
    for name, stem in theirs.items():
        np.testing.assert_allclose(stems[project.names.index(name)], stem, atol=5e-3 * np.abs(sound).max())
    masks, present = np.random.default_rng(1).random((3, 5, 7)).astype(np.float32), np.array([True, False, True])
    np.testing.assert_allclose(only_present(masks, present, "softmax").sum(axis=0), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(only_present(masks, present, "sigmoid")[[0, 2]], masks[[0, 2]])


def test_a_project_in_one_file_restores_everything(project: Project, model: Model, tmp_path: Path) -> None:
    project.edit({"piano": [[0.1, 0.6, 60, 80]], "guitar": [[1, 1.5, 64, 70]]}, 0)
    version = project.separate(0.85, ["piano", "guitar"], (0.5, 2.0))
    project.set_mix({"piano": {"level": 0.5, "mute": True}})
    pack(project, tmp_path / "song.scoresep")
    again = unpack(tmp_path / "song.scoresep", tmp_path / "other", model, LIMIT)
    again.prepare()
    assert again.state == project.state
    for number in (0, version.id):
        np.testing.assert_array_equal(stems_of(again, number), stems_of(project, number))


def test_a_project_that_is_killed_while_it_is_restored_is_restored_again(
    project: Project, model: Model, tmp_path: Path
) -> None:
    def stop(stage: str, done: float, total: float) -> None:
        if stage == "writing":
            raise KeyboardInterrupt

    pack(project, tmp_path / "song.scoresep")
    again = unpack(tmp_path / "song.scoresep", tmp_path / "other", model, LIMIT)
    with pytest.raises(KeyboardInterrupt):
        again.prepare(stop)
    again = Project(again.folder, model)
    again.prepare()
    np.testing.assert_array_equal(stems_of(again, 0), stems_of(project, 0))


def test_work_that_is_cut_short_leaves_what_was_there(project: Project, model: Model) -> None:
    def stop(stage: str, done: float, total: float) -> None:
        raise KeyboardInterrupt

    before = project.state.versions
    with pytest.raises(KeyboardInterrupt):
        project.separate(1.0, model.names, None, stop)
    again = Project(project.folder, model)
    assert again.state.versions == before
    again.prepare()
    assert again.separate(1.0, model.names).id == 1


def test_the_first_the_last_and_the_one_before_are_kept(project: Project, model: Model) -> None:
    for _ in range(4):
        project.separate(0.5, model.names, (1.0, 1.5))
    assert [each.id for each in project.state.versions] == [0, 3, 4]
    assert sorted(path.name for path in (project.folder / "versions").iterdir()) == ["0", "3", "4"]


@pytest.mark.parametrize("kind", ["stems", "stem", "without", "midi", "musicxml", "page", "project"])
def test_exports(project: Project, tmp_path: Path, kind: str) -> None:
    (tmp_path / "out").mkdir()
    file = export(project, tmp_path / "out", kind, "flac", 0, 1)
    sound, stems = soundfile.read(project.mixture)[0], stems_of(project, 0)
    if kind == "stems":
        assert zipfile.ZipFile(file).namelist() == ["piano.flac", "guitar.flac", "bass.flac"]
    elif kind == "stem":
        np.testing.assert_allclose(soundfile.read(file)[0], stems[1], atol=2.0**-22)
    elif kind == "without":
        np.testing.assert_allclose(soundfile.read(file)[0], sound - stems[1], atol=2.0**-22)
    elif kind == "midi":
        parts = {part.name: len(part) for part in read_midi(file)}
        assert parts == {name: len(rows) for name, rows in project.tables().items() if len(rows)}
    elif kind == "musicxml":
        assert b"<score-partwise" in file.read_bytes()
    elif kind == "page":
        assert file.read_text("utf-8").count('id="packed"') == 1
    else:
        assert zipfile.ZipFile(file).testzip() is None


def test_edits_are_checked(project: Project, refused: Callable[..., Any]) -> None:
    with refused(InvalidValue):
        project.edit({"kazoo": []}, 0)
    with refused(InvalidValue):
        project.edit({"piano": [[2.0, 1.0, 60, 90]]}, 0)
    assert project.edit({"piano": []}, 0) == 1
    with refused(Conflict):
        project.edit({"piano": []}, 0)
    with refused(InvalidValue):
        project.separate(0.5, ["kazoo"])
    with refused(InvalidValue):
        project.separate(1.5, ["piano"])


def test_what_is_no_project_is_refused(
    project: Project, model: Model, sigmoid_model: Model, song: Path, tmp_path: Path, refused: Callable[..., Any]
) -> None:
    with refused(AlreadyExists, project.folder):
        project.take(song, "b.wav")
    with refused(AlreadyExists, song.parent):
        Project(song.parent, model)
    with refused(WrongFormat):
        Project(tmp_path / "new", model).take(song, "song.exe")
    with refused(Damaged):
        unpack(song, tmp_path / "new", model, LIMIT)
    pack(project, tmp_path / "p.scoresep")
    with refused(Damaged):  # a bomb
        unpack(tmp_path / "p.scoresep", tmp_path / "new", model, 10_000)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["project.json"]
    state = json.loads((project.folder / "project.json").read_text())
    state["versions"][0]["span"] = [1.0]
    (project.folder / "project.json").write_text(json.dumps(state))
    with refused(Damaged, project.folder / "project.json"):
        Project(project.folder, model)
    (project.folder / "project.json").write_text('{"scoresep_project": 1}')
    with refused(Damaged, project.folder / "project.json"):
        Project(project.folder, model)
    (project.folder / "project.json").write_text('{"scoresep_project": 2}')
    with refused(WrongVersion, project.folder / "project.json"):
        Project(project.folder, model)


def test_a_packed_project_that_was_changed_is_refused(
    project: Project, model: Model, tmp_path: Path, refused: Callable[..., Any]
) -> None:
    pack(project, tmp_path / "p.scoresep")
    with zipfile.ZipFile(tmp_path / "p.scoresep") as packed:
        inner = {name: packed.read(name) for name in packed.namelist()}
    changes = {
        "versions/0/masks.npy": (Damaged, inner["versions/0/masks.npy"][:-1000]),
        "analysis/masks.npy": (Damaged, pickle.dumps("harm")),
        "project.json": (WrongVersion, b'{"scoresep_project": 2}'),
    }
    for changed, (kind, content) in changes.items():
        with zipfile.ZipFile(tmp_path / "q.scoresep", "w") as packed:
            for name, usual in inner.items():
                packed.writestr(name, content if name == changed else usual)
        with refused(kind, tmp_path / "q.scoresep"):
            unpack(tmp_path / "q.scoresep", tmp_path / "new", model, LIMIT)


def test_one_studio_a_project(model: Model, tmp_path: Path, refused: Callable[..., Any]) -> None:
    first = Studio(model, tmp_path / "p")
    with refused(Unavailable, tmp_path / "p"):
        Studio(model, tmp_path / "p")
    first.close()
    Studio(model, tmp_path / "p").close()


def test_a_temporary_project_is_kept_once_it_holds_changes(model: Model, song: Path, temporary: Path) -> None:
    studio = Studio(model)
    studio.open_file(song)
    studio.worker.wait()
    studio.open_file(song)
    studio.worker.wait()
    assert len([*temporary.iterdir()]) == 2
    studio.project.edit({"piano": []}, 0)
    assert studio.close() == [studio.project.folder] == [*temporary.iterdir()]


def test_a_studio_that_ends_while_it_opens_a_song_keeps_it(
    model: Model, song: Path, tmp_path: Path, gate: threading.Event
) -> None:
    studio = Studio(model, tmp_path / "p")
    studio.open_file(song)
    threading.Timer(0.1, gate.set).start()  # after the end has begun
    assert studio.close() == [tmp_path / "p"]
    studio = Studio(model, tmp_path / "p")
    studio.worker.wait()
    assert studio.project.version().id == 0
    studio.close()


def test_what_a_killed_studio_leaves_is_cleared_unless_it_holds_changes(
    model: Model, song: Path, temporary: Path
) -> None:
    killed, opened, changed = Studio(model), Studio(model), Studio(model)
    changed.project.set_beat((120.0, 0.0))
    for studio in (killed, changed):
        for lock in studio._locks.values():  # as the system does when a program ends
            lock.close()
    last = Studio(model)
    assert {*temporary.iterdir()} == {each.project.folder for each in (opened, changed, last)}
    opened.close()
    last.close()


def test_what_is_computed_is_given_up_at_the_end() -> None:
    worker, begun = Worker(), threading.Event()

    def endless(progress: Progress) -> None:
        while True:
            progress("counting", 0, 1)
            begun.set()

    worker.start("count", endless)
    begun.wait()
    worker.stop()
    assert not worker.state()["running"] and not worker.state()["error"]


def test_what_begins_as_something_ends_is_the_latest_job() -> None:
    worker, lock = Worker(), threading.Lock()
    begin, end = threading.Event(), threading.Event()

    class Followed:
        """A lock that is taken by the next job as soon as the first lets it go."""

        acquire = lock.acquire

        def release(self) -> None:
            lock.release()
            if not end.is_set():
                worker.start("second", lambda progress: end.wait(60))

    worker._busy = Followed()
    worker.start("first", lambda progress: begin.wait(60))
    first = worker._thread
    begin.set()
    first.join()
    state = worker.state()
    end.set()
    worker.wait()
    assert (state["kind"], state["number"], state["running"]) == ("second", 2, True)


def test_another_models_project_is_refused(project: Project, constant_model: Any, refused: Callable[..., Any]) -> None:
    with refused(Mismatch):
        Project(project.folder, constant_model((0.5, 0.3, 0.2)))


def test_a_residual_is_a_lane(sigmoid_model: Model, song: Path, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", sigmoid_model)
    project.take(song, song.name)
    project.prepare()
    assert project.names[-1] == "residual"
    np.testing.assert_allclose(stems_of(project, 0).sum(axis=0), soundfile.read(song)[0], atol=1e-6)
