"""Measure alignment on rendered band music whose performance is known.

    python tools/measure_align.py MIDI_FOLDER --soundfont FluidR3_GM.sf2 [--songs 60] [--python VENV/bin/python]

A SoundFont plays songs whose time was bent: drift of up to a quarter, rubato of up to a tenth on top. The score that is
aligned has lost a tenth of its notes, has a twentieth of notes that nobody plays, another tempo and, half the time,
another key. In three songs of seven a section is repeated or left out, or noise surrounds the music, of which not all
of the score is played. Beside scoresep stand chroma-DTW (librosa) and, with the interpreter of an environment that has
it, synctoolbox; both are told the transposition and where the music begins and ends. Every recording is also given the
score of another song, its own with one part an octave off, and one part alone of its own and of the other score. Prints
a table, and writes it as JSON with --out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from alignment_baselines import Synctoolbox, chroma_dtw
from alignment_cases import FORMS, RATE, Case, alone, an_octave_off, cases

from scoresep.alignment.align import Alignment, align_features, summary
from scoresep.alignment.features import AudioFeatures, audio_features, note_table
from scoresep.errors import ScoresepError
from scoresep.score.reading import Score

FAILED = 1.0
"""Seconds of median error beyond which a song is lost."""
WAYS = ("scoresep", "chroma-DTW", "synctoolbox")


# Errors


def errors_of(case: Case, found: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Seconds by which each note that is played is off.

    What counts is the moment found for this very note; where none is near, as the score has the same section several
    times and another copy of it was placed there, the nearest of its part and pitch.
    """
    errors = []
    for part, truth, moments in zip(case.score.parts, case.truth, found, strict=True):
        of_pitch: dict[int, np.ndarray] = {}
        for pitch in np.unique(part.pitch).tolist():
            of_pitch[pitch] = np.concatenate([moments[k] for k in np.flatnonzero(part.pitch == pitch)])
        for pitch, true, own in zip(part.pitch.tolist(), truth, moments, strict=True):
            for at in true:
                error = distance(own, at)
                errors.append(error if error < FAILED else distance(of_pitch[pitch], at))
    return np.array(errors)


def distance(moments: np.ndarray, at: float) -> float:
    """Seconds from a moment to the nearest of some, at most `FAILED`."""
    return min(float(np.abs(moments - at).min()), FAILED) if len(moments) else FAILED


def moments_of(alignment: Alignment, score: Score) -> list[list[np.ndarray]]:
    """For each part of the score, for each of its notes, the moments at which an alignment places it."""
    moments: list[list[list[float]]] = [[[] for _ in range(len(part))] for part in score.parts]
    notes = alignment.notes
    for part, index, onset in zip(notes.part.tolist(), notes.index.tolist(), notes.onset.tolist(), strict=True):
        moments[part][index].append(onset)
    return [[np.array(each) for each in part] for part in moments]


# The table


def shares(errors: Sequence[np.ndarray]) -> dict[str, float]:
    """Medians over songs and shares of notes, in ms and percent."""
    medians = np.array([np.median(each) for each in errors])
    every = np.concatenate(list(errors))
    within = {f"within {ms} ms": 100 * float((every <= ms / 1000).mean()) for ms in (25, 50, 100)}
    return {
        "songs": len(errors),
        "lost": int((medians >= FAILED / 2).sum()),
        "median": 1000 * float(np.median(every)),
        "median of medians": 1000 * float(np.median(medians)),
        **within,
    }


@dataclass
class Found:
    """What came of the songs so far, by way and song; of scoresep also what was refused, found and trusted."""

    errors: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    alone: dict[str, np.ndarray] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)
    bars: list[tuple[bool, bool]] = field(default_factory=list)
    refused: dict[str, list[bool]] = field(default_factory=dict)
    octaves: list[tuple[bool, bool]] = field(default_factory=list)
    idle: list[bool] = field(default_factory=list)
    seconds: float = 0.0
    taken: float = 0.0

    def aligned(self, kind: str, name: str, audio: AudioFeatures, score: Score) -> Alignment | None:
        """A score aligned with a recording; None if it is refused, which is kept under its kind."""
        try:
            alignment = align_features(audio, [score], [note_table(score.parts)])
        except ScoresepError as fault:
            print(f"{name}, {kind}: {fault}", flush=True)
            alignment = None
        self.refused.setdefault(kind, []).append(alignment is None)
        return alignment


