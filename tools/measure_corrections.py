"""Measure what corrections of the notes are worth: SI-SDR as the transcriptor's mistakes are corrected one by one.

    scoresep render songs --songs 24 --seed 4242 --soundfont TimGM6mb.sf2
    python tools/measure_corrections.py songs [--ckpt ckpt.pt] [--songs 20] [--seed 0] [--out figures.json]

Every song is separated as the studio does it, by a project of its own, with the transcriptor's notes and with 25, 50
and 100 % of the mistakes in them corrected, in an order drawn by the seed: what is corrected at 25 % stays so at 50 %.
A mistake is a note that is not played (it is deleted), one that was not heard (it is added), or one of the right pitch
within 50 ms whose ends are not right (it is moved): at 100 % the notes are the score. The weights: 0.85, the notes with
the masks; 1, the notes alone. With --out a run that was stopped goes on with the next song.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from scoresep import load
from scoresep.datasets.base import Track
from scoresep.datasets.slakh import open_slakh
from scoresep.evaluation.metrics import si_sdr
from scoresep.files import write_text
from scoresep.instruments import group_of
from scoresep.models.model import Model
from scoresep.score.parts import sounding_notes
from scoresep.separation.score_prior import SCORE_WEIGHT
from scoresep.studio.project import Project

SHARES = (0.0, 0.25, 0.5, 1.0)
WEIGHTS = {"with the masks": SCORE_WEIGHT, "notes alone": 1.0}
ONSET_TOLERANCE, SAME = 0.05, 0.01
Row = tuple[float, ...]


def main() -> None:
    """Print a table for each weight, and the number of mistakes."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("songs", type=Path, help="corpus in Slakh's layout")
    options.add_argument("--ckpt", type=Path)
    options.add_argument("--songs", dest="count", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--out", type=Path, help="JSON of all figures, song by song")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    model = load(given.ckpt, "cpu").model
    tracks = [track for track in open_slakh(given.songs).tracks if fits(track, model)][: given.count]
    found = json.loads(given.out.read_text()) if given.out and given.out.exists() else {}
    for number, track in enumerate(tracks):
        if track.id not in found:
            found[track.id] = measured(track, model, np.random.default_rng((given.seed, number)))
            if given.out:
                write_text(given.out, json.dumps(found))
        print(f"{track.id}: {json.dumps(found[track.id])}", flush=True)
    show([found[track.id] for track in tracks], model.names)


def fits(track: Track, model: Model) -> bool:
    """Whether a track has stems, each of an instrument of the model."""
    groups = [group_of(stem.program, stem.is_drum, model.instruments) for stem in track.stems]
    return bool(groups) and None not in groups


def measured(track: Track, model: Model, rng: np.random.Generator) -> dict[str, list[float]]:
    """SI-SDR by way of separating, and mistakes, for every instrument; NaN for one that does not play."""
    true, stems, rate = truth(track, model)
    mixture = sum(stems.values(), np.zeros(1))
    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(Path(folder) / "song.wav", mixture, rate, subtype="FLOAT")
        project = Project(Path(folder) / "project", model)
        project.take(Path(folder) / "song.wav", "song.wav")
        project.prepare()
        heard = {name: [tuple(row) for row in rows] for name, rows in project.state.heard.items()}
        mistakes = {name: mistakes_of(heard[name], true[name], rng) for name in heard}
        figures = {"mixture": scores(stems, dict.fromkeys(stems, mixture)), "masks": separated(project, stems, 0)}
        for title, weight in WEIGHTS.items():
            for share in SHARES:
                project.edit(
                    {name: corrected(heard[name], mistakes[name], share) for name in heard}, project.state.revision
                )
                version = project.separate(weight)
                figures[f"{title}, {share:.0%}"] = separated(project, stems, version.id)
    counts = [float(len(mistakes[name])) for name in stems]
    return {**figures, "mistakes": counts, "notes": [float(len(true[name])) for name in stems]}


def truth(track: Track, model: Model) -> tuple[dict[str, list[Row]], dict[str, np.ndarray], int]:
    """Notes and sound of every instrument, and the rate."""
    stems: dict[str, np.ndarray] = {}
    parts: dict[str, list] = {name: [] for name in model.names}
    for stem in track.stems:
        sound, rate = soundfile.read(stem.audio)
        group = group_of(stem.program, stem.is_drum, model.instruments)
        assert group is not None, "see fits"
        name = model.names[group]
        stems[name] = stems.get(name, 0.0) + sound
        parts[name] += stem.load_parts()
    notes: dict[str, list[Row]] = {}
    for name, own in parts.items():
        table = sounding_notes(own, 0.0).astype(np.float64)
        notes[name] = [tuple(row) for row in np.round(table, 4).tolist()]
        stems.setdefault(name, np.zeros(len(sound)))
    return notes, {name: stems[name] for name in model.names}, rate


def mistakes_of(
    heard: Sequence[Row], true: Sequence[Row], rng: np.random.Generator
) -> list[tuple[Row | None, Row | None]]:
    """What is wrong (None: nothing was heard) and what is right (None: nothing is played), in a random order."""
    left, found = sorted(true), []
    for note in sorted(heard):
        near = [other for other in left if other[2] == note[2] and abs(other[0] - note[0]) <= ONSET_TOLERANCE]
        best = min(near, key=lambda other: abs(other[0] - note[0]), default=None)
        if best is not None:
            left.remove(best)
        if best is None or max(abs(best[0] - note[0]), abs(best[1] - note[1])) > SAME:
            found.append((note, best))
    found += [(None, note) for note in left]
    return [found[n] for n in rng.permutation(len(found))]


def corrected(heard: Sequence[Row], mistakes: Sequence[tuple[Row | None, Row | None]], share: float) -> list[Row]:
    """The notes with so many of the mistakes put right."""
    notes = list(heard)
    for wrong, right in mistakes[: round(share * len(mistakes))]:
        if wrong is not None:
            notes.remove(wrong)
        if right is not None:
            notes.append(right)
    return sorted(notes)


def separated(project: Project, stems: dict[str, np.ndarray], version: int) -> list[float]:
    sounds = [soundfile.read(project.stem(version, n))[0] for n in range(len(project.names))]
    return scores(stems, dict(zip(project.names, sounds, strict=True)))


def scores(stems: dict[str, np.ndarray], estimates: dict[str, np.ndarray]) -> list[float]:
    return [si_sdr(stem, estimates[name]) for name, stem in stems.items()]


def show(found: Sequence[dict[str, list[float]]], names: Sequence[str]) -> None:
    """Means over the songs in which an instrument plays; one that plays in none is left out."""
    plays = np.isfinite([each["mixture"] for each in found])
    heard = [name for name, any_song in zip(names, plays.any(axis=0), strict=True) if any_song]
    print(f"\n{len(found)} songs\n\n| SI-SDR, dB | {' | '.join(heard)} | mean |\n{'|---' * (len(heard) + 2)}|")
    for row in found[0]:
        table = np.where(plays, [each[row] for each in found], np.nan)[:, plays.any(axis=0)]
        means = np.nanmean(table, axis=0)
        digits = 0 if row in ("mistakes", "notes") else 2
        print(f"| {row} | {' | '.join(f'{mean:.{digits}f}' for mean in [*means, means.mean()])} |")
    print(f"\nsongs: {dict(zip(heard, plays.sum(axis=0)[plays.any(axis=0)].tolist(), strict=True))}")


if __name__ == "__main__":
    main()
