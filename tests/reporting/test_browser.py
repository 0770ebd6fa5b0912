"""The page in headless Chromium: what a parser cannot tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scoresep.reporting.page import write_report
from scoresep.reporting.sources import gather

pytestmark = pytest.mark.integration
PLACE = "document.querySelector('.track').style.getPropertyValue('--at')"
LOADED = "() => [...document.querySelectorAll('audio')].every(a => a.readyState >= 1 || a.error)"


@pytest.fixture(scope="module")
def report(made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("browser") / "report.html"
    write_report(path, gather([made.run, made.metrics]), tracks=1, seconds=2.0)
    return path


def opened(browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> tuple[Any, list[str], list[str]]:
    """The page, what its console said, and what it asked for."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda fault: said.append(str(fault)))
    page.on("request", lambda request: asked.append(request.url[:40]))
    page.goto(path.as_uri())
    page.wait_for_function(LOADED)
    return page, said, asked


def test_players_have_sound_and_pictures_are_there(browser: Any, report: Path) -> None:
    page, said, asked = opened(browser, report)
    result = page.evaluate("[...document.querySelectorAll('audio')].map(a => [a.duration, a.error && a.error.message])")
    assert len(result) == 7
    assert all(fault is None and duration == pytest.approx(2.0, abs=0.05) for duration, fault in result)
    widths = page.evaluate("[...document.querySelectorAll('image')].map(i => i.getBoundingClientRect().width)")
    assert len(widths) == 16 and all(width > 100 for width in widths)
    drawn = "end => [...document.querySelectorAll(`[id$='-${end}'] path`)].map(p => p.getBoundingClientRect().width)"
    assert sum(width > 5 for width in page.evaluate(drawn, "train")) >= 3  # from step 10 to 11 of 11
    assert sum(width > 10 for width in page.evaluate(drawn, "bar")) >= 3
    assert said == []
    assert all(url.startswith(("file:", "data:")) for url in asked) and sum("file:" in url for url in asked) == 1
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Any, report: Path, scheme: str) -> None:
    page, said, _ = opened(browser, report, 375, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    inside = page.evaluate("[...document.querySelectorAll('.scroll')].map(s => s.scrollWidth > s.clientWidth)")
    assert any(inside)  # wide tables scroll in themselves
    lefts = page.evaluate("[...new Set([...document.querySelectorAll('.pair figure')].map(f => f.offsetLeft))]")
    assert len(lefts) == 1  # one column
    contrast = page.evaluate(CONTRAST)
    assert contrast["text"] >= 7 and contrast["soft"] >= 4.5, contrast
    assert said == []
    page.close()


CONTRAST = """() => {
  const rgb = name => { const s = document.createElement('i'); s.style.color = `var(${name})`; document.body.append(s);
    const found = getComputedStyle(s).color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255); s.remove();
    return found; };
  const light = name => { const [r, g, b] = rgb(name).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const ratio = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
  const worst = name => Math.min(ratio(name, '--ground'), ratio(name, '--card'));
  return {text: worst('--text'), soft: Math.min(worst('--soft'), worst('--accent'))};
}"""


def test_the_keyboard_reaches_everything_and_plays(browser: Any, report: Path) -> None:
    page, _, _ = opened(browser, report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0  # seen when focused
    reached, ringed = [], set()
    for _ in range(200):
        page.keyboard.press("Tab")
        tag, label, ring = page.evaluate(
            "() => { const e = document.activeElement; return [e.tagName, e.getAttribute('aria-label') || '', "
            "getComputedStyle(e).outlineStyle]; }"
        )
        if tag == "BODY":
            break
        ringed.add(ring)
        if tag in ("AUDIO", "SUMMARY") and (tag, label) not in reached[-1:]:
            reached.append((tag, label))
    labels = page.evaluate("[...document.querySelectorAll('audio')].map(a => a.getAttribute('aria-label'))")
    assert [label for tag, label in reached if tag == "AUDIO"] == labels
    assert sum(tag == "SUMMARY" for tag, _ in reached) >= 1 and "none" not in ringed
    page.close()


def test_the_line_follows_what_is_played_and_one_plays_at_a_time(browser: Any, report: Path) -> None:
    page, said, _ = opened(browser, report)
    start = "n => { const a = document.querySelectorAll('audio')[n]; a.muted = true; return a.play(); }"
    page.evaluate(start, 0)
    page.wait_for_function(f"() => {PLACE} > 0.05")
    assert page.evaluate("getComputedStyle(document.querySelector('.heard .head')).display") == "block"
    page.evaluate(start, 1)
    assert page.evaluate("[...document.querySelectorAll('audio')].map(a => a.paused)")[:3] == [True, False, True]
    page.evaluate("document.querySelectorAll('audio')[1].pause()")
    page.evaluate("document.querySelectorAll('audio')[1].currentTime = 1")
    page.wait_for_function(
        "() => Math.abs(document.querySelector('.track').style.getPropertyValue('--at') - 0.5) < 0.02"
    )
    assert said == []
    page.close()


def test_names_from_files_run_nothing(browser: Any, hostile, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", gather([hostile.run, hostile.metrics]), seconds=1.0)
    page, said, _ = opened(browser, tmp_path / "report.html", 375)
    assert page.title().startswith("scoresep report") and said == []
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.close()
