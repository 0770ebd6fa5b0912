"""Measure how much separating by an aligned score loses against separating by the true one.

    python tools/measure_aligned_separation.py MIDI_FOLDER --soundfont FluidR3_GM.sf2 [--songs 6] [--seed 3]

Songs and distorted scores are those of measure_align.py, as written; the parts that the bundled model separates are
also rendered alone. Prints SI-SDR in dB of each instrument's stem: of the mixture, of the stem by the model alone, by
the distorted score after it was aligned, and by the notes as they are played (which lack none and add none).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from alignment_cases import RATE, Case, cases, rendered

from scoresep import load
from scoresep.alignment.align import align
from scoresep.errors import ScoresepError
from scoresep.evaluation.metrics import si_sdr
from scoresep.instruments import group_of
from scoresep.models.model import Model
from scoresep.score.parts import Part
from scoresep.separation.score_prior import ScorePrior
from scoresep.separation.separate import Options, separate_array

SECONDS = 40
"""Of each song that are separated."""
WAYS = ("mixture", "model", "aligned score", "true score")


def main() -> int:
    """Print a line for each stem, and means."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("midi", type=Path)
    options.add_argument("--soundfont", type=Path, required=True)
    options.add_argument("--songs", type=int, default=6)
    options.add_argument("--seed", type=int, default=3)
    given = options.parse_args()
    model, soundfont = load(None, "cpu").model, given.soundfont.read_bytes()
    rows: list[list[float]] = []
    print("| song | stem | " + " | ".join(WAYS) + " |\n|" + "---|" * 6)
    for case in cases(given.midi, soundfont, given.songs, given.seed, ("as written",)):
        try:
            found = figures(case, model, soundfont)
        except ScoresepError as fault:
            print(f"{case.name}: {fault}", flush=True)
            continue
        for name, row in found.items():
            rows.append(row)
            print(f"| {case.name} | {name} | " + " | ".join(f"{value:.1f}" for value in row) + " |", flush=True)
    means = np.mean(rows, axis=0)
    print("| mean | | " + " | ".join(f"{value:.2f}" for value in means) + " |")
    return 0


def figures(case: Case, model: Model, soundfont: bytes) -> dict[str, list[float]]:
    """SI-SDR of each way, by stem."""
    length = SECONDS * RATE
    alignment = align(case.samples, RATE, [case.score])
    references = stems_of(case.played, model, soundfont, len(case.samples))
    mixture = case.samples[:length]
    estimates = [separate_array(mixture, RATE, model)]
    for parts in (alignment.parts, case.played):
        prior = ScorePrior([part for part in parts if len(part)], model.instruments, model.grid)
        estimates.append(separate_array(mixture, RATE, model, Options(score=prior)))
    found = {}
    for name, reference in references.items():
        true = reference[:length]
        if np.square(true).mean() > 1e-3 * np.square(mixture).mean():
            tracks = [mixture, *(stems[name] for stems in estimates)]
            found[name] = [float(si_sdr(true, track)) for track in tracks]
    return found


def stems_of(parts: list[Part], model: Model, soundfont: bytes, samples: int) -> dict[str, np.ndarray]:
    """What each instrument of a model plays, rendered alone: float32 (samples,)."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        group = group_of(part.program, part.is_drum, model.instruments, part.name)
        if group is not None:
            groups.setdefault(model.names[group], []).append(part)
    sounds = {name: rendered(group, samples / RATE, soundfont) for name, group in groups.items()}
    return {name: np.pad(sound, (0, max(samples - len(sound), 0)))[:samples] for name, sound in sounds.items()}


if __name__ == "__main__":
    sys.exit(main())
