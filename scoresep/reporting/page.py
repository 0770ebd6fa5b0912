"""The report: one HTML page that needs no other file and no network.

Everything that comes from a cache, a log or a figure file is text to the template, which escapes it. The page forbids
itself, by a content security policy, whatever is not inside it.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from scoresep import __version__
from scoresep.errors import AlreadyExists, InvalidValue, NothingToDo
from scoresep.evaluation.baselines import BASELINES
from scoresep.evaluation.figures import SEPARATION, Figures
from scoresep.evaluation.metric_table import MEAN, METRICS, MODEL, STEMS
from scoresep.evaluation.tables import MIXTURE, NOTHING, in_unit, labels, number, tables_of
from scoresep.files import check_writable, first_bytes, write_text
from scoresep.grid import Grid
from scoresep.plots.style import RANGE_DB
from scoresep.reporting import REPORT_SECONDS, REPORT_TRACKS
from scoresep.reporting.media import AUDIO_FORMATS, AudioFormat, curve_picture
from scoresep.reporting.sources import Material, StageCurves, read_curves, stated
from scoresep.reporting.track_views import TrackView, chosen_tracks, track_panels, view_track
from scoresep.separation.separate import Options
from scoresep.training.stages import STAGES

SIZE_MARK = "{size of this page}"
"""Stands for the page's size until that is known."""
OPTIONAL_CONTENT: dict[str, Any] = {
    **dict.fromkeys(("notes", "facts", "tables", "tracks", "stages"), ()),
    "facts_hint": "",
    "listening_hint": "",
}


