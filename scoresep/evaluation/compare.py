"""Two checkpoints against each other, track by track. Called by `scoresep evaluate a.pt b.pt`.

Both are evaluated on the same tracks, so that the difference of a figure on a track is free of how hard that track is.
The test says whether these two checkpoints differ on music of this kind. Whether two methods differ takes several seeds
of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scoresep.errors import ScoresepError
from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.records import MODEL
from scoresep.evaluation.statistics import nanmean, paired
from scoresep.evaluation.summary import array, plays
from scoresep.files import write_json

MEAN = "mean"
"""Stands for the mean over the instruments that count on a track."""
FIGURES = {
    "si_sdr": ("separation", "SI-SDR, dB"),
    "frame_f1": ("transcription", "frame F1"),
    "note_f1": ("transcription", "note F1"),
    "note_offset_f1": ("transcription", "note F1, offset"),
    "separated_frame_f1": ("transcription_separated", "frame F1, separated"),
    "separated_note_f1": ("transcription_separated", "note F1, separated"),
}
"""Figures that are compared: where they stand in a track's record, and what they are called."""
SAME = ("corpus", "split_set", "split", "instruments")
"""What two evaluations must agree in, beside the cache's content and their tracks."""


@dataclass(frozen=True)
class Comparison:
    """The result, in plain values.

    Attributes:
        about: the data, and the two checkpoints: path, hash, stage, steps.
        figures: by name (`FIGURES`) and instrument (or `MEAN`): `a`, `b`: means over the tracks that count for both;
            `n`: how many; `difference`: mean of b - a, `median_difference`, `interval` (bootstrap) of the mean, `p`
            (Wilcoxon's signed-rank test, two-sided, not corrected for the number of tests). None where no track counts.
    """

    about: dict[str, Any]
    figures: dict[str, dict[str, dict[str, Any] | None]]

    def save(self, path: str | Path) -> None:
        """Write all of it as JSON."""
        write_json(path, asdict(self))


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Differences b - a of the figures of two evaluations of the same tracks.

    Raises:
        ScoresepError: they were not made on the same tracks.
    """
    check_same(a, b)
    names = [*a.about["instruments"], MEAN]
    figures = {}
    for figure, (kind, _) in FIGURES.items():
        if all(record[kind] for evaluation in (a, b) for record in evaluation.tracks):
            figures[figure] = {
                name: difference(of_tracks(a, figure, name), of_tracks(b, figure, name)) for name in names
            }
    about = {name: a.about[name] for name in SAME} | {"tracks": len(a.tracks), "cache": a.about["cache"]["digest"]}
    return Comparison({**about, "a": _checkpoint(a), "b": _checkpoint(b)}, figures)


def check_same(a: Evaluation, b: Evaluation) -> None:
    """Refuse evaluations that were not made on the same tracks.

    Raises:
        ScoresepError: as said.
    """
    paths = [evaluation.about["checkpoint"]["path"] for evaluation in (a, b)]
    caches = [evaluation.about["cache"] for evaluation in (a, b)]
    check_same_cache(paths, [(cache["path"], cache["digest"]) for cache in caches])
    ids = [[record["track"] for record in evaluation.tracks] for evaluation in (a, b)]
    if ids[0] != ids[1] or any(a.about[name] != b.about[name] for name in SAME):
        raise ScoresepError(f"{paths[0]} and {paths[1]} were evaluated on other tracks; evaluate both with one split")


def check_same_cache(checkpoints: Sequence[Any], caches: Sequence[tuple[Any, str]]) -> None:
    """Refuse checkpoints to compare whose caches, path and digest each, differ.

    Raises:
        ScoresepError: as said.
    """
    if len({digest for _, digest in caches}) > 1:
        raise ScoresepError(
            f"{checkpoints[0]} is evaluated on {caches[0][0]}, {checkpoints[1]} on {caches[1][0]}, whose content "
            "differs; name one cache for both with --cache"
        )


def _checkpoint(evaluation: Evaluation) -> dict[str, Any]:
    return {name: evaluation.about["checkpoint"][name] for name in ("path", "sha256", "stage", "steps")}


def of_tracks(evaluation: Evaluation, figure: str, instrument: str) -> np.ndarray:
    """A figure of every track, float64 (n,); NaN where the truth leaves it undefined (not scored, no true note)."""
    instruments = evaluation.about["instruments"] if instrument == MEAN else [instrument]
    values = np.stack([array(_value(record, figure, name) for record in evaluation.tracks) for name in instruments])
    return nanmean(values, axis=0)


def _value(record: dict[str, Any], figure: str, instrument: str) -> float | None:
    """None depends on the truth alone, so that it is None for both."""
    kind = FIGURES[figure][0]
    part = record[kind].get(instrument)
    if part is None:  # an instrument without notes
        return None
    if kind == "separation":
        return part["si_sdr"][MODEL] if part["state"] == "scored" else None
    name = figure.removeprefix("separated_")
    return part[name] if name != "frame_f1" or plays(part) else None


def difference(a: np.ndarray, b: np.ndarray) -> dict[str, Any] | None:
    """The entry of `Comparison.figures` for values (n,) each; None if no track counts."""
    found = paired(b - a)
    if found is None:
        return None
    both = np.isfinite(b - a)
    return {
        "n": found.n,
        "a": float(a[both].mean()),
        "b": float(b[both].mean()),
        "difference": found.mean,
        "median_difference": found.median,
        "interval": found.interval,
        "p": found.p,
    }


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell checkpoints apart: file names without suffix, with folders or numbers where needed."""
    for names in (
        [path.stem for path in paths],
        [f"{path.resolve().parent.name}-{path.stem}" for path in paths],
    ):
        if len({name.casefold() for name in names}) == len(names):
            return names
    return [f"{number}-{path.stem}" for number, path in enumerate(paths, start=1)]
