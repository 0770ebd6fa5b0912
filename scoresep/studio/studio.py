"""What the server serves: the project that is open, its worker, and what the page is told of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scoresep.errors import AlreadyExists, NotFound
from scoresep.models.model import Model
from scoresep.studio.analysis import picture
from scoresep.studio.giving import song_state
from scoresep.studio.lock import hold
from scoresep.studio.packing import SUFFIX, unpack
from scoresep.studio.project import Project
from scoresep.studio.stems import read_span
from scoresep.studio.worker import Worker

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
        self.project = Project(new_folder() if folder is None else folder, model)
        self._held = hold(self.project.folder)
        if self.project.state.recording:
            self.worker.start("open", self.project.prepare)

    def close(self) -> None:
        """Give up what is being computed, and let others open the project."""
        self.worker.stop()
        self._held.close()

    def open_file(self, path: Path) -> None:
        """Open a recording or a packed project of this machine.

        Raises:
            ScoresepError: it is neither, or a project of `folder` has a recording already.
        """
        self.open_upload(path, path.name)

    def open_upload(self, file: Path, name: str) -> None:
        """Open what has come as a recording or packed project called `name`; begins to compute what it lacks.

        Raises:
            Busy: something is being computed.
            ScoresepError: as `open_file`.
        """
        self.worker.start("open", lambda progress: self.project.prepare(progress), lambda: self._take(file, name))

    def _take(self, file: Path, name: str) -> None:
        full = bool(self.project.state.recording)
        if full and not self._temporary:
            remedy = "start another `scoresep studio` for the other song"
            raise AlreadyExists("holds a recording already", file=self.project.folder, remedy=remedy)
        project = Project(new_folder(), self.model) if full else self.project
        if name.lower().endswith(SUFFIX):
            project = unpack(file, project.folder, self.model, self.largest)
        else:
            project.take(file, Path(name).name)
        self.project = project

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


def new_folder() -> Path:
    """A new folder among the system's temporary ones."""
    return Path(tempfile.mkdtemp(prefix="scoresep-studio-"))
