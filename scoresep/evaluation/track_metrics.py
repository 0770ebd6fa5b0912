"""One track to its record: every metric of every instrument and estimator is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoresep.audio.source import ArraySource
from scoresep.audio.spectrogram import stft
from scoresep.cache.reader import Cache
from scoresep.evaluation.baselines import BASELINES, Track
from scoresep.evaluation.figures import SEPARATION, Row, record_of, rows_of
from scoresep.evaluation.pairs import NotePair, StemPair, Stems, TrueStem
from scoresep.evaluation.registry import METRICS, MODEL, OVERALL, STEMS, Metric
from scoresep.grid import PITCHES
from scoresep.models.model import Model
from scoresep.models.streaming import level_of_source
from scoresep.separation.separate import Options, separate_array
from scoresep.transcription.transcribe import (
    Transcription,
    active_keys,
    posteriors,
    transcribe_array,
    transcribe_stream,
)


@dataclass(frozen=True)
class Settings:
    """What to compute.

    Attributes:
        split: of the cache.
        references: rows of `BASELINES` beside the model's.
        bss: whether to compute BSS Eval: seconds a minute of music, row and instrument (docs/reference/metrics.md).
        refine: whether the model's separation is refined by factorisation (docs/research/teacher.md).
    """

    split: str = "test"
    references: tuple[str, ...] = ()
    bss: bool = False
    refine: bool = False


def evaluate_track(
    cache: Cache, row: int, model: Model, settings: Settings, other: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The record (`figures.record_of`) of one track: separation and transcription of every instrument.

    Args:
        other: record of the same track with the same references and `bss`, of whatever model: figures of the references
            are taken from it.
    """
    name, mixture, rate = str(cache.tracks["id"][row]), cache.mixture(row), cache.grid.sample_rate
    stems = separate_array(mixture, rate, model, Options(refine=settings.refine))
    rows: list[Row] = []
    if cache.has_stems:
        kinds, score = tuple(each.kind for each in cache.instruments), (cache.roll(row), cache.onset(row))
        track = Track(mixture, cache.stems(row), cache.harmonic(row), cache.grid, kinds, *score)
        estimates = {MODEL: np.stack([stems[part] for part in model.names])}
        estimates |= {} if other else {each: reference(each, track, name) for each in settings.references}
        truth = [TrueStem(mixture, stem, rate) for stem in track.stems]
        for estimator, estimate in estimates.items():
            whole = Stems(truth, estimate)
            pairs = dict(zip(model.names, whole.pairs, strict=True))
            rows += measured(name, SEPARATION, estimator, whole, pairs, settings)
        rows += [known for known in rows_of(other) if known.estimator in settings.references] if other else []
    if model.transcribes:
        roll, notes = cache.roll(row), cache.notes(row)
        for output, found in (
            ("transcription", transcribe_array(mixture, rate, model)),
            ("transcription_separated", transcribe_separated(stems, mixture, model)),
        ):
            rows += measured(name, output, MODEL, None, note_pairs(roll, notes, found, model), settings)
    return record_of(name, round(len(mixture) / rate, 3), rows)


def reference(name: str, track: Track, of: str) -> np.ndarray:
    """What a row of `BASELINES` makes of a track called `of`, float (N, L)."""
    with BASELINES.running(name, of):
        estimates = np.asarray(BASELINES[name].estimate(track))
        if estimates.shape != track.stems.shape:
            raise ValueError(f"estimates of shape {estimates.shape}, stems of {track.stems.shape}")
    return estimates


def measured(
    track: str,
    output: str,
    estimator: str,
    whole: Stems | None,
    pairs: Mapping[str, StemPair | NotePair],
    settings: Settings,
) -> Iterator[Row]:
    """All metrics of what an estimator made of one track, `pairs` by instrument."""
    for name, metric in METRICS.items():
        asked = not metric.option or getattr(settings, metric.option)
        fits = estimator == MODEL or metric.baselines is None or estimator in metric.baselines
        if not (asked and fits and (metric.source == STEMS) == (output == SEPARATION)):
            continue
        with METRICS.running(name, track):
            if metric.per_track:
                yield Row(track, output, estimator, OVERALL, name, *measure(metric, whole))
                continue
            for instrument, pair in pairs.items():
                if metric.applies(pair.state):
                    yield Row(track, output, estimator, instrument, name, *measure(metric, pair), pair.state)


def measure(metric: Metric, pair: Any) -> tuple[float, tuple[int, ...]]:
    """Value and counts; the latter are () if the metric has none."""
    found = metric.measure(pair)
    if metric.score is None:
        return float(found), ()
    counts = tuple(map(int, found))
    return float(metric.score(np.array(counts))), counts


def transcribe_separated(stems: Mapping[str, np.ndarray], mixture: np.ndarray, model: Model) -> Transcription:
    """Each instrument's notes as the transcriptor reads them off that instrument's separated track.

    Magnitudes are taken relative to the mixture's level, as in training: a quiet stem stays quiet.
    """
    grid, scored = model.grid, [instrument.scored for instrument in model.instruments]
    level = np.float32(level_of_source(ArraySource(mixture, grid.sample_rate), grid))
    roll = np.zeros((grid.frames(len(mixture)), len(scored), PITCHES), dtype=bool)
    notes = {}
    for n, (name, stem) in enumerate(stems.items()):
        if not scored[n]:
            continue
        relative = np.abs(stft(stem, grid.n_fft, grid.hop)) / level
        blocks = list(posteriors(iter([relative]), len(relative), model))
        roll[:, n] = np.concatenate([active_keys(block.frame, model)[:, n] for block in blocks])
        notes[name] = transcribe_stream(iter(blocks), model, ArraySource(stem, grid.sample_rate))[name]
    return Transcription(notes, roll)


def note_pairs(roll: np.ndarray, truth: np.ndarray, found: Transcription, model: Model) -> dict[str, NotePair]:
    """What metrics of transcription are computed from, by instrument.

    Args:
        roll: keys that sound, bool (T, N, P).
        truth: notes (K, 5): onset s, offset s, pitch, velocity, instrument.
    """
    scored = [n for n, instrument in enumerate(model.instruments) if instrument.scored]
    true = [truth[truth[:, 4] == n][:, :4] for n in scored]
    return {
        (name := model.names[n]): NotePair(roll[:, n], found.roll[: len(roll), n], found.notes[name], true, place)
        for place, n in enumerate(scored)
    }
