"""Measure what a score gains at separation time, and whether to transcribe the mixture or the separated tracks.

    python tools/measure_use.py ckpt.pt [--cache cache.h5] [--tracks 8] [--split test]

The score is the cache's note list (sounding pitches, without bends). Separation: mean improvement of SI-SDR over the
mixture, silent instruments and those that play alone left out. Transcription: mean note F1 (onset, pitch) and with
offset, once with the checkpoint's thresholds, which were tuned on mixtures, and once with thresholds tuned in the same
way, frames first, on what is listened to in the validation split.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from copy import copy

import numpy as np
import torch
from gains import gains

from scoresep.cache.reader import Cache
from scoresep.evaluation.baselines import TrueTrack, harmonic_mask, score_nmf
from scoresep.evaluation.evaluate import open_cache
from scoresep.evaluation.metric_table import nanmean
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.separation.score_prior import ScorePrior
from scoresep.separation.separate import Options, separate_array
from scoresep.transcription.notation import parts_of
from scoresep.transcription.note_decoder import decode_notes
from scoresep.transcription.note_metrics import ONSET_TOLERANCE, matched_notes, note_counts, note_scores
from scoresep.transcription.threshold_tuning import CANDIDATES, ONSET_CANDIDATES, Tally
from scoresep.transcription.transcribe import posteriors, transcribe_array


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("ckpt")
    options.add_argument("--cache")
    options.add_argument("--tracks", type=int, default=8, help="tracks of the split, and of the validation split")
    options.add_argument("--split", default="test")
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    checkpoint = load_checkpoint(given.ckpt)
    cache, model = open_cache(checkpoint, given.ckpt, given.cache), checkpoint.model
    rows = [int(row) for row in cache.rows(given.split)[: given.tracks]]
    print(f"{len(rows)} tracks of '{given.split}'\n\n| SI-SDR improvement, dB | {' | '.join(model.names)} | mean |")
    print("|---" * (len(model.names) + 2) + "|")
    improvements = [separated(cache, row, model) for row in rows]
    for name in improvements[0]:
        show(name, [found[name] for found in improvements], 2)
    print(f"\n| note F1 / with offset | {' | '.join(model.names)} | mean |\n{'|---' * (len(model.names) + 2)}|")
    validation = [int(row) for row in cache.rows("validation")[: given.tracks]]
    for name, signal, used in (
        ("mixture", "mixture", model),
        ("mixture, tuned anew", "mixture", retuned(cache, validation, model, "mixture")),
        ("separated", "separated", model),
        ("separated, tuned anew", "separated", retuned(cache, validation, model, "separated")),
        ("refined", "refined", model),
        ("refined, tuned anew", "refined", retuned(cache, validation, model, "refined")),
    ):
        show(name, [transcribed(cache, row, used, signal) for row in rows], 3)


def show(name: str, values: Sequence[np.ndarray], digits: int) -> None:
    """A row: means over the tracks of (N,) or (N, figures), and the mean over instruments."""
    means = nanmean(np.stack(values), axis=0)
    cells = [*means, nanmean(means, axis=0)]
    print(
        f"| {name} | {' | '.join(' / '.join(f'{v:.{digits}f}' for v in np.atleast_1d(c)) for c in cells)} |", flush=True
    )


def separated(cache: Cache, row: int, model: Model) -> dict[str, np.ndarray]:
    """Improvement of SI-SDR by way of separating, (N,) each; NaN where it is not scored."""
    mixture, stems, rate = cache.mixture(row), cache.stems(row), cache.grid.sample_rate
    notes = cache.notes(row)
    parts = parts_of({name: notes[notes[:, 4] == n, :4] for n, name in enumerate(model.names)}, model.instruments)
    prior = ScorePrior(parts, model.instruments, model.grid)
    kinds = tuple(each.kind for each in cache.instruments)
    track = TrueTrack(mixture, stems, cache.harmonic(row), cache.grid, kinds, cache.roll(row), cache.onset(row))
    ways: dict[str, Callable[[], Sequence[np.ndarray]]] = {
        "the separator": lambda: list(separate_array(mixture, rate, model).values()),
        "refined (`--refine`)": lambda: list(separate_array(mixture, rate, model, Options(refine=True)).values()),
        "the score's mask": lambda: harmonic_mask(track),
        "the score's factorisation": lambda: score_nmf(track),
        "with score (`--score`)": lambda: list(separate_array(mixture, rate, model, Options(score=prior)).values()),
    }
    return {name: np.array(gains(mixture, stems, way(), rate)) for name, way in ways.items()}


def transcribed(cache: Cache, row: int, model: Model, signal: str) -> np.ndarray:
    """Note F1 and F1 with offset of each instrument, (N, 2); NaN where there are no notes."""
    truth = cache.notes(row)
    found = transcribe_array(cache.mixture(row), cache.grid.sample_rate, model, signal=signal).notes
    counts = [note_counts(truth[truth[:, 4] == n][:, :4], found[name]) for n, name in enumerate(model.names)]
    return np.stack([note_scores(counts).f1, note_scores(counts, offset=True).f1], axis=1)


def retuned(cache: Cache, rows: Sequence[int], model: Model, signal: str) -> Model:
    """The model with thresholds tuned on mixtures or separated tracks."""
    heard = []
    for row in rows:
        relative = cache.magnitude(row).astype(np.float32) / np.float32(cache.level(row))
        (block,) = posteriors(iter([relative]), len(relative), model, 1e6, signal)
        heard.append((block, cache.roll(row), cache.notes(row)))
    tuned = copy(model)
    tuned.threshold, tuned.onset_threshold = list(model.threshold), list(model.onset_threshold)
    for n in range(len(model.names)):
        tally = Tally(CANDIDATES)
        for block, roll, _ in heard:
            tally.add(block.frame[n], roll[:, n])
        tuned.threshold[n] = limit = tally.best()

        def f1(onset: float, n: int = n, limit: float = limit) -> float:
            hits = notes = 0
            for block, _, truth in heard:
                true = truth[truth[:, 4] == n]
                found = decode_notes(block.frame[n], block.onset[n], limit, onset, model.grid)
                hits, notes = hits + matched_notes(true, found, ONSET_TOLERANCE), notes + len(true) + len(found)
            return 2 * hits / max(notes, 1)

        tuned.onset_threshold[n] = max(ONSET_CANDIDATES, key=f1)
    return tuned


if __name__ == "__main__":
    main()
