"""The page in headless Chromium, used as a person would; what counts is what is heard."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from scoresep.score.parts import read_midi
from scoresep.studio.server import Server

pytestmark = pytest.mark.integration
HEARD = """async ([from, seconds]) => (await studio.engine.render(from, seconds)).map(channel => [...channel])"""


class Tab:
    """A page of the server, and what its console said."""

    def __init__(self, browser: Any, server: Server, width: int = 1280, scheme: str = "light") -> None:
        self.page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda fault: self.said.append(str(fault)))
        self.page.goto(server.url)

    def until(self, expression: str, seconds: float = 30.0) -> None:
        """Wait for the page; its policy allows no polling of playwright's own."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(f"() => Boolean({expression})"):
            assert time.monotonic() < end, (expression, self.said, self.page.inner_text("#fault"))
            time.sleep(0.05)

    def drop(self, song: Path) -> None:
        """Drop a file on the page."""
        self.until("studio.state")
        transfer = self.page.evaluate_handle(
            """([name, text]) => { const given = new DataTransfer();
            const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
            given.items.add(new File([bytes], name)); return given; }""",
            [song.name, b64(song)],
        )
        self.page.dispatch_event("body", "drop", {"dataTransfer": transfer})
        self.until("studio.shown !== undefined && studio.shown !== null")

    def heard(self, start: float = 0.0, seconds: float = 1.0) -> np.ndarray:
        """What comes out of the page's graph, (n, 2)."""
        return np.array(self.page.evaluate(HEARD, [start, seconds]), dtype=np.float32).T

    def again(self) -> None:
        """Separate again, by its button."""
        count = self.page.evaluate("studio.state.versions.at(-1).id")
        self.page.click("#again")
        self.until(f"studio.shown === {count + 1} && !studio.state.job.running")

    def saved(self, link: str) -> Path:
        """A file that a link gives."""
        with self.page.expect_download() as found:
            self.page.locator("#exports a", has_text=link).filter(has_text=link).last.click()
        return Path(found.value.path())

    def notes(self) -> list[dict[str, Any]]:
        return self.page.evaluate("studio.notes.all")


def b64(path: Path) -> str:
    import base64

    return base64.b64encode(path.read_bytes()).decode()


def test_a_song_from_drop_to_export(browser: Any, serving: Callable[..., Any], song: Path, tmp_path: Path) -> None:
    sound, rate = soundfile.read(song, dtype="float32")
    with serving() as server:
        tab = Tab(browser, server)
        page = tab.page
        tab.drop(song)
        second = slice(rate, 2 * rate)
        whole = tab.heard(1.0)
        np.testing.assert_allclose(whole, panned(sound[second]), atol=1e-5)  # all lanes together are the song

        # mute and solo
        page.get_by_role("button", name="mute piano").click()
        project = server.studio.project
        stems = [soundfile.read(project.stem(0, n), dtype="float32")[0][second] for n in range(3)]
        np.testing.assert_allclose(tab.heard(1.0), panned(stems[1] + stems[2]), atol=1e-5)
        page.get_by_role("button", name="solo bass").click()
        np.testing.assert_allclose(tab.heard(1.0), panned(stems[2]), atol=1e-5)
        for name in ("mute piano", "solo bass"):
            page.get_by_role("button", name=name).click()

        # three corrections: one note by mouse, one by key, one deleted
        before = tab.notes()
        page.evaluate("studio.roll.reveal(0, 72); studio.roll.part = 1")
        box = page.locator("#canvas").bounding_box()
        x, y = page.evaluate("[studio.roll.x(1.2), studio.roll.y(72) + 6]")
        page.locator("#canvas").scroll_into_view_if_needed()
        box = page.locator("#canvas").bounding_box()
        page.mouse.dblclick(box["x"] + x, box["y"] + y)
        added = [note for note in tab.notes() if note["id"] not in {each["id"] for each in before}]
        assert [(note["part"], note["pitch"]) for note in added] == [(1, 72)]
        assert added[0]["onset"] == pytest.approx(1.2, abs=0.02)
        right = page.evaluate("studio.roll.x(studio.notes.one().offset)")
        page.mouse.move(box["x"] + right - 2, box["y"] + y)
        page.mouse.down()
        page.mouse.move(box["x"] + right + 40, box["y"] + y, steps=4)
        page.mouse.up()
        wide = next(note for note in tab.notes() if note["id"] == added[0]["id"])
        assert wide["offset"] - added[0]["offset"] == pytest.approx(42 / 80, abs=0.06)
        for key in ("ArrowUp", "ArrowUp", "ArrowRight"):
            page.keyboard.press(key)
        moved = next(note for note in tab.notes() if note["id"] == added[0]["id"])
        assert moved["pitch"] == 74 and moved["onset"] == pytest.approx(wide["onset"] + 0.02)
        page.keyboard.press("1")
        page.keyboard.press(".")
        page.keyboard.press("Delete")
        assert len(tab.notes()) == len(before)
        page.keyboard.press("Control+z")
        assert len(tab.notes()) == len(before) + 1
        page.keyboard.press("Control+Shift+z")

        # separate a span again: only there it sounds otherwise
        page.evaluate("studio.setSpan([1, 2])")
        tab.until("!studio.unsaved")
        tab.again()
        page.get_by_role("button", name="solo guitar").click()
        stem = soundfile.read(project.stem(1, 1), dtype="float32")[0]
        np.testing.assert_allclose(tab.heard(1.0), panned(stem[second]), atol=1e-5)
        assert np.abs(stem[second] - stems[1]).max() > 1e-3
        np.testing.assert_allclose(tab.heard(3.0), panned(soundfile.read(project.stem(0, 1))[0][3 * rate :]), atol=1e-5)
        page.keyboard.press("b")  # the version before
        tab.until("studio.shown === 0")
        np.testing.assert_allclose(tab.heard(1.0), panned(stems[1]), atol=1e-5)

        # who plays
        page.locator(".lane", has_text="bass").get_by_label("plays in this song").uncheck()
        page.click("#whole")
        tab.again()
        page.get_by_role("button", name="solo guitar").click()
        page.get_by_role("button", name="solo bass").click()
        assert not tab.heard(1.0).any()
        page.get_by_role("button", name="solo bass").click()

        # export
        page.select_option("#format", "flac")
        exported, written = soundfile.read(tab.saved("without piano"))
        assert written == rate
        latest = project.state.versions[-1].id
        np.testing.assert_allclose(exported, sound - soundfile.read(project.stem(latest, 0))[0], atol=2e-7)
        parts = {part.name: len(part) for part in read_midi(tab.saved("MIDI"))}
        assert sum(parts.values()) == len(tab.notes())
        packed = tmp_path / "song.scoresep"
        packed.write_bytes(tab.saved("Project").read_bytes())
        kept, state = tab.notes(), page.evaluate("studio.state.versions")

        # the tab again
        page.reload()
        tab.until("studio.shown !== undefined && studio.shown !== null")
        assert rows(tab.notes()) == rows(kept)
        assert tab.said == []
        page.close()
    with serving() as server:
        tab = Tab(browser, server)
        tab.drop(packed)
        assert rows(tab.notes()) == rows(kept) and tab.page.evaluate("studio.state.versions") == state
        np.testing.assert_allclose(tab.heard(1.0), whole, atol=1e-5)
        assert tab.said == []
        tab.page.close()


