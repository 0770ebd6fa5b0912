"""What the server serves: the project that is open, its worker, and what the page is told of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from scoresep.audio.source import Progress
from scoresep.errors import AlreadyExists, NotFound
from scoresep.models.model import Model
from scoresep.studio.analysis import picture
from scoresep.studio.giving import song_state
from scoresep.studio.lock import hold
from scoresep.studio.packing import SUFFIX, unpack
from scoresep.studio.project import Project
from scoresep.studio.scores import LoadedScore, called, check_name, load_score
from scoresep.studio.stems import read_span
from scoresep.studio.temporary import clear_abandoned, has_work, new_folder
from scoresep.studio.worker import Cancelled, Worker

LARGEST_UPLOAD = 2**31
"""Bytes of a recording or a project that is dropped on the page."""
MOST_FRAMES = 4096
"""Frames of the spectrogram in one answer."""


class Studio:
    """The open project and the work on it.

    Attributes:
        model: the networks.
        worker: what computes.
        largest: bytes of an upload.
    """

    def __init__(self, model: Model, folder: Path | None = None, largest: int = LARGEST_UPLOAD) -> None:
        """Open the project in `folder`, or a new one in a temporary folder.

        Raises:
            Unavailable: another studio has it open.
            ScoresepError: as `Project`.
        """
        self.model, self.worker, self.largest = model, Worker(), largest
        self._temporary = folder is None
        self._locks: dict[Path, BinaryIO] = {}
        self._opened = 0
        self._score: tuple[int, LoadedScore] | None = None
        if folder is None:
            clear_abandoned()
            self.project = self._new_project()
        else:
            self.project = Project(folder, model)
            self._locks[folder] = hold(folder)
        if self.project.state.recording:
            self.prepare()

    def _new_project(self) -> Project:
        folder, self._locks[folder] = new_folder()
        return Project(folder, self.model)

    def close(self) -> list[Path]:
        """Give up what is being computed, and let others open the projects; temporary ones without work are removed.

        Returns:
            folders of the projects that are kept.
        """
        self.worker.stop()
        kept = [folder for folder in self._locks if not self._temporary or has_work(folder)]
        for folder in [*self._locks]:
            self._let_go(folder, remove=folder not in kept)
        return kept

    def _let_go(self, folder: Path, remove: bool) -> None:
        self._locks.pop(folder).close()
        if remove:
            shutil.rmtree(folder, ignore_errors=True)

    def open_file(self, file: Path, name: str = "") -> None:
        """Open a recording or a packed project, and begin to compute what it lacks; if that is cancelled, what was open
        before is open again.

        Args:
            name: what its owner calls it, where `file` is a copy.

        Raises:
            Busy: something is being computed.
            ScoresepError: it is neither, or a project of `folder` has a recording already.
        """
        before = self.project

        def work(progress: Progress) -> None:
            try:
                self.project.prepare(progress)
            except Cancelled:
                self._go_back(before)
                raise

        self.worker.start("open", work, lambda: self._take(file, name or str(file)))

    def _go_back(self, before: Project) -> None:
        """Show the project that was open before, or an empty one."""
        if self.project.folder == before.folder:
            self.project.give_up()
        else:
            given_up, self.project = self.project.folder, before
            self._let_go(given_up, remove=True)
        self._opened += 1

    def _take(self, file: Path, name: str) -> None:
        full = bool(self.project.state.recording)
        if full and not self._temporary:
            remedy = "start another `scoresep studio` for the other song"
            raise AlreadyExists("holds a recording already", file=self.project.folder, remedy=remedy)
        project = self._new_project() if full else self.project
        try:
            with called(name, file):
                if name.lower().endswith(SUFFIX):
                    project = unpack(file, project.folder, self.model, self.largest)
                else:
                    project.take(file, Path(name).name)
        except BaseException:
            if full:
                self._let_go(project.folder, remove=True)
            raise
        self.project = project
        self._opened += 1

    def prepare(self) -> None:
        """Begin to compute what the project lacks; raises Busy, and NotFound where no recording is open."""
        project = self.project
        if not project.state.recording:
            raise NotFound("no recording is open")
        self.worker.start("open", project.prepare)

    def load_score(self, content: bytes, name: str, aligned: bool) -> None:
        """Begin to read a score; `score` gives what comes of it.

        Raises:
            Busy: something is being computed.
            NotFound: nothing was separated yet.
            WrongFormat: it is no score by its name.
        """
        project, suffix = self.project, check_name(name)
        project.version()

        def work(progress: Progress) -> None:
            with tempfile.TemporaryDirectory(dir=project.folder, prefix=".score-") as place:
                path = Path(place) / f"score{suffix}"
                path.write_bytes(content)
                with called(name, path):
                    loaded = load_score(path, project.mixture, self.model.instruments, aligned, progress)
            self._score = self.worker.state()["number"], loaded

        self.worker.start("score", work)

    def score(self, number: int) -> LoadedScore:
        """The score that the job of that number read; raises NotFound if that is not the last one."""
        if self._score is None or self._score[0] != number:
            raise NotFound("no score was loaded", remedy="load it again")
        return self._score[1]

    def separate(self, weight: float, present: Sequence[str], span: tuple[float, float] | None) -> None:
        """Begin to separate again.

        Raises:
            Busy: something is being computed.
            NotFound: nothing was separated yet.
        """
        project = self.project
        project.version()
        self.worker.start("separate", lambda progress: project.separate(weight, present, span, progress))

    def about(self) -> dict[str, Any]:
        """All that the page shows but for notes and sound."""
        project, state = self.project, self.project.state
        versions = [{**asdict(each), "touched": project.touched(each)} for each in state.versions]
        song = song_state(
            state.name, state, self.model.instruments, project.names, versions, state.mix, self.model.grid
        )
        return {
            **song,
            "opening": self._opened,
            "opened": bool(state.recording),
            "decoded": project.mixture.exists() and state.samples > 0,
            "ready": bool(versions) and project.stem(state.versions[-1].id, 0).exists(),
            "revision": state.revision,
            "beat": state.beat,
            "job": self.worker.state(),
        }

    def notes(self) -> dict[str, Any]:
        """The notes, and how often they have changed."""
        return {"notes": self.project.state.notes, "revision": self.project.state.revision}

    def samples(self, version: int | None, part: int, start: int, stop: int) -> bytes:
        """Samples of a stem, or of the mixture: float32, little-endian, channels side by side.

        Raises:
            NotFound: there is none.
        """
        path = self.project.mixture if version is None else self.project.stem(version, part)
        if not path.exists():
            raise NotFound("there is no sound yet")
        return read_span(path, start, min(stop, self.project.state.samples)).astype("<f4").tobytes()

    def picture(self, start: int, stop: int) -> bytes:
        """Frames of the spectrogram, a byte for each of `PITCHES * ROWS_A_KEY` rows, the lowest first.

        Raises:
            NotFound: there is none.
        """
        if not (self.project.folder / "analysis").is_dir() or not 0 <= start < stop <= start + MOST_FRAMES:
            raise NotFound("there is no picture")
        return picture(self.project.analysis().magnitude[start:stop], self.model.grid).tobytes()
