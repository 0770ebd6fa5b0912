"""`scoresep studio` as a process, and the page that `separate --page` writes."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from scoresep.models.model import Model
from scoresep.separation.separate import separate_file
from scoresep.studio.giving import bundle, html, of_files, write_page

pytestmark = pytest.mark.integration


def started(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """The command, and the address that it prints."""
    line = [sys.executable, "-m", "scoresep", "studio", "--no-browser", *arguments]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for text in process.stdout:
        if text.startswith("studio: "):
            return process, text.split()[1]
    raise AssertionError("no address")


def asked(url: str, path: str, body: Any = None, method: str = "GET") -> Any:
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, content, method=method)) as answer:
        return json.loads(answer.read())


@pytest.mark.robustness
def test_nothing_is_lost_when_the_server_is_killed(song: Path, tmp_path: Path) -> None:
    project = str(tmp_path / "p")
    process, url = started(str(song), "--project", project)
    try:
        while asked(url, "api/state")["job"]["running"]:
            pass
        notes = {"bass": [[0.5, 1.5, 40, 90]]}
        assert asked(url, "api/notes", {"notes": notes, "revision": 0}, "PUT") == {"revision": 1}
        asked(url, "api/separate", {"weight": 1, "present": ["bass"]}, "POST")
    finally:
        process.kill()  # while it separates, mostly
        process.wait()
    process, url = started("--project", project)
    try:
        while (state := asked(url, "api/state"))["job"]["running"]:
            pass
        assert not state["job"]["error"] and state["ready"] and state["name"] == "my song"
        assert asked(url, "api/notes")["notes"]["bass"] == notes["bass"]
    finally:
        process.kill()
        process.wait()


def test_a_file_that_is_none_is_refused(command: Any, tmp_path: Path) -> None:
    status, _, errors = command(f"scoresep studio {tmp_path}/none.wav --no-browser")
    assert status == 2 and "none.wav" in errors


def test_a_page_to_give_away(browser: Any, song: Path, model: Model, tmp_path: Path) -> None:
    """It plays the stems, and asks for nothing."""
    written = separate_file(song, model, tmp_path / "stems")
    given = of_files("</script><b>song", song, dict(zip(model.names, written.files, strict=True)), model)
    write_page(tmp_path / "listen.html", given, model, "flac")
    page = browser.new_page()
    said: list[str] = []
    asked_for: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda fault: said.append(str(fault)))
    page.on("request", lambda request: asked_for.append(request.url))
    page.goto((tmp_path / "listen.html").as_uri())
    page.wait_for_selector("#song:not([hidden])")
    for _ in range(600):
        if page.evaluate("() => window.studio.shown === 0"):
            break
        page.wait_for_timeout(50)
    heard = np.array(page.evaluate("async () => (await studio.engine.render(1, 1)).map(c => [...c])")).T
    np.testing.assert_allclose(heard, soundfile.read(song)[0][22050:44100], atol=1e-3)  # three roundings to 16 bits
    assert page.inner_text("#title") == "</script><b>song"
    assert page.evaluate("studio.notes.all.length") == sum(map(len, given.notes.values()))
    assert page.locator("#again").is_hidden() and page.locator("#file").is_hidden()
    page.keyboard.press("s")
    soloed = np.array(page.evaluate("async () => (await studio.engine.render(1, 1)).map(c => [...c])")).T
    stem = soundfile.read(written.files[0])[0]
    np.testing.assert_allclose(soloed, stem[22050:44100], atol=1e-3)
    assert said == [] and len(asked_for) == 1
    page.close()


def test_the_bundle_has_all_modules_and_no_name_twice() -> None:
    names = [line.split()[1].split("(")[0] for line in bundle().splitlines() if line.startswith(("function", "class"))]
    names += [line.split()[1] for line in bundle().splitlines() if line.startswith("const ") and "{" not in line[:9]]
    assert len(names) == len(set(names)) > 20
    assert "\nimport " not in bundle() and "\nexport " not in bundle()
    assert html('{"a": "</script>"}').count("</script>") == 2
