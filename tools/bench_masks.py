"""Time the harmonic masks of `scoresep.masks` against NumPy and against a matrix product in torch, in one run.

    python tools/bench_masks.py [--midi DIR] [--threads 1]

Every way goes from the same notes to the same packed bits. The ratios say how much faster the compiled kernel is than
    a note at a time   NumPy: |bin - partial| <= half width for all bins and partials of a note, OR, pack at the end
    templates          NumPy: the same, computed once a pitch and ORed as bytes into the frames of each note
    packed templates   NumPy: the templates packed first, so that the OR moves an eighth of the bytes
    matrix product     torch: piano roll (T, P) times templates (P, F) > 0, pack at the end; cannot follow bends
on a dense piano part of four minutes, and on the pitched parts of MIDI files. All results must be equal.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from turns import medians

from scoresep.errors import ScoresepError
from scoresep.grid import Grid, packed_width
from scoresep.masks.harmonic import HarmonicSettings, harmonic_mask, warm_up
from scoresep.score.parts import Part, part_from_notes, read_midi
from scoresep.score.piano_roll import frame_spans

SECONDS = 240.0
NOTES = 4000
PITCHES = 128
GRID, SETTINGS = Grid(), HarmonicSettings()
Maker = Callable[[Sequence[Part], int], np.ndarray]
"""(parts, frames) -> packed mask, uint8 (T, bytes)."""


def main() -> None:
    """Print the ratios for the piano part and, if asked, for MIDI files."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--midi", type=Path, help="a folder of MIDI files, looked through with all its folders")
    options.add_argument("--files", type=int, default=50, help="how many of them (default: %(default)s)")
    options.add_argument("--repeats", type=int, default=7, help="turns of each way (default: %(default)s)")
    options.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    warm_up()
    report(f"piano, {NOTES} notes", [([dense_piano()], GRID.frames(round(SECONDS * GRID.sample_rate)))], chosen.repeats)
    if chosen.midi:
        found = list(midi_parts(chosen.midi, chosen.files))
        for name, wanted in (("without", False), ("with", True)):
            if scores := [(parts, frames) for parts, frames in found if bent(parts) == wanted]:
                report(f"real MIDI, {name} bends", scores, chosen.repeats)


def dense_piano(seed: int = 0) -> Part:
    """Four minutes of chords and runs: 17 notes a second, of half a second on average, so eight sound at a time."""
    rng = np.random.default_rng(seed)
    onsets = rng.uniform(0, SECONDS, NOTES)
    lengths = rng.exponential(0.5, NOTES) + 0.03
    pitches = np.clip(rng.normal(62, 13, NOTES).round(), 21, 108).astype(int)
    return part_from_notes([(a, a + d, int(p), 90) for a, d, p in zip(onsets, lengths, pitches, strict=True)])