def main() -> int:
    """Make songs, align them, print the table, also when stopped (Ctrl-C)."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("midi", type=Path)
    options.add_argument("--soundfont", type=Path, required=True)
    options.add_argument("--songs", type=int, default=60)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--python", default="", help="of an environment with synctoolbox")
    options.add_argument("--ways", default=",".join(WAYS), help="of aligning that are measured")
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    found, ways = Found(), given.ways.split(",")
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        others: dict[str, Callable[[Case], list[list[np.ndarray]]]] = {}
        if "chroma-DTW" in ways:
            others["chroma-DTW"] = chroma_dtw
        if "synctoolbox" in ways and given.python:
            others["synctoolbox"] = Synctoolbox(given.python, Path(folder))
        before: Case | None = None
        rng = np.random.default_rng(given.seed)
        for case in cases(given.midi, given.soundfont.read_bytes(), given.songs, given.seed):
            found.forms[case.name] = case.form
            if "scoresep" in ways:
                measure(case, before, found, rng)
            for name, way in others.items():
                found.errors.setdefault(name, {})[case.name] = errors_of(case, way(case))
            before = case
    report(found, given.out)
    return 0


def measure(case: Case, other: Case | None, found: Found, rng: np.random.Generator) -> None:
    """Align a recording with its own score, whole and in part, and with that of another song."""
    began = time.process_time()
    audio = audio_features(case.samples)
    alignment = found.aligned("right scores", case.name, audio, case.score)
    if alignment:
        found.taken += time.process_time() - began
        found.seconds += len(case.samples) / RATE
        found.bars += judged_bars(case, alignment)
        found.idle += idle_notes(case, moments_of(alignment, case.score))
    errors = errors_or_lost(case, alignment)
    found.errors.setdefault("scoresep", {})[case.name] = errors
    within = f"{1000 * np.median(errors):.0f} ms, {(errors < 0.1).mean():.0%} within 100 ms"
    print(f"{case.name}, {case.form}: {within}; {summary(alignment) if alignment else ''}", flush=True)
    moved, number, octave = an_octave_off(case, rng)
    if alignment := found.aligned("right scores with a part an octave off", case.name, audio, moved.score):
        true = [octave if n == number else 0 for n in range(len(moved.score.parts))]
        pairs = zip(true, alignment.octaves, moved.score.parts, strict=True)
        found.octaves += [(bool(wanted), octave == wanted) for wanted, octave, part in pairs if not part.is_drum]
    if one := alone(case, rng):
        alignment = found.aligned("right parts alone", case.name, audio, one.score)
        found.alone[case.name] = errors_or_lost(one, alignment)
    if other:
        found.aligned("wrong scores", case.name, audio, other.score)
        if one := alone(other, rng):
            found.aligned("wrong parts alone", case.name, audio, one.score)


def errors_or_lost(case: Case, alignment: Alignment | None) -> np.ndarray:
    """Seconds by which each note that is played is off; of a score that is refused, each by `FAILED`."""
    if alignment is None:
        return np.full(sum(len(moments) for part in case.truth for moments in part), FAILED)
    return errors_of(case, moments_of(alignment, case.score))


def idle_notes(case: Case, found: Sequence[Sequence[np.ndarray]]) -> list[bool]:
    """For each note of a bar that is not played, whether it was placed all the same."""
    triples = zip(case.truth, case.added, found, strict=True)
    return [
        len(own) > 0
        for truth, added, moments in triples
        for true, more, own in zip(truth, added, moments, strict=True)
        if not len(true) and not more
    ]


def judged_bars(case: Case, alignment: Alignment) -> list[tuple[bool, bool]]:
    """For each bar of the result: whether it is trusted, and whether its notes are in place (80 % within 100 ms)."""
    notes, judged = alignment.notes, []
    played = [np.concatenate([np.zeros(0), *truth]) for truth in case.truth]
    pitch = [np.repeat(p.pitch, [len(t) for t in truth]) for p, truth in zip(case.score.parts, case.truth, strict=True)]
    off = np.full(len(notes), np.nan)
    for k, (part, index, onset) in enumerate(zip(notes.part, notes.index, notes.onset, strict=True)):
        if len(case.truth[part][index]):
            own = distance(case.truth[part][index], onset)
            same = played[part][pitch[part] == case.score.parts[part].pitch[index]]
            off[k] = own if own < FAILED else distance(same, onset)
    for bar in alignment.bars:
        inside = (notes.onset >= bar.begin) & (notes.onset < bar.end) & ~np.isnan(off)
        if inside.sum() >= 3:
            judged.append((bar.trusted, bool((off[inside] < 0.1).mean() >= 0.8)))
    return judged


def report(found: Found, out: Path | None) -> None:
    """Print what came of it."""
    names = ("number", "lost", "median, ms", "median of medians, ms")
    print("| songs | way | " + " | ".join((*names, "25 ms", "50 ms", "100 ms")) + " |\n|" + "---|" * 9)
    rows = {}
    groups = [("all", {*FORMS}), ("as written", {"as written"}), ("other forms", {*FORMS[4:]})]
    tables = [
        (title, way, [each for name, each in errors.items() if found.forms[name] in wanted])
        for title, wanted in groups
        for way, errors in found.errors.items()
    ]
    for title, way, chosen in [*tables, ("one part alone", "scoresep", list(found.alone.values()))]:
        if chosen:
            row = rows[f"{title}, {way}"] = shares(chosen)
            cells = [f"{value:.0f}" for value in list(row.values())[:4]]
            cells += [f"{value:.1f} %" for value in list(row.values())[4:]]
            print(f"| {title} | {way} | {' | '.join(cells)} |")
    figures = figures_of(found)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if out:
        out.write_text(json.dumps({"rows": rows, "figures": figures}, indent=1))


def figures_of(found: Found) -> dict[str, str]:
    """What else was counted."""
    trusted, good = np.array(found.bars, dtype=bool).reshape(-1, 2).T
    moved, right = np.array(found.octaves, dtype=bool).reshape(-1, 2).T
    return {
        **{f"{kind} refused": counted(np.array(each)) for kind, each in found.refused.items()},
        "bars out of place": counted(~good),
        "of these not trusted": counted(~trusted[~good]),
        "of the good ones not trusted": counted(~trusted[good]),
        "octaves found of parts that are an octave off": counted(right[moved]),
        "other parts moved by an octave": counted(~right[~moved]),
        "notes of bars that are not played, placed all the same": counted(np.array(found.idle, dtype=bool)),
        "times real time": f"{found.seconds / max(found.taken, 1e-9):.1f}",
    }


def counted(of: np.ndarray) -> str:
    """How many of some, in words."""
    return f"{int(of.sum())} of {len(of)}" + (f" ({100 * of.mean():.1f} %)" if len(of) else "")


if __name__ == "__main__":
    sys.exit(main())
