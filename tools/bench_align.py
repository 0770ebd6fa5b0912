"""Time alignment, and how much memory it takes, by the length of the recording.

    python tools/bench_align.py [--minutes 1,4,16,60]

Each length is a process of its own: chords and a melody, played by sines with a drifting tempo. The floor is the STFT
of 4096 samples at 50 frames a second, one of the two that alignment needs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from scoresep.alignment.align import align
from scoresep.alignment.features import FRAME_RATE, N_FFT, RATE
from scoresep.audio.spectrogram import half_magnitude
from scoresep.score.parts import part_from_notes
from scoresep.score.reading import Score

BEAT = 0.5


def main() -> int:
    """Print a table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", default="1,4,16,60")
    options.add_argument("--job", type=float, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.job:
        print(json.dumps(job(given.job)))
        return 0
    print("| minutes | seconds | times real time | times the floor | memory, MB |\n|" + "---|" * 5)
    for minutes in map(float, given.minutes.split(",")):
        command = [sys.executable, __file__, "--job", str(minutes)]
        taken, floor, memory = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        cells = f"{taken:.1f} | {60 * minutes / taken:.0f} | {taken / floor:.1f} | {memory:.0f}"
        print(f"| {minutes:g} | {cells} |", flush=True)
    return 0


def job(minutes: float) -> tuple[float, float, float]:
    """Seconds of a core for aligning and for the floor, and the peak of memory in MB."""
    short, samples = piece(0.2)
    align(samples, RATE, [short])  # compiled by now
    score, samples = piece(minutes)
    began = time.process_time()
    half_magnitude(samples, N_FFT, RATE // FRAME_RATE)
    middle = time.process_time()
    align(samples, RATE, [score])
    ended = time.process_time()
    return ended - middle, middle - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def piece(minutes: float) -> tuple[Score, np.ndarray]:
    """A score of this length, and how it sounds."""
    rng = np.random.default_rng(0)
    bars = max(round(60 * minutes / (4 * BEAT)), 1)
    roots = rng.integers(48, 60, bars)
    starts = 4 * BEAT * np.arange(bars)
    chords = [
        (at, at + 1.9, int(root) + step, 70) for at, root in zip(starts, roots, strict=True) for step in (0, 4, 7)
    ]
    beats = BEAT * np.arange(4 * bars)
    melody = [(at, at + 0.4, int(roots[n // 4]) + 12 + int(rng.integers(0, 12)), 100) for n, at in enumerate(beats)]
    samples = np.zeros(round((60 * minutes + 1) * RATE), np.float32)
    for onset, offset, pitch, _ in chords + melody:
        first = round((onset + 0.4 * np.sin(onset / 9) + 0.5) * RATE)
        phase = np.arange(round((offset - onset) * RATE), dtype=np.float32) * np.float32(
            2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) / RATE
        )
        tone = sum(np.sin(h * phase) / h for h in (1, 2, 3)) * np.exp(-np.arange(len(phase)) / RATE * 2)
        samples[first : first + len(tone)] += 0.1 * tone[: len(samples) - first]
    return Score([part_from_notes(chords), part_from_notes(melody)], np.append(starts, 4 * BEAT * bars)), samples


if __name__ == "__main__":
    sys.exit(main())