def midi_parts(folder: Path, files: int) -> Iterator[tuple[list[Part], int]]:
    """Each pitched part of files from the whole folder, with the frames that its file lasts."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    for path in paths[:: max(len(paths) // files, 1)]:
        try:
            parts = read_midi(path)
        except ScoresepError as fault:
            print(fault)
            continue
        frames = GRID.frame_at(max(part.offset.max() for part in parts)) + 1
        yield from (([part], frames) for part in parts if not part.is_drum)


def bent(parts: Sequence[Part]) -> bool:
    return any(part.bend.any() for part in parts)


def report(name: str, scores: Sequence[tuple[Sequence[Part], int]], repeats: int) -> None:
    """Time all ways on the scores, compare their results, print a line each."""
    ways: dict[str, Maker] = {
        "NumPy, a note at a time": by_note,
        "NumPy, templates": partial(by_template, packed=False),
        "NumPy, packed templates": partial(by_template, packed=True),
    }
    if not any(bent(parts) for parts, _ in scores):
        ways["torch, matrix product"] = by_product
    ours = {"compiled kernel": lambda parts, frames: harmonic_mask(parts, GRID, frames, SETTINGS)}
    for parts, frames in scores:
        expected = harmonic_mask(parts, GRID, frames, SETTINGS)
        for way, make in ways.items():
            assert np.array_equal(make(parts, frames), expected), f"{way}: another mask than the kernel's"
    times = medians({way: partial(make_all, make, scores) for way, make in (ours | ways).items()}, repeats)
    kernel = times.pop("compiled kernel")
    frames = sum(count for _, count in scores)
    seconds = frames / GRID.frame_rate
    print(f"{name}: {len(scores)} parts, {seconds / 60:.1f} minutes, {sum(len(p) for s, _ in scores for p in s)} notes")
    print(f"    compiled kernel: {1e3 * kernel:.2f} ms, {seconds / kernel:,.0f} times real time,", end=" ")
    print(f"{1e3 * kernel * SECONDS / seconds:.2f} ms for a part of four minutes")
    for way, took in times.items():
        print(f"    {way + ':':26} {took / kernel:6.1f} times as long")


def make_all(make: Maker, scores: Sequence[tuple[Sequence[Part], int]]) -> None:
    """The masks of all scores."""
    for parts, frames in scores:
        make(parts, frames)


def notes_of(parts: Sequence[Part], frames: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Each note's first frame, its frames with the release, and its pitch: (1,), or one a frame if its part is bent."""
    tail = int(np.ceil(SETTINGS.release * GRID.frame_rate))
    for part in parts:
        starts, ends = frame_spans(part.onset, part.offset, GRID)
        for onset, pitch, first, end in zip(part.onset, part.pitch, starts, np.minimum(ends, frames), strict=True):
            if first >= end:
                continue
            count = int(min(end + tail, frames) - first)
            sounding = np.array([float(pitch)])
            if len(part.bend):
                times = np.maximum(GRID.seconds(np.arange(first, end)), onset)
                sounding = np.pad(pitch + part.bend_at(times), (0, count - (end - first)), mode="edge")
            yield int(first), count, sounding


def templates_of(pitches: np.ndarray) -> np.ndarray:
    """The bins that each pitch may sound in: float64 (U,) -> bool (U, F)."""
    h = np.arange(1, SETTINGS.harmonics + 1)
    fundamental = 440.0 * 2.0 ** ((pitches - 69.0) / 12.0) / GRID.bin_width
    partials = fundamental[:, None] * h * np.sqrt(1.0 + SETTINGS.inharmonicity * h * h)
    bins = np.arange(GRID.bins)
    return np.stack([(np.abs(bins[:, None] - row) <= SETTINGS.half_width).any(axis=1) for row in partials])


def by_note(parts: Sequence[Part], frames: int) -> np.ndarray:
    mask = np.zeros((frames, GRID.bins), dtype=bool)
    for first, count, pitches in notes_of(parts, frames):
        distinct, which = np.unique(pitches, return_inverse=True)
        mask[first : first + count] |= templates_of(distinct)[which]
    return np.packbits(mask, axis=1, bitorder="little")


def by_template(parts: Sequence[Part], frames: int, packed: bool) -> np.ndarray:
    notes = list(notes_of(parts, frames))
    mask = np.zeros((frames, packed_width(GRID.bins) if packed else GRID.bins), dtype=np.uint8)
    if notes:
        distinct, which = np.unique(np.concatenate([pitches for _, _, pitches in notes]), return_inverse=True)
        templates = templates_of(distinct).view(np.uint8)
        templates = np.packbits(templates, axis=1, bitorder="little") if packed else templates
        ends = np.cumsum([len(pitches) for _, _, pitches in notes])
        for (first, count, pitches), end in zip(notes, ends, strict=True):
            mask[first : first + count] |= templates[which[end - len(pitches) : end]]
    return mask if packed else np.packbits(mask, axis=1, bitorder="little")


def by_product(parts: Sequence[Part], frames: int) -> np.ndarray:
    roll = np.zeros((frames, PITCHES), dtype=np.float32)
    for first, count, pitches in notes_of(parts, frames):
        roll[first : first + count, int(pitches[0])] = 1.0
    templates = torch.from_numpy(templates_of(np.arange(PITCHES, dtype=np.float64)).astype(np.float32))
    return np.packbits((torch.from_numpy(roll) @ templates > 0).numpy(), axis=1, bitorder="little")


if __name__ == "__main__":
    main()
