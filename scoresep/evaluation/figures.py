"""The figures of an evaluation: a tidy table, a row a track, output, estimator, instrument and metric; and averages.

An output is what is measured of an estimator: its `separation`, its `transcription` of the mixture, or its
`transcription_separated`, of the separated tracks. Whatever shows figures (metrics.json, terminal, page, comparison,
the paper's table) asks `Figures`.

Intervals are bootstrap intervals over tracks: how much a figure would vary with other test tracks of this kind. They
say nothing about other seeds of training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scoresep.evaluation.baselines import BASELINES
from scoresep.evaluation.metric_table import ALWAYS, AVERAGES, MEAN, METRICS, MODEL, OVERALL, STEMS, Metric, nanmean
from scoresep.evaluation.metrics import ALONE, NO_NOTES, SCORED

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 0

Interval = list[float] | None
"""Lower and upper end; None where fewer than two tracks have a value."""
Statistic = Callable[[np.ndarray], np.ndarray]
"""Indices of tracks (..., n) -> a figure of these tracks (...,); NaN where undefined."""
SEPARATION = "separation"
TRANSCRIPTIONS = ("transcription", "transcription_separated")
Key = tuple[str, str, str]
"""Output, estimator and metric."""
LARGEST_FIGURE = 1e9
"""Values and counts beyond it are faults of a file."""


class FigureRow(NamedTuple):
    """A row of the tidy table; `value` is NaN where undefined, `counts` () where the metric has none."""

    track: str
    output: str
    estimator: str
    instrument: str
    metric: str
    value: float
    counts: tuple[int, ...] = ()
    state: str = SCORED


def record_of(track: str, seconds: float, rows: Iterable[FigureRow]) -> dict[str, Any]:
    """The rows of a track as plain values: `values.<output>.<estimator>.<instrument>.<metric>`, `counts` of the same
    form, and `states.<output>.<instrument>`."""
    record: dict[str, Any] = {"track": track, "seconds": seconds, "states": {}, "values": {}, "counts": {}}
    for row in rows:
        place = (row.output, row.estimator, row.instrument)
        if row.instrument != OVERALL:
            below(record["states"], row.output)[row.instrument] = row.state
        below(record["values"], *place)[row.metric] = finite(row.value)
        if row.counts:
            below(record["counts"], *place)[row.metric] = list(row.counts)
    return record


def rows_of(record: Mapping[str, Any]) -> Iterator[FigureRow]:
    """The rows that `record_of` was given.

    Raises:
        LookupError, TypeError, ValueError, AttributeError, OverflowError: it is no such record.
    """
    for output, estimators in record["values"].items():
        for estimator, instruments in estimators.items():
            for instrument, values in instruments.items():
                state = record["states"].get(output, {}).get(instrument, SCORED)
                counts = record["counts"].get(output, {}).get(estimator, {}).get(instrument, {})
                for metric, value in values.items():
                    value, each = checked(value), tuple(map(int, map(checked, counts.get(metric, ()))))
                    yield FigureRow(
                        str(record["track"]), output, estimator, instrument, metric, value, each, str(state)
                    )


def checked(value: Any) -> float:
    """A number of a file; NaN for None."""
    if value is not None and not abs(value) <= LARGEST_FIGURE:
        raise ValueError(f"{value} is no figure")
    return np.nan if value is None else float(value)


def below(nest: dict[str, Any], *path: str) -> dict[str, Any]:
    """The dictionary at a path, made where there is none."""
    for name in path:
        nest = nest.setdefault(name, {})
    return nest


class Figures:
    """Figures of n tracks.

    Attributes:
        tracks: their names.
        instruments: N names.
        rows: of the tidy table, in whatever order.
        states: of pairs, by output, then track and instrument.
    """

    def __init__(self, tracks: Sequence[str], instruments: Sequence[str], rows: Iterable[FigureRow]) -> None:
        self.tracks, self.instruments, self.rows = tuple(tracks), tuple(instruments), [*rows]
        self.states: dict[str, dict[tuple[str, str], str]] = {}
        self._columns = {name: n for n, name in enumerate((*self.instruments, OVERALL))}
        shape, places = (len(self.tracks), len(self._columns)), {track: n for n, track in enumerate(self.tracks)}
        self._values: dict[Key, np.ndarray] = {}
        self._counts: dict[Key, np.ndarray] = {}
        for row in self.rows:
            if row.instrument != OVERALL:
                self.states.setdefault(row.output, {})[row.track, row.instrument] = row.state
            if (metric := METRICS.get(row.metric)) is None:  # of a package that is not installed any more
                continue
            key, place = (row.output, row.estimator, row.metric), (places[row.track], self._columns[row.instrument])
            values = self._values.setdefault(key, np.full(shape, np.nan))
            values[place] = row.value if row.state in metric.states else np.nan
            if metric.score and row.state != ALONE:
                self._counts.setdefault(key, np.zeros((*shape, len(row.counts)), dtype=np.int64))[place] = row.counts
        for key, counts in self._counts.items():
            if not METRICS[key[2]].per_track:
                counts[:, -1] = counts[:, :-1].sum(axis=1)
            self._values[key][:, -1] = METRICS[key[2]].scored(counts[:, -1])

    @property
    def outputs(self) -> list[str]:
        """Those there are, separation first."""
        return [output for output in (SEPARATION, *TRANSCRIPTIONS) if output in self.states]

    def names(self, output: str) -> list[str]:
        """The instruments that an output has: all, or in transcriptions those with notes."""
        known = {name for _, name in self.states.get(output, ())}
        return [name for name in self.instruments if output == SEPARATION or name in known]

    def metrics(self, output: str, estimator: str = MODEL) -> dict[str, Metric]:
        """The metrics that were computed, in the order of `METRICS`."""
        return {name: metric for name, metric in METRICS.items() if (output, estimator, name) in self._values}

    @property
    def estimators(self) -> list[str]:
        """In the order of what they know: the model before those that know the stems, unknown ones first."""
        known = {estimator for _, estimator, _ in self._values}
        blind = [name for name, each in BASELINES.items() if not each.knows_stems]
        oracles = [name for name in BASELINES if name not in blind]
        gone = [name for name in known if name not in (*blind, *oracles, MODEL)]
        return [name for name in (*sorted(gone), *blind, MODEL, *oracles) if name in known]

    def series(self, output: str, estimator: str, metric: str, instrument: str) -> np.ndarray:
        """The values of an instrument, or their `MEAN`, on every track, (n,); NaN where undefined or left out."""
        nothing = np.full((len(self.tracks), len(self._columns)), np.nan)
        values = self._values.get((output, estimator, metric), nothing)
        return nanmean(values[:, :-1], axis=1) if instrument == MEAN else values[:, self._columns[instrument]]

    def counts(self, output: str, estimator: str, metric: str, instrument: str) -> np.ndarray:
        """The counts of an instrument on every track, (n, C); C is 0 if the metric has none."""
        counts = self._counts.get((output, estimator, metric))
        return np.zeros((len(self.tracks), 0), int) if counts is None else counts[:, self._columns[instrument]]

    def _statistic(self, *key: str) -> Statistic:
        metric, values, counts = METRICS[key[2]], self.series(*key), self.counts(*key)
        return lambda drawn: AVERAGES[metric.average](metric, values[drawn], counts[drawn])

    def value(self, output: str, estimator: str, metric: str, instrument: str) -> float:
        """The figure of the split; NaN where undefined."""
        if instrument == MEAN:
            return self._mean(self.value, output, estimator, metric)
        if METRICS[metric].score and not self.counts(output, estimator, metric, instrument).size:
            return np.nan
        return float(self._statistic(output, estimator, metric, instrument)(np.arange(len(self.tracks))))

    def median(self, output: str, estimator: str, metric: str, instrument: str) -> float:
        """The median over tracks, or the mean of the instruments' medians; NaN where undefined."""
        if instrument == MEAN:
            return self._mean(self.median, output, estimator, metric)
        return float(nanmean(self.series(output, estimator, metric, instrument), of=np.nanmedian))

    def _mean(self, figure: Callable[..., float], *key: str) -> float:
        return float(nanmean(np.array([figure(*key, name) for name in self.instruments])))

    def interval(self, output: str, estimator: str, metric: str, instrument: str) -> Interval:
        """Bootstrap interval of `value`; None for fewer than two tracks that count."""
        names = self.instruments if instrument == MEAN else [instrument]
        keys = [(output, estimator, metric, name) for name in names]
        return bootstrap(len(self.tracks), [self._statistic(*key) for key in keys if self._tracks(*key) >= 2])

    def _tracks(self, output: str, estimator: str, metric: str, instrument: str) -> int:
        """How many tracks enter a figure."""
        if METRICS[metric].average == "pooled":
            return int(self.counts(output, estimator, metric, instrument).any(axis=-1).sum())
        return int(np.isfinite(self.series(output, estimator, metric, instrument)).sum())

    def count(self, output: str, state: str, instrument: str | None = None) -> int:
        """How many pairs, of an instrument or all, have this state."""
        pairs = self.states.get(output, {}).items()
        return sum(each == state and instrument in (None, name) for (_, name), each in pairs)

    def summary(self) -> dict[str, Any]:
        """Figures as plain values for metrics.json; docs/reference/metrics.md says what is where."""
        summary: dict[str, Any] = {output: {} for output in (SEPARATION, *TRANSCRIPTIONS)}
        for output in (SEPARATION, *(output for output in self.outputs if output != SEPARATION)):
            for estimator in [name for name in self.estimators if self.metrics(output, name)] or [MODEL]:
                place = (output,) if estimator == MODEL else ("baselines", estimator)
                for column in (*self.names(output), MEAN, OVERALL):
                    if part := dict(self._parts(output, estimator, column)):
                        path = (column, *place) if column in (MEAN, OVERALL) else (*place, column)
                        below(summary, *path).update(part)
            for name in self.names(output):
                states = ALWAYS if output == SEPARATION else (SCORED, NO_NOTES)
                below(summary, output, name).update({state: self.count(output, state, name) for state in states})
        counts = {state: self.count(SEPARATION, state) for state in ALWAYS}
        return {**summary, "counts": {"tracks": len(self.tracks), **counts}}

    def _parts(self, output: str, estimator: str, column: str) -> Iterator[tuple[str, Any]]:
        """The figures of one place of the summary, by name."""
        for name, metric in METRICS.items():
            key = (output, estimator, name, column)
            fits = (metric.source == STEMS) == (output == SEPARATION)
            asked = not metric.option or name in self.metrics(output)
            has_column = column == OVERALL if metric.per_track else column != OVERALL or metric.score
            if not (fits and asked and has_column):
                continue
            yield name, finite(self.value(*key))
            yield f"{name}_median", finite(self.median(*key))
            if metric.interval:
                yield f"{name}_interval", self.interval(*key)
            if metric.score and column != MEAN:
                yield f"{name}_counts", self.counts(*key).sum(axis=0).tolist()


def bootstrap(tracks: int, statistics: Iterable[Statistic]) -> Interval:
    """Percentile interval of the mean of `statistics` (one, or one an instrument); undefined ones are left out.

    The draws follow from `SEED` and the number of tracks, so that figures of the same tracks are drawn together.
    """
    drawn = np.random.default_rng(SEED).integers(0, max(tracks, 1), (RESAMPLES, tracks))
    values = [statistic(drawn) for statistic in statistics]
    if tracks < 2 or not values:
        return None
    means = nanmean(np.stack(values), axis=0)
    tail = 50 * (1 - CONFIDENCE)
    return np.nanpercentile(means, [tail, 100 - tail]).tolist() if np.isfinite(means).any() else None


def finite(value: float) -> float | None:
    """`value`, or None if it is not a number: JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
