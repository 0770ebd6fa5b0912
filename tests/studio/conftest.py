"""A short song, and a server that has it open."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from scoresep.audio.source import Progress
from scoresep.models.model import Model
from scoresep.studio.project import Project
from scoresep.studio.server import Server
from scoresep.studio.studio import Studio

SECONDS = 4.0
RATE = 22050


@pytest.fixture(scope="session")
def song(make: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stereo: two lines of tones, one to the left and one to the right, and some noise."""
    path = tmp_path_factory.mktemp("song") / "my song.wav"
    rng = np.random.default_rng(0)
    high = make.play([(0.5 * k, 0.5 * k + 0.4, 60 + 2 * k) for k in range(7)], SECONDS, RATE)
    low = make.play([(0.8 * k, 0.8 * k + 0.7, 36 + k) for k in range(4)], SECONDS, RATE)
    noise = rng.normal(0, 0.003, (len(high), 2))
    sound = np.stack([high + 0.3 * low, 0.3 * high + low], axis=1) + noise
    soundfile.write(path, sound, RATE, subtype="PCM_24")
    return path


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary projects are made, in this process."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def serving(model: Model) -> Callable[..., Any]:
    """A context in which a studio is served; arguments are those of `Studio`."""

    @contextmanager
    def serve(*arguments: Any, **options: Any) -> Iterator[Server]:
        with Server(Studio(model, *arguments, **options)) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()
                server.studio.worker.wait()
                server.studio.close()

    return serve


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What decoding waits for."""
    opened, decode = threading.Event(), Project.decode

    def gated(project: Project, progress: Progress | None = None) -> None:
        opened.wait(60)
        if progress:
            progress("reading", 0, 1)
        decode(project, progress)

    monkeypatch.setattr(Project, "decode", gated)
    return opened
