"""The page as a parser sees it; `test_browser` looks at it in a browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import random
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from scoresep.cache.reader import Cache
from scoresep.errors import NothingToDo, ScoresepError
from scoresep.reporting.page import size_text, write_report
from scoresep.reporting.sources import gather
from scoresep.reporting.track_views import excerpt_frames

VOID = {"meta", "link", "img", "br", "input"}


class Reader(HTMLParser):
    """Elements with their attributes; whether tags are closed in order; text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(made, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Reader]:
    path = tmp_path_factory.mktemp("page") / "report.html"
    size = write_report(path, gather([made.run, made.metrics]), tracks=2, seconds=2.0)
    text = path.read_text(encoding="utf-8")
    assert size == path.stat().st_size
    return text, Reader(text)


def test_nothing_comes_from_outside(page) -> None:
    text, reader = page
    for tag, attributes in reader.elements:
        for name in ("src", "href", "xlink:href", "srcset", "data", "poster", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value[:80])
    assert not re.search(r"https?://|url\((?!#)|@import", text)
    (policy,) = [a["content"] for a in reader.all("meta") if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy


def test_it_is_made_for_everyone(page) -> None:
    text, reader = page
    assert text.startswith("<!DOCTYPE html>") and reader.all("html")[0]["lang"] == "en"
    assert any(a.get("name") == "viewport" and "width=device-width" in a["content"] for a in reader.all("meta"))
    ids = [a["id"] for _, a in reader.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for name in ("aria-labelledby",):
        assert {a[name] for _, a in reader.elements if name in a} <= set(ids)
    assert {a["href"][1:] for a in reader.all("a")} <= set(ids)
    links = reader.all("a")
    assert links[0] == {"class": "skip", "href": "#content"}
    headings = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert not reader.all("img")
    assert all(a["role"] == "img" and a["aria-label"] for a in reader.all("svg"))
    labels = [a["aria-label"] for a in reader.all("audio")]
    assert len(labels) == len(set(labels)) and all("controls" in a for a in reader.all("audio"))


def test_players_pictures_rolls_and_curves_are_there(page, made) -> None:
    _, reader = page
    # Two tracks: the mixture and, for three instruments, estimate and truth; three masks; two rolls.
    assert len(reader.all("audio")) == 2 * (1 + 3 * 2)
    assert len(reader.all("image")) == 2 * (1 + 3 * 2 + 3 * 3)
    curves = sum(1 for a in reader.all("div") if a.get("class") == "curve")
    assert len(reader.all("svg")) == 2 * (1 + 3 * (2 + 3 + 2)) + curves and curves >= 3 + 2 + 3 + 8
    titles = [text for text in reader.text["h3"] if text.startswith("Stage")]
    assert [title[:7] for title in titles] == ["Stage 1", "Stage 2", "Stage 3"]


def test_the_players_play_what_the_cache_holds(page, made) -> None:
    """Mixture and truth of the first track shown, sample by sample to 16 bits."""
    text, reader = page
    cache = Cache(made.cache)
    name = next(a["aria-label"] for a in reader.all("audio")).split(",")[0]
    row = int(np.flatnonzero(cache.tracks["id"] == name)[0])
    first, count = excerpt_frames(cache, row, 2.0)
    samples = slice(first * cache.grid.hop, (first + count) * cache.grid.hop)
    true = {"mixture": cache.mixture(row)[samples], "bass, truth": cache.stems(row)[2, samples]}
    for what, expected in true.items():
        (uri,) = [a["src"] for a in reader.all("audio") if a["aria-label"] == f"{name}, {what}"]
        result, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert rate == 16000
        np.testing.assert_allclose(result, expected, atol=1.01 / 32768)
    assert "softer" not in text


def test_sounds_that_would_clip_are_all_softened_alike(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Cache.mixture
    monkeypatch.setattr(Cache, "mixture", lambda cache, row: 20 * real(cache, row))
    write_report(tmp_path / "loud.html", gather([made.checkpoint]), tracks=1, seconds=1.0)
    text = (tmp_path / "loud.html").read_text()
    assert "dB softer, so that none clips" in text
    for uri in re.findall(r'src="data:audio/flac;base64,([^"]*)"', text):
        assert np.abs(soundfile.read(io.BytesIO(base64.b64decode(uri)))[0]).max() < 1.0


def test_the_page_tells_its_size_and_where_it_comes_from(page, made) -> None:
    text, reader = page
    assert size_text(len(text.encode())) in reader.text["td"]
    assert any(str(made.run) in cell for cell in reader.text["td"])
    assert "{size" not in text


def test_sizes_for_people() -> None:
    assert (size_text(8_690_000), size_text(5_000)) == ("8.7 MB", "5 kB")


def test_names_from_files_are_text(hostile, evil: str, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", gather([hostile.run, hostile.metrics]), seconds=1.0)
    text = (tmp_path / "report.html").read_text()
    assert (
        "<img src=x" not in text and text.count("<script>") == 1 and "document.title" not in text.split("<script>")[1]
    )
    reader = Reader(text)
    assert not any("onerror" in a for _, a in reader.elements)
    assert any(evil in heading for heading in reader.text["h1"])
    assert any(evil.replace("/", ": ").split("=")[0] in caption for caption in reader.text["figcaption"])
    assert any(a["aria-label"] == f"{evil}, piano, estimate" for a in reader.all("audio"))


def test_a_run_without_figures_and_figures_without_a_run(made, unstemmed, tmp_path: Path, refused: Any) -> None:
    write_report(tmp_path / "run.html", gather([made.run]), tracks=0)
    reader = Reader((tmp_path / "run.html").read_text())
    assert not reader.all("audio") and "Training" in reader.text["h2"] and "Evaluation" not in reader.text["h2"]
    write_report(tmp_path / "eval.html", gather([made.metrics]), tracks=1, seconds=1.0, audio="ogg")
    reader = Reader((tmp_path / "eval.html").read_text())
    assert "Training" not in reader.text["h2"]
    assert all(a["src"].startswith("data:audio/ogg") for a in reader.all("audio"))
    write_report(tmp_path / "pair.html", gather([unstemmed.checkpoint]), tracks=1)
    reader = Reader((tmp_path / "pair.html").read_text())
    assert len(reader.all("audio")) == 1 + 3 and "truth" not in reader.text["figcaption"]
    with refused(NothingToDo):
        write_report(tmp_path / "none.html", gather([unstemmed.checkpoint]), tracks=0)
    assert not (tmp_path / "none.html").exists()


def spoilt(value: Any, rng: random.Random) -> Any:
    """A JSON value with one part of it, somewhere, replaced or removed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice([*value])
        if rng.random() < 0.1:
            return {other: part for other, part in value.items() if other != name}
        return {**value, name: spoilt(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        return [*value[:place], spoilt(value[place], rng), *value[place + 1 :]]
    return rng.choice([None, -1, 1e308, math.nan, "text", "<b>", [], {}, [[1]], True, 10**400])


@pytest.mark.robustness
def test_spoilt_figures_and_logs_end_in_one_line(made_copy, tmp_path: Path) -> None:
    """Whatever is in a file from a stranger: a page or a fault in one line."""
    figures = json.loads(made_copy.metrics.read_text())
    log = [json.loads(line) for line in (made_copy.run / "log.jsonl").read_text().splitlines()]
    log = [line for line in log if line.get("stage", 1) == 1]  # drawing takes long
    rng, ended = random.Random(0), []
    for _ in range(150):
        made_copy.metrics.write_text(json.dumps(spoilt(figures, rng)))
        lines = spoilt(log, rng)
        lines = lines if isinstance(lines, list) else [lines]
        (made_copy.run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        try:
            material = gather([made_copy.run, made_copy.metrics])
            material.cache = None  # tracks take long, and are not what is spoilt
            write_report(tmp_path / "report.html", material)
            Reader((tmp_path / "report.html").read_text())
            ended.append("page")
        except ScoresepError as fault:
            assert "\n" not in str(fault)
            ended.append("fault")
    assert ended.count("page") > 20 and ended.count("fault") > 20, ended