def rows(notes: list[dict[str, Any]]) -> list[tuple[float, ...]]:
    keys = ("part", "pitch", "onset", "offset")
    return sorted(tuple(round(note[key], 3) for key in keys) for note in notes)


def panned(sound: np.ndarray) -> np.ndarray:
    """What a panner in the middle makes of stereo sound: the same."""
    return np.asarray(sound, dtype=np.float32)


def test_half_speed_keeps_the_pitch_and_all_lanes_together(
    browser: Any, serving: Callable[..., Any], make: Any, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", make.tone(69, 4.0, partials=3), 16000, subtype="FLOAT")
    with serving() as server:
        tab = Tab(browser, server)
        tab.drop(tmp_path / "a.wav")
        tab.page.keyboard.press("h")
        sound = tab.heard(0.5, 3.0)[:, 0]
        spectrum = np.abs(np.fft.rfft(sound[8000:40000] * np.hanning(32000)))
        assert spectrum.argmax() * 16000 / 32000 == pytest.approx(440, abs=1)
        assert np.sqrt(np.square(sound).mean()) == pytest.approx(0.1 * np.sqrt((1 + 1 / 4 + 1 / 9) / 2), rel=0.05)
        together = sound
        lanes = []
        for n in range(3):
            tab.page.evaluate(f"studio.engine.lanes.forEach((lane, n) => {{ lane.solo = n === {n}; }})")
            lanes.append(tab.heard(0.5, 3.0)[:, 0])
        np.testing.assert_allclose(sum(lanes), together, atol=1e-5)
        assert tab.said == []
        tab.page.close()


def test_the_clock_seeks_loops_and_stops(browser: Any, serving: Callable[..., Any], song: Path) -> None:
    with serving() as server:
        tab = Tab(browser, server)
        page = tab.page
        tab.drop(song)
        page.evaluate("studio.setSpan([1, 1.5])")
        page.keyboard.press("l")
        page.keyboard.press("Space")
        tab.until("studio.engine.position() > 1.2")
        time.sleep(0.6)
        assert 1 <= page.evaluate("studio.engine.position()") < 1.5
        page.keyboard.press("l")
        page.evaluate("studio.seek(3.6)")
        tab.until("!studio.engine.playing")
        assert page.evaluate("studio.engine.position()") == 0 and page.inner_text("#play") == "Play"
        page.keyboard.press("n")
        assert np.abs(tab.heard(0.0) - soundfile.read(song)[0][:22050]).max() > 0.01  # the notes sound too
        assert tab.said == []
        page.close()


def test_notes_of_a_midi_file_take_the_place_of_those_heard(
    browser: Any, serving: Callable[..., Any], song: Path, make: Any, tmp_path: Path
) -> None:
    make.midi(tmp_path / "a.mid", [(0.5, 1.0, 60), (1.0, 1.5, 62)], program=33)
    with serving() as server:
        tab = Tab(browser, server)
        tab.drop(song)
        heard = rows(tab.notes())
        tab.page.set_input_files("#score", tmp_path / "a.mid")
        tab.until("!document.getElementById('fault').hidden")
        assert tab.page.inner_text("#fault").startswith("a.mid: not aligned: ")
        assert rows(tab.notes()) == heard
        tab.page.get_by_role("checkbox", name="Align").uncheck()
        tab.drop(tmp_path / "a.mid")
        tab.until("studio.notes.all.length === 2")
        told = "a.mid: taken as it is written; no part of piano, guitar. Undo brings back the notes before."
        assert tab.page.inner_text("#told") == told and tab.page.locator("#fault").is_hidden()
        assert {note["part"] for note in tab.notes()} == {2}
        tab.page.click("#undo")
        assert rows(tab.notes()) == heard
        tab.until("!studio.unsaved")
        tab.page.close()


def test_opening_is_cancelled_and_a_broken_project_is_named(
    browser: Any, serving: Callable[..., Any], song: Path, tmp_path: Path, gate: threading.Event
) -> None:
    (tmp_path / "broken.scoresep").write_text("no project")
    with serving() as server:
        tab = Tab(browser, server)
        page = tab.page
        page.set_input_files("#file", tmp_path / "broken.scoresep")
        tab.until("!document.getElementById('fault').hidden")
        assert page.inner_text("#fault").startswith("broken.scoresep: is no project")
        assert page.locator("#work").is_hidden() and page.locator("#drop").is_visible()
        page.set_input_files("#file", song)
        tab.until("studio.state.job.running")
        assert page.locator("#fault").is_hidden() and page.locator("#drop").is_hidden()
        page.get_by_role("button", name="Cancel").click()
        gate.set()
        tab.until("!studio.state.job.running")
        assert page.inner_text("#told") == "Opening was cancelled." and page.locator("#drop").is_visible()
        page.set_input_files("#file", song)
        tab.until("studio.shown === 0")
        assert page.locator("#told").is_hidden()
        assert not [text for text in tab.said if "400" not in text]  # the browser logs the refusal
        page.close()


def test_two_tabs(browser: Any, serving: Callable[..., Any], song: Path) -> None:
    with serving() as server:
        one, two = Tab(browser, server), Tab(browser, server)
        one.drop(song)
        two.page.reload()
        two.until("studio.shown === 0")
        for tab in (one, two):
            tab.page.evaluate("studio.notes.add(0, 0.5, 1, 60)")
            time.sleep(0.6)
        two.until("!document.getElementById('fault').hidden")
        assert "another tab" in two.page.inner_text("#fault")
        assert one.page.locator("#fault").is_hidden()
        one.page.close()
        two.page.close()


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (375, "dark"), (1280, "dark")])
def test_it_fits_a_phone_and_the_night(
    browser: Any, serving: Callable[..., Any], song: Path, width: int, scheme: str
) -> None:
    with serving() as server:
        tab = Tab(browser, server, width, scheme)
        tab.drop(song)
        assert tab.page.evaluate("document.documentElement.scrollWidth") == width
        unnamed = tab.page.evaluate(UNNAMED)
        assert unnamed == [], unnamed
        assert tab.page.evaluate(CONTRAST) >= 4.5
        assert tab.said == []
        tab.page.close()


