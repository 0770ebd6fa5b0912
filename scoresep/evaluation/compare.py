"""Comparison of two checkpoints, track by track.

Both are evaluated on the same tracks, so that differences do not depend on how hard a track is.
The test says whether these two checkpoints differ on music of this kind. Whether two methods differ takes several seeds
of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from scoresep.errors import Mismatch
from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.figures import SEPARATION, bootstrap
from scoresep.evaluation.metric_table import MEAN, METRICS, MODEL, STEMS
from scoresep.files import write_json

PREFIX = {SEPARATION: "", "transcription": "", "transcription_separated": "separated_"}
"""Of the names of what is compared, before that of the metric."""
SAME = ("corpus", "split_set", "split", "instruments")
"""What two evaluations must agree in, beside the cache's content and their tracks."""


@dataclass(frozen=True)
class Comparison:
    """The result, in plain values.

    Attributes:
        about: the data, and the two checkpoints: path, hash, stage, steps.
        figures: by name (`compared`) and instrument (or `MEAN`), see `paired`; None where no track counts.
    """

    about: dict[str, Any]
    figures: dict[str, dict[str, dict[str, Any] | None]]

    def save(self, path: str | Path) -> None:
        """Write all of it as JSON."""
        write_json(path, asdict(self))


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Differences b - a of the figures of two evaluations; raises Mismatch unless they are of the same tracks."""
    check_same(a, b)
    names = [*a.figures.instruments, MEAN]
    figures = {
        figure: {name: paired(*(each.figures.series(output, MODEL, metric, name) for each in (a, b))) for name in names}
        for figure, (output, metric) in compared().items()
        if all(metric in each.figures.metrics(output) for each in (a, b))
    }
    about = {name: a.about[name] for name in SAME} | {"tracks": len(a.tracks), "cache": a.about["cache"]["digest"]}
    return Comparison({**about, "a": _checkpoint(a), "b": _checkpoint(b)}, figures)


def compared() -> dict[str, tuple[str, str]]:
    """What checkpoints are compared by: output and metric by name."""
    return {
        f"{prefix}{name}": (output, name)
        for output, prefix in PREFIX.items()
        for name, metric in METRICS.items()
        if metric.compared and (metric.source == STEMS) == (output == SEPARATION)
    }


def check_same(a: Evaluation, b: Evaluation) -> None:
    """Raise Mismatch for evaluations of other tracks."""
    paths = [evaluation.about["checkpoint"]["path"] for evaluation in (a, b)]
    caches = [evaluation.about["cache"] for evaluation in (a, b)]
    check_same_cache(paths, [(cache["path"], cache["digest"]) for cache in caches])
    ids = [[record["track"] for record in evaluation.tracks] for evaluation in (a, b)]
    if ids[0] != ids[1] or any(a.about[name] != b.about[name] for name in SAME):
        problem = f"{paths[0]} and {paths[1]} were evaluated on other tracks"
        raise Mismatch(problem, remedy="evaluate both with one split")


def check_same_cache(checkpoints: Sequence[Any], caches: Sequence[tuple[Any, str]]) -> None:
    """Raise Mismatch if the caches, path and digest each, of checkpoints to compare differ in content."""
    if len({digest for _, digest in caches}) > 1:
        (a, _), (b, _) = caches
        problem = f"{checkpoints[0]} has the cache {a}, {checkpoints[1]} the cache {b}, whose content differs"
        raise Mismatch(problem, remedy="name one cache for both with --cache")


def _checkpoint(evaluation: Evaluation) -> dict[str, Any]:
    return {name: evaluation.about["checkpoint"][name] for name in ("path", "sha256", "stage", "steps")}


def paired(a: np.ndarray, b: np.ndarray) -> dict[str, Any] | None:
    """How the values b differ from those a of the same tracks, (n,) each, NaN where undefined; None if no pair is left.

    Returns:
        `n` pairs; their means `a`, `b`; mean `difference` b - a, `median_difference`, bootstrap `interval` of the mean;
        two-sided `p` value of Wilcoxon's signed-rank test (zero differences left out; 1 if all are zero).
    """
    both = np.isfinite(b - a)
    if not both.any():
        return None
    differences = (b - a)[both]
    return {
        "n": len(differences),
        "a": float(a[both].mean()),
        "b": float(b[both].mean()),
        "difference": float(differences.mean()),
        "median_difference": float(np.median(differences)),
        "interval": bootstrap(len(differences), [lambda drawn: differences[drawn].mean(axis=-1)]),
        "p": float(wilcoxon(differences).pvalue) if differences.any() else 1.0,
    }
