"""The table of metrics: all that is to be said of one stands in its row.

`METRICS` names them; other packages add rows by entry points of the group 'scoresep.metrics' (docs/how-to/metric.md
shows how). Computing, averaging, storing, tables in a terminal and on a page, comparisons and the paper's table follow
from the row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np

from scoresep.evaluation.metrics import (
    ALONE,
    BSS_FIGURES,
    NO_NOTES,
    SCORED,
    SILENT,
    StemPair,
    bleed_db,
    rest_bleed_db,
    si_sdr,
)
from scoresep.plugins import Registry
from scoresep.transcription.note_metrics import note_scores, scores

MODEL = "model"
"""The estimator that is evaluated; the others are rows of `baselines.BASELINES`."""
MEAN, OVERALL = "mean", "overall"
"""Stand for the mean over the instruments, and for all instruments together, their counts added."""
STEMS, ROLL, NOTES = "stems", "roll", "notes"
"""What a metric is computed from: a `metrics.StemPair`, or a `metrics.NotePair`'s piano rolls or notes."""


def nanmean(values: np.ndarray, axis: int | None = None, of: Callable[..., np.ndarray] = np.nanmean) -> np.ndarray:
    """`np.nanmean`, or another such function; NaN, without a warning, where nothing is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return of(values, axis=axis)


AVERAGES: dict[str, Callable[[Metric, np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": lambda metric, values, counts: nanmean(values, axis=-1),
    "sum": lambda metric, values, counts: np.nansum(values, axis=-1),
    "pooled": lambda metric, values, counts: metric.scored(counts.sum(axis=-2)),
}
"""How the figure of a split is made of the values (..., n) and counts (..., n, C) of n tracks."""
SHOWN = ("table", "brief", "details", "line", "no")
"""Where a metric is shown: in a table, and where two checkpoints are compared; in a table of which a terminal shows the
model's rows unless asked for details; in a table of the page or if asked for details; in a line below the tables; in
metrics.json alone."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric.

    Attributes:
        label: name in a terminal, at most 14 letters.
        title: name on paper; '' for `label`.
        about: one line that explains it.
        source: what it is computed from (`STEMS`, `ROLL`, `NOTES`).
        measure: the value of a pair, NaN where undefined; with `score`, counts of the pair, (C,).
        score: counts (..., C) to values (...). Metrics that have one can be pooled, and taken over all instruments.
        per_track: whether `measure` is given the whole track (`metrics.Stems`) instead of each instrument.
        average: row of `AVERAGES`.
        states: states of the pairs (`metrics`) whose values count; others are left out and counted by their state.
            Pooled counts are added over all pairs.
        baselines: rows of `BASELINES` that it is computed for beside the model; None for all.
        option: name of the setting that asks for it (`track_records.EvaluationSettings`), '' if it is always computed.
        unit: such as dB; '%' for shares, which are shown times 100.
        higher_is_better: which way is good.
        signed: whether + is written: of differences.
        decimals: in tables.
        fine: decimals in comparisons and in the paper's table.
        shown: see `SHOWN`.
        heading: of the table that it shares with others; '' for one of its own.
        short: label in the short table of transcription; '' for `label`.
        beside: the metric that is shown in brackets behind it.
        headline: whether it is among the few figures that tell most: at the report's top, and in the paper's table.
    """

    label: str
    about: str
    source: str
    measure: Callable[[Any], float | Sequence[int]]
    title: str = ""
    score: Callable[[np.ndarray], np.ndarray] | None = None
    per_track: bool = False
    average: str = "mean"
    states: tuple[str, ...] = (SCORED,)
    baselines: tuple[str, ...] | None = None
    option: str = ""
    unit: str = ""
    higher_is_better: bool = True
    signed: bool = False
    decimals: int = 1
    fine: int = 3
    shown: str = "table"
    heading: str = ""
    short: str = ""
    beside: str = ""
    headline: bool = False

    def __post_init__(self) -> None:
        for name, known in (("source", (STEMS, ROLL, NOTES)), ("average", AVERAGES), ("shown", SHOWN)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} '{getattr(self, name)}' is none of {', '.join(known)}")
        if self.average == "pooled" and not self.score:
            raise ValueError("what is pooled needs a score")

    @property
    def name(self) -> str:
        """The name on paper."""
        return self.title or self.label

    @property
    def compared(self) -> bool:
        """Whether two checkpoints are compared by it."""
        return self.shown == "table"

    @property
    def interval(self) -> bool:
        """Whether a bootstrap interval is given."""
        return self.compared or self.headline

    def scored(self, counts: np.ndarray) -> np.ndarray:
        """Values (...) of counts (..., C)."""
        assert self.score
        return self.score(counts)

    def applies(self, state: str) -> bool:
        """Whether a pair of this state is measured, be it for the record alone, as where an instrument plays alone."""
        return state in self.states or state == NO_NOTES or (state == ALONE and SCORED in self.states)


def share(counts: np.ndarray) -> np.ndarray:
    """The second of the counts (..., C) as a share of the first; NaN where that is 0."""
    return np.where(counts[..., 0] > 0, counts[..., 1] / np.maximum(counts[..., 0], 1), np.nan)


def bss_figure(row: int) -> Callable[[StemPair], float]:
    """One of `BSS_FIGURES` of a pair."""
    return lambda pair: float(pair.track.bss.figures[row, pair.track.playing.index(pair.place)])


def part(score: Callable[[np.ndarray], Any], name: str) -> Callable[[np.ndarray], np.ndarray]:
    """One of the scores that counts give together."""
    return lambda counts: getattr(score(counts), name)


by_offset = partial(note_scores, offset=True)
PARTS = {"precision": "prec.", "recall": "recall", "f1": "F1"}
ALWAYS = (SCORED, SILENT, ALONE)  # all states of stems
SI_SDR = Metric(
    label="SI-SDR",
    about="SI-SDR: mean over tracks (improvement over mixture).",
    source=STEMS,
    measure=lambda pair: si_sdr(pair.truth.stem, pair.estimate),
    unit="dB",
    fine=1,
    beside="si_sdr_improvement",
)
REST_BLEED = Metric(
    label="rest bleed",
    title="Bleed into rests",
    about="Energy where an instrument rests, dB re mixture",
    source=STEMS,
    measure=lambda pair: rest_bleed_db(pair.truth.mixture, pair.estimate, pair.truth.rests, pair.truth.rate),
    states=ALWAYS,
    unit="dB",
    higher_is_better=False,
    shown="line",
)
SDR = Metric(
    label="SDR",
    about="BSS Eval v4: medians over windows, means over tracks.",
    source=STEMS,
    measure=bss_figure(BSS_FIGURES.index("sdr")),
    option="bss",
    unit="dB",
    shown="brief",
    heading="BSS Eval",
)
FRAME_F1 = Metric(
    label="frame F1",
    about="Frames: keys, pooled over tracks.",
    source=ROLL,
    measure=attrgetter("frame_counts"),
    score=part(scores, "f1"),
    average="pooled",
    decimals=2,
    heading="F1",
    short="frames",
    headline=True,
)
FRAME_DETAIL = replace(FRAME_F1, shown="details", short="", headline=False)
NOTE_F1 = Metric(
    label="note F1",
    about="Notes: onset within 50 ms.",
    source=NOTES,
    measure=attrgetter("note_counts"),
    score=part(note_scores, "f1"),
    decimals=2,
    heading="F1",
    short="notes",
    headline=True,
)
NOTE_DETAIL = replace(NOTE_F1, shown="details", short="", headline=False)
OFFSET_F1 = replace(
    NOTE_F1,
    label="offset F1",
    about="Offset: within 50 ms or 20 % too.",
    score=part(by_offset, "f1"),
    short="notes, offset",
    headline=False,
)

METRICS = Registry(
    "scoresep.metrics",
    Metric,
    {
        "si_sdr": SI_SDR,
        "si_sdr_improvement": replace(
            SI_SDR,
            title="SI-SDR improvement",
            measure=lambda pair: si_sdr(pair.truth.stem, pair.estimate) - pair.truth.mixture_si_sdr,
            beside="",
            shown="no",
            signed=True,
            headline=True,
        ),
        "rest_bleed_db": REST_BLEED,
        "bleed_db": replace(
            REST_BLEED,
            label="bleed",
            title="Bleed on tracks without the instrument",
            about="Energy where a stem is silent, dB re mixture",
            measure=lambda pair: bleed_db(pair.truth.mixture, pair.estimate),
            states=(SILENT,),
            baselines=(),
        ),
        "rest_seconds": replace(
            REST_BLEED,
            label="rests",
            about="How much music the rests are",
            measure=lambda pair: pair.truth.rest_seconds,
            average="sum",
            baselines=(),
            unit="s",
            shown="no",
        ),
        **{name: replace(SDR, label=name.upper(), measure=bss_figure(n)) for n, name in enumerate(BSS_FIGURES)},
        "dropped_windows": replace(
            SDR,
            label="dropped",
            about="Windows without a value, because a source is silent there",
            measure=lambda track: (track.bss.windows, track.bss.dropped) if track.playing else (0, 0),
            score=share,
            per_track=True,
            average="pooled",
            unit="%",
            higher_is_better=False,
            shown="no",
        ),
        **{
            f"frame_{name}": replace(FRAME_DETAIL, label=f"frame {label}", score=part(scores, name))
            for name, label in (*PARTS.items(), ("accuracy", "acc."))
        },
        "frame_f1": FRAME_F1,
        **{
            f"note_{kind}{name}": replace(NOTE_DETAIL, label=f"{short} {label}", score=part(scored, name))
            for kind, short, scored in (("", "note", note_scores), ("offset_", "offset", by_offset))
            for name, label in PARTS.items()
        },
        "note_f1": NOTE_F1,
        "note_offset_f1": OFFSET_F1,
        "stroke_f1": replace(
            NOTE_F1,
            label="strokes",
            title="F1 of strokes",
            about="F1 of strokes, keys merged into kick, snare, toms, hi-hat and cymbals",
            measure=attrgetter("stroke_counts"),
            shown="line",
            heading="",
            short="",
            headline=False,
        ),
        "bleed_notes": Metric(
            label="bleed notes",
            title="Notes that are another instrument's",
            about="Estimated notes that are another instrument's",
            source=NOTES,
            measure=attrgetter("bleed"),
            score=share,
            average="pooled",
            unit="%",
            higher_is_better=False,
            decimals=0,
            shown="line",
        ),
    },
    reserved=(*ALWAYS, "tracks"),
)
"""By name, in the order in which tables show them; the names are those in `metrics.json`."""