UNNAMED = """() => [...document.querySelectorAll('button, input, select, a, canvas[tabindex], output')]
  .filter(e => e.offsetParent)
  .filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.[0]?.textContent.trim()))
  .map(e => e.outerHTML)"""
CONTRAST = """() => {
  const light = text => { const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  return Math.min(...[...document.querySelectorAll('h1, h2, .hint, label, .knob')].filter(e => e.offsetParent)
    .map(e => light(getComputedStyle(e).color)).map(l => (Math.max(l, ground) + .05) / (Math.min(l, ground) + .05)));
}"""


def test_the_server_that_is_gone_is_said_and_nothing_is_lost(
    browser: Any, serving: Callable[..., Any], song: Path, tmp_path: Path
) -> None:
    with serving(tmp_path / "p") as server:
        tab = Tab(browser, server)
        tab.drop(song)
        tab.page.context.set_offline(True)
        tab.page.evaluate("studio.notes.add(0, 0.5, 1, 60)")
        tab.until("!document.getElementById('fault').hidden")
        assert "does not answer" in tab.page.inner_text("#fault") and tab.page.evaluate("studio.unsaved")
        tab.page.context.set_offline(False)
        tab.page.evaluate("studio.flush()")
        tab.until("!studio.unsaved")
        tab.page.close()
    assert json.loads((tmp_path / "p" / "project.json").read_text())["revision"] == 1
