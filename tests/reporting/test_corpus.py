"""The page of a rendered corpus: its songs, their stems and what is said of them."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
import soundfile
import yaml

from scoresep.errors import NotFound, NothingToDo
from scoresep.rendering.render import render_corpus
from scoresep.rendering.settings import RenderSettings
from scoresep.reporting.corpus import excerpt_of, write_preview
from scoresep.score.parts import part_from_notes

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("preview") / "corpus"
    small = RenderSettings(songs=3, seconds=2.5, sample_rate=16000, chains=True, groups=("guitar", "bass"))
    render_corpus(out, small, jobs=1)
    return out


def test_every_stem_can_be_heard_and_what_is_said_of_it_read(corpus: Path) -> None:
    calls: list[tuple[int, int]] = []
    path, size = write_preview(corpus, songs=2, seconds=2.0, progress=lambda *call: calls.append(call))
    page = path.read_text(encoding="utf-8")
    assert path == corpus / "preview.html" and size == path.stat().st_size and calls == [(1, 2), (2, 2)]
    shown = sorted(corpus.glob("*/Track*/metadata.yaml"), key=lambda file: file.parent.name)[::2]
    stems = [about for file in shown for about in yaml.safe_load(file.read_text())["stems"].values()]
    sounds = re.findall(r'src="data:audio/mpeg;base64,([^"]*)"', page)
    assert len(sounds) == len(stems) + 2
    for sound in sounds:
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
        assert rate == 16000 and len(samples) == pytest.approx(2 * 16000, abs=2500)  # MP3 adds silence
    words = unescape(page)
    for about in stems:
        assert about["plugin_name"] in words and about["chain"].replace(" > ", " → ") in words


def test_what_metadata_say_is_text(corpus: Path) -> None:
    path = corpus / "train" / "Track00001" / "metadata.yaml"
    metadata = yaml.safe_load(path.read_text())
    first, *others = metadata["stems"].values()
    first["chain"] = "<script>alert(1)</script>"
    del others[0]["chain"]  # as of a corpus without chains
    path.write_text(yaml.safe_dump(metadata))
    page, _ = write_preview(corpus, songs=1, seconds=1.0)
    assert "<script>alert" not in page.read_text(encoding="utf-8")


def test_the_excerpt_is_where_most_play() -> None:
    first, second = (part_from_notes([(start, 30.0, 60, 90)]) for start in (0.0, 20.0))
    begin, end = excerpt_of([[first], [second]], 30.0, 8.0)
    assert begin >= 19.5 and end - begin == pytest.approx(8.0)
    assert excerpt_of([[first]], 3.0, 8.0) == (0.0, 3.0)


def test_a_corpus_without_songs_is_refused(tmp_path: Path, refused: Callable) -> None:
    with refused(NotFound, tmp_path):
        write_preview(tmp_path)
    (tmp_path / "train" / "Track00001").mkdir(parents=True)  # broken: it has no metadata
    with refused(NothingToDo, tmp_path):
        write_preview(tmp_path)
