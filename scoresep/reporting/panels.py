"""One track on the page: its plots, sounds and figures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.tables import Line, pair_lines
from scoresep.grid import Grid
from scoresep.plots.result import log_spectrogram
from scoresep.plots.style import colours_of
from scoresep.reporting.media import AudioFormat, audio_uri, common_gain
from scoresep.reporting.plots import Plot, key_range, mask, roll, spectrogram
from scoresep.reporting.tracks import Part, TrackView


@dataclass(frozen=True)
class PartPanels:
    """One instrument of a track on the page."""

    name: str
    place: str
    colour: str
    plots: tuple[Plot, ...]
    figures: tuple[Line, ...]


@dataclass(frozen=True)
class TrackPanels:
    """One track on the page; `place` is its anchor."""

    name: str
    place: str
    about: str
    mixture: Plot
    parts: tuple[PartPanels, ...]


def track_panels(
    view: TrackView, evaluation: Evaluation | None, grid: Grid, form: AudioFormat, number: int
) -> TrackPanels:
    """A track's plots and sounds; all its sounds have one gain, all its spectrograms one scale."""
    loudest = float(log_spectrogram(view.mixture, grid).max())
    signals = [view.mixture, *(s for part in view.parts for s in (part.estimate, part.truth) if s is not None)]
    gain = np.float32(common_gain(signals))
    colours = colours_of([part.instrument.name for part in view.parts])
    place = f"track{number}"

    def heard(title: str, of: str, sound: np.ndarray) -> Plot:
        plot = spectrogram(title, f"{of} of {view.track}", sound, loudest, view.span[0], grid)
        return replace(plot, sound=audio_uri(gain * sound, grid.sample_rate, form))

    parts = []
    for n, part in enumerate(view.parts):
        name = part.instrument.name
        sounds = [heard("estimate", f"the separated {name}", part.estimate)]
        if part.truth is not None:
            sounds.append(heard("truth", f"the true {name}", part.truth))
        figures = pair_lines(evaluation.figures, view.track, name) if evaluation else []
        plots = (*sounds, *roll_plots(view, part, colours[name]), *mask_plots(view, part, grid))
        parts.append(PartPanels(name, f"{place}part{n}", colours[name], plots, tuple(figures)))
    whole = view.span[1] - view.span[0] > view.seconds - 0.1
    excerpt = "whole" if whole else f"{view.span[0]:.1f} to {view.span[1]:.1f} s of {view.seconds:.1f} s"
    softer = f" All its players are {-20 * np.log10(gain):.1f} dB softer, so that none clips." if gain < 1 else ""
    said = f"{view.why[0].upper()}{view.why[1:]}; {excerpt}.{softer}"
    return TrackPanels(view.track, place, said, heard("mixture", "the mixture", view.mixture), tuple(parts))


def mask_plots(view: TrackView, part: Part, grid: Grid) -> list[Plot]:
    """The mask of the estimate, the one that the true stems would give, and what the score covers."""
    name, rest = part.instrument.name, (len(view.mixture), view.span[0], grid)
    masks = (
        ("mask of the estimate", f"The mask by which {name} was separated", part.mask),
        ("mask of the true stems", f"The true stems' ratio mask of {name}", part.oracle),
        ("mask of the score", f"Bins that the score of {name} covers", part.score_mask),
    )
    return [mask(title, of, values, *rest) for title, of, values in masks if values is not None]


def roll_plots(view: TrackView, part: Part, colour: str) -> list[Plot]:
    """Transcribed notes, the score pale behind them, and the score itself, on the same keys."""
    name, pitched = part.instrument.name, part.instrument.pitched
    keys = key_range([table for table in (part.notes, part.true_notes) if table is not None])
    rest = (keys, view.span, colour, pitched)
    plots = []
    if part.notes is not None:
        title = "transcribed notes" + " (pale: the score)" * (part.true_notes is not None)
        plots.append(roll(title, f"{name} as transcribed", part.notes, part.true_notes, *rest))
    if part.true_notes is not None:
        plots.append(roll("notes of the score", f"{name} as the score has it", part.true_notes, None, *rest))
    return plots
