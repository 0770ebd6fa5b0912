"""One track to its record of figures: what `evaluate` maps over a split, and `summary` makes figures of.

A pair of track and instrument is one of three: `scored`; `silent`, where the instrument does not play (SI-SDR is
undefined; the energy leaked there is reported instead); `alone`, where it is nearly all of the mixture (SI-SDR of the
mixture above `ALONE_DB`), which would wreck means of improvement.

Records are plain values, so that they can be kept as JSON; None stands for what is undefined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scoresep.cache.reader import Cache
from scoresep.evaluation.baselines import BASELINES, Score, Track
from scoresep.evaluation.bss import FIGURES, bss_eval
from scoresep.evaluation.metrics import (
    ALONE_DB,
    REST_SECONDS,
    SILENT_DB,
    frame_counts,
    leak_db,
    note_counts,
    note_leaks,
    note_scores,
    rest_leak_db,
    resting,
    scores,
    si_sdr,
)
from scoresep.evaluation.statistics import finite
from scoresep.features.spectrogram import stft
from scoresep.grid import PITCHES
from scoresep.inference.separate import Options, separate_array
from scoresep.inference.source import ArraySource
from scoresep.inference.stream import level_of_source
from scoresep.inference.transcribe import (
    Transcription,
    active_keys,
    posteriors,
    transcribe_array,
    transcribe_stream,
)
from scoresep.models.model import Model

MODEL = "model"
"""Name of the checkpoint's own row beside those of `BASELINES`."""


