"""Two checkpoints against each other, track by track.

Both are evaluated on the same tracks, so that the difference of a figure on a track is free of how hard that track is.
The test says whether these two checkpoints differ on music of this kind. Whether two methods differ takes several seeds
of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scoresep.errors import ScoresepError
from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.figures import SEPARATION
from scoresep.evaluation.registry import MEAN, METRICS, MODEL, STEMS
from scoresep.evaluation.statistics import paired
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
        figures: by name (`compared`) and instrument (or `MEAN`), see `statistics.paired`; None where no track counts.
    """

    about: dict[str, Any]
    figures: dict[str, dict[str, dict[str, Any] | None]]

    def save(self, path: str | Path) -> None:
        """Write all of it as JSON."""
        write_json(path, asdict(self))


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Differences b - a of the figures of two evaluations; raises ScoresepError if their tracks are not the same."""
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
    """Raise ScoresepError for evaluations that were not made on the same tracks."""
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
