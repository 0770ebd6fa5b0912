"""The docs' site is built without a warning, from what is here alone, and leads nowhere that is not there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from shown import ROOT

import scoresep

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def test_commands_and_docstrings_are_on_their_pages(site: Path) -> None:
    command_line = (site / "reference" / "cli.html").read_text("utf-8")
    assert all(f'id="scoresep-{name}"' in command_line for name in ("train", "evaluate", "separate"))
    assert "--minutes" in command_line
    python = (site / "reference" / "python.html").read_text("utf-8")
    assert 'id="scoresep.load"' in python and (scoresep.load.__doc__ or "?").splitlines()[0].split(":")[0] in python
    assert 'id="scoresep.losses' in (site / "reference" / "api" / "losses.html").read_text("utf-8")


def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"?([^\"\s>]+)", page.read_text("utf-8")
        )
        assert not [place for place in loaded if re.match(r"(https?:)?//", place)], page


def test_every_page_is_in_the_navigation(site: Path) -> None:
    home = (site / "index.html").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() in home, page