def evaluate_track(
    cache: Cache,
    row: int,
    model: Model,
    references: Sequence[str] = tuple(BASELINES),
    bss: bool = False,
    refine: bool = False,
    other: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The record of one track: separation and transcription of every instrument.

    Args:
        references: rows of `BASELINES`.
        bss: whether to compute BSS Eval too.
        refine: whether the separation is refined (`inference.refine`).
        other: record of the same track with the same references and `bss`, of whatever model: figures of the references
            are taken from it.
    """
    mixture, rate = cache.mixture(row), cache.grid.sample_rate
    stems = separate_array(mixture, rate, model, Options(refine=refine))
    record: dict[str, Any] = {
        "track": str(cache.tracks["id"][row]),
        "seconds": round(len(mixture) / rate, 3),
        "separation": {},
        "transcription": {},
        "transcription_separated": {},
    }
    if cache.has_stems:
        score = Score(cache.roll(row), cache.onset(row), tuple(each.kind for each in cache.instruments))
        track = Track(mixture, cache.stems(row), cache.harmonic(row), cache.grid, score)
        estimates = {MODEL: np.stack([stems[name] for name in model.names])}
        estimates |= {name: BASELINES[name].estimate(track) for name in references if other is None}
        record["separation"] = separation_records(track, estimates, model.names)
        if bss:
            record["bss_eval"] = bss_record(track, estimates, record["separation"])
        if other is not None:
            for figures, known in zip(figures_by_row(record), figures_by_row(other), strict=True):
                figures |= {name: known[name] for name in references if name in known}
    if model.transcribes:
        roll, truth = cache.roll(row), cache.notes(row)
        for key, found in (
            ("transcription", transcribe_array(mixture, rate, model)),
            ("transcription_separated", transcribe_separated(stems, mixture, model)),
        ):
            record[key] = transcription_records(roll, truth, found, model)
    return record


def figures_by_row(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All parts of a record that hold figures by row, in an order that follows from the truth alone."""
    pairs = record["separation"].values()
    found = [pair["rests"]["leak_db"] for pair in pairs]
    found += [pair[key] for pair in pairs if pair["state"] != "silent" for key in ("si_sdr", "si_sdr_improvement")]
    return found + [record["bss_eval"][key] for key in ("dropped", "rows") if "bss_eval" in record]


def separation_records(
    track: Track, estimates: Mapping[str, np.ndarray], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """SI-SDR and leaks of every row, instrument by instrument; `estimates` are (N, L) by row."""
    return {
        name: separation_record(
            track.mixture, track.stems[n], {row: e[n] for row, e in estimates.items()}, track.grid.sample_rate
        )
        for n, name in enumerate(names)
    }


def separation_record(
    mixture: np.ndarray, stem: np.ndarray, estimates: Mapping[str, np.ndarray], rate: int
) -> dict[str, Any]:
    """One pair: `state` (see the module), SI-SDR of each row in dB, improvements over the mixture, or what leaked.

    `rests`: seconds in which the instrument is silent, and what each row leaks there, in dB.
    """
    rests = resting(mixture, stem, rate)
    leaks = {row: finite(rest_leak_db(mixture, estimate, rests, rate)) for row, estimate in estimates.items()}
    shared = {"rests": {"seconds": rest_seconds(rests, len(mixture), rate), "leak_db": leaks}}
    if not leak_db(mixture, stem) > SILENT_DB:
        return {"state": "silent", "leak_db": finite(leak_db(mixture, estimates[MODEL])), **shared}
    before = si_sdr(stem, mixture)
    figures = {row: si_sdr(stem, estimate) for row, estimate in estimates.items()}
    return {
        "state": "alone" if before > ALONE_DB else "scored",
        "si_sdr": figures,
        "si_sdr_improvement": {row: value - before for row, value in figures.items()},
        **shared,
    }


def rest_seconds(rests: np.ndarray, samples: int, rate: int) -> float:
    """Length of the windows `rests` (W,), of which the last may be short."""
    window = round(REST_SECONDS * rate)
    lengths = np.diff(np.append(np.arange(0, samples, window), samples))
    return float(lengths[rests].sum() / rate)


def bss_record(
    track: Track, estimates: Mapping[str, np.ndarray], pairs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """BSS Eval of every row: windows, windows dropped by row, and figures by row and instrument that plays."""
    playing = [n for n, pair in enumerate(pairs.values()) if pair["state"] != "silent"]
    names = list(pairs)
    record: dict[str, Any] = {"windows": 0, "dropped": {}, "rows": {}}
    if not playing:
        return record
    for row, estimate in estimates.items():
        found = bss_eval(track.stems[playing], estimate[playing], track.grid.sample_rate)
        record["windows"], record["dropped"][row] = found.windows, found.dropped
        record["rows"][row] = {
            names[n]: dict(zip(FIGURES, map(finite, column), strict=True))
            for n, column in zip(playing, found.figures.T, strict=True)
        }
    return record


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


def transcription_records(
    roll: np.ndarray, truth: np.ndarray, found: Transcription, model: Model
) -> dict[str, dict[str, Any]]:
    """Frame and note scores of each instrument of one track, and the counts that pooled scores are made of.

    Args:
        roll: keys that sound, bool (T, N, P).
        truth: notes (K, 5): onset s, offset s, pitch, velocity, instrument.
    """
    true = {n: truth[truth[:, 4] == n][:, :4] for n, instrument in enumerate(model.instruments) if instrument.scored}
    records = {}
    for place, (n, own) in enumerate(true.items()):
        name = model.instruments[n].name
        estimated = found.notes[name]
        frames = frame_counts(roll[:, n], found.roll[: len(roll), n])
        notes = note_counts(own, estimated)
        matched, leaked = note_leaks(list(true.values()), estimated, place)
        records[name] = {
            **{f"frame_{key}": finite(value) for key, value in scores(frames)._asdict().items()},
            **{f"note_{key}": finite(value) for key, value in note_scores(notes)._asdict().items()},
            "frame_counts": list(frames),
            "note_counts": list(notes),
            "notes": notes.true,
            "estimated_notes": notes.estimated,
            "leaked_notes": leaked,
            "notes_of": {model.instruments[j].name: int(k) for j, k in zip(true, matched, strict=True)},
        }
    return records