def write_report(
    path: str | Path,
    material: Material,
    tracks: int | Sequence[str] = REPORT_TRACKS,
    seconds: float = REPORT_SECONDS,
    audio: str = "flac",
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the page to `path`, whole or not at all; returns its size in bytes.

    Args:
        material: what `sources.gather` found.
        tracks: how many tracks are shown, or their ids.
        seconds: length of an excerpt; 0 for whole tracks.
        audio: a row of `media.AUDIO_FORMATS`.
        device: where the networks run.
        progress: called with tracks done and tracks in all.

    Raises:
        InvalidValue, NotFound, Mismatch: something that was asked for cannot be shown.
        NothingToDo: there is nothing to show.
        AlreadyExists, Unwritable: `path` holds something else than a page, or cannot be written.
    """
    check_page(Path(path))
    if not 0 <= seconds < math.inf:
        raise InvalidValue(f"excerpts cannot last {seconds} s", remedy="give --seconds a number from 0 on")
    return write_sized(path, render(material, tracks, seconds, AUDIO_FORMATS[audio], device, progress))


def write_sized(path: str | Path, page: str) -> int:
    """Write a page with its size where `SIZE_MARK` is, whole or not at all; returns its size in bytes."""
    page = page.replace(SIZE_MARK, size_text(len(page.encode(errors="backslashreplace"))))
    write_text(path, page)
    return len(page.encode(errors="backslashreplace"))


def size_text(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"


def check_page(path: Path) -> None:
    """Refuse a place for the page before the work.

    Raises:
        ScoresepError: it cannot be written.
        AlreadyExists: it holds something else than a page.
    """
    check_writable(path, "page")
    if path.exists() and first_bytes(path, 1) not in (b"", b"<"):
        raise AlreadyExists("exists already and is no page", file=path, remedy="give another --out")


def render(
    material: Material,
    tracks: int | Sequence[str],
    seconds: float,
    form: AudioFormat,
    device: str,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """The page as text, with `SIZE_MARK` where its size belongs; see `write_report`."""
    configs = {number: checkpoint.config for number, checkpoint in material.stages.items()}
    stages = [stage_of(curves) for curves in read_curves(material.run, configs)] if material.run else []
    evaluation = material.evaluation
    tables, facts = (tables_of(evaluation.figures), facts_of(evaluation.figures)) if evaluation else ([], [])
    views = separated_tracks(material, tracks, seconds, device, progress)
    grid = material.cache.grid if material.cache else Grid()
    shown = [track_panels(view, evaluation, grid, form, n) for n, view in enumerate(views)]
    notes = [*material.notes, *(map(str, evaluation.notes) if evaluation else [])]
    if material.run and not stages:
        notes.append(f"The log of {material.run} holds no losses yet.")
    if not (stages or tables or shown):
        problem = f"there is nothing to report: {' '.join(notes)}".rstrip(".")
        raise NothingToDo(problem, remedy="give a run, a metrics.json, or a checkpoint and its cache")
    return filled(
        title=title_of(material),
        lead=lead_of(material),
        notes=notes,
        contents=contents_of(bool(tables), shown, bool(stages)),
        facts=facts,
        facts_hint=hint_of(evaluation.figures) if evaluation else "",
        tables=tables,
        tracks=shown,
        listening_hint=listening_hint(form, material.cache.grid) if material.cache else "",
        stages=stages,
        about=about(material, form if shown else None),
    )


def filled(**content: Any) -> str:
    """The page's template with its content; of `OPTIONAL_CONTENT` what is not given is not shown."""
    script = read("page.js")
    return template().render(
        **{**OPTIONAL_CONTENT, **content},
        version=__version__,
        style=Markup(read("page.css")),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    )


def contents_of(figures: bool, tracks: Sequence[Mapping[str, Any]], losses: bool) -> list[tuple[str, str]]:
    return [
        *([("figures", "Evaluation")] if figures else []),
        *([("tracks", "Tracks")] if tracks else []),
        *((track["place"], track["name"]) for track in tracks),
        *([("losses", "Training")] if losses else []),
        ("about", "About"),
    ]


def template() -> Template:
    """The page's template; whatever is put into it is escaped unless it is `Markup`."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["printed"] = printed
    return environment.from_string(read("page.html"))


def printed(figure: str) -> str:
    """A figure with a minus, or a dash, instead of a hyphen."""
    return "–" if figure == NOTHING else figure.replace("-", "−")


def read(name: str) -> str:
    return resources.files("scoresep.reporting").joinpath(name).read_text(encoding="utf-8")


def facts_of(figures: Figures) -> list[dict[str, Any]]:
    """The headline figures, as means over instruments: value, label and the ends of the interval."""
    facts = []
    for name, metric in METRICS.items():
        output = SEPARATION if metric.source == STEMS else "transcription"
        for estimator in (MODEL, *(each for each in figures.estimators if each not in (MODEL, MIXTURE))):
            if metric.headline and name in figures.metrics(output, estimator):
                key = (output, estimator, name, MEAN)
                label = f"{metric.name}, {labels(figures)[estimator][1]}" if output == SEPARATION else metric.name
                ends = figures.interval(*key) if metric.interval and estimator == MODEL else None
                interval = tuple(number(metric, end) for end in ends or ())
                value = in_unit(metric, number(metric, figures.value(*key)))
                facts.append({"value": value, "label": label, "interval": interval})
    return facts


def hint_of(figures: Figures) -> str:
    """How to read the headline figures."""
    oracles = [each.title for name, each in BASELINES.items() if each.knows_stems and name in figures.estimators]
    words = ["Means over instruments; small: 95 % bootstrap interval over tracks."]
    words += [f"The true stems are known to: {', '.join(oracles)}."] * bool(oracles)
    return " ".join([*words, "This model knows the mixture alone; other references know the score of the very song."])


def stage_of(curves: StageCurves) -> dict[str, Any]:
    """A stage for the template: number, title and pictures, the total first."""
    every = [*([curves.total] if curves.total else []), *curves.losses]
    pictures = [
        curve_picture(each.name.replace("/", ": ").replace("_", " "), each, curves.steps)
        for each in every
        if len(each.train) + len(each.validation)
    ]
    known = STAGES.get(curves.stage)
    title = f"Stage {curves.stage}: {known.title}" if known else f"Stage {curves.stage}"
    return {"number": curves.stage, "title": title, "pictures": pictures}


def separated_tracks(
    material: Material,
    tracks: int | Sequence[str],
    seconds: float,
    device: str,
    progress: Callable[[int, int], None] | None,
) -> list[TrackView]:
    """The excerpts of the tracks to show, as the checkpoint separates and transcribes them."""
    if not (material.cache and material.checkpoint):
        return []
    model = material.checkpoint.model.to(device)
    options = Options(refine=stated(material.evaluation, "settings", "refine") is True)  # as what was evaluated
    chosen = chosen_tracks(material.cache, material.split, material.evaluation, tracks)
    views = []
    for done, (row, why) in enumerate(chosen, start=1):
        views.append(view_track(material.cache, row, why, model, seconds, options))
        if progress:
            progress(done, len(chosen))
    return views


def title_of(material: Material) -> str:
    corpus = material.evaluation.about.get("corpus") if material.evaluation else None
    corpus = corpus or (material.cache.corpus if material.cache else None)
    return f"scoresep report: corpus “{corpus}”" if corpus else "scoresep report: a training run"


def lead_of(material: Material) -> str:
    """One sentence: what the page is about."""
    words = []
    if material.checkpoint:
        names = ", ".join(material.checkpoint.model.names)
        words.append(f"A separator and transcriptor of {names}, trained up to stage {material.checkpoint.stage}")
    if material.evaluation:
        about = material.evaluation.about
        words.append(
            f"evaluated on {len(material.evaluation.tracks)} {about.get('split')} tracks "
            f"(split set {about.get('split_set')})"
        )
    text = ", ".join(words)
    return f"{text[0].upper()}{text[1:]}." if text else "The losses of a training run."


def listening_hint(form: AudioFormat, grid: Grid) -> str:
    """What the players and spectrograms of tracks are."""
    return (
        f"Sound is mono at {grid.sample_rate / 1000:g} kHz, what the networks hear, as {form.about}. Levels are "
        f"those in the mixture. Spectrograms of a track share one scale of {RANGE_DB:g} dB. "
        "A line follows what is played."
    )


def about(material: Material, form: AudioFormat | None) -> list[tuple[str, str]]:
    """Where the page's content comes from."""
    lines = [("made by", f"scoresep {__version__}"), ("size of this page", SIZE_MARK)]
    if form:
        lines.append(("sound", form.about))
    if material.run:
        lines.append(("run", str(material.run)))
    if material.evaluation:
        lines.append(
            ("evaluation", f"{material.evaluation_path}, by scoresep {material.evaluation.about.get('scoresep')}")
        )
    if checkpoint := material.checkpoint:
        state = "complete" if checkpoint.complete else "not finished"
        lines += [
            ("checkpoint", f"{material.checkpoint_path}: stage {checkpoint.stage}, {checkpoint.steps} steps, {state}"),
            ("seed", str(checkpoint.config.get("seed"))),
        ]
    if cache := material.cache:
        rules = ", ".join(cache.rules) or "none"
        lines += [
            ("cache", f"{cache.path} (digest {cache.digest[:12]})"),
            ("corpus", f"{cache.corpus}, split set {cache.split_set}, label rules: {rules}"),
            ("grid", f"{cache.grid.sample_rate} Hz, window {cache.grid.n_fft}, hop {cache.grid.hop}"),
        ]
    return lines
