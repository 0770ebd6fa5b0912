"""Evaluation of a checkpoint on a split of its cache, its result on disk (`metrics.json`), and comparison of two.

Two checkpoints are evaluated on the same tracks and compared track by track, so that differences do not depend on how
hard a track is. The test says whether these two checkpoints differ on music of this kind. Whether two methods differ
takes several seeds of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from scoresep import __version__
from scoresep.cache.reader import Cache
from scoresep.errors import Damaged, Mismatch, NotFound, NothingToDo, ScoresepError, WrongVersion, described, first_line
from scoresep.evaluation.baselines import BASELINES
from scoresep.evaluation.figures import CONFIDENCE, RESAMPLES, SEED, SEPARATION, Figures, bootstrap, rows_of
from scoresep.evaluation.metric_table import MEAN, METRICS, MODEL, STEMS
from scoresep.evaluation.metrics import ALONE_DB, BSS_SECONDS, BSS_TAPS, REST_SECONDS, SILENT_DB, museval_metrics
from scoresep.evaluation.track_records import EvaluationSettings, Task, parts_folder, run_tasks
from scoresep.files import read_text, sha256_of, write_json
from scoresep.grid import Grid
from scoresep.instruments import Instrument, suggestion
from scoresep.models.checkpoint import Checkpoint, load_checkpoint
from scoresep.separation.separate import Options, check_refinable

REFINED = "Separation is refined by factorising each track by the transcriptor's notes (--refine)."
"""The remark on an evaluation of refined stems."""
METRICS_VERSION = 3
"""Of the files that `Evaluation.save` writes. Since 3, "leak" in names of metrics is "bleed"."""
EVALUATE_AGAIN = "evaluate anew with `scoresep evaluate --force`"
PREFIX = {SEPARATION: "", "transcription": "", "transcription_separated": "separated_"}
"""Of the names of what is compared, before that of the metric."""
SAME = ("corpus", "split_set", "split", "instruments")
"""What two evaluations must agree in, beside the cache's content and their tracks."""


@dataclass(frozen=True)
class Evaluation:
    """The result, in plain values (None where a figure is undefined).

    Attributes:
        about: corpus, split set, split, checkpoint, cache, settings.
        notes: remarks to show beside the figures.
        tracks: one record a track, see `figures.record_of`.
    """

    about: dict[str, Any]
    notes: list[str]
    tracks: list[dict[str, Any]]

    @cached_property
    def figures(self) -> Figures:
        names = [str(record["track"]) for record in self.tracks]
        return Figures(names, self.about["instruments"], (row for record in self.tracks for row in rows_of(record)))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The figures of the split as plain values, see `Figures.summary`."""
        return self.figures.summary()

    def save(self, path: str | Path) -> None:
        """Write all of it as JSON (`metrics.json`)."""
        write_json(
            path, {"version": METRICS_VERSION, **{n: getattr(self, n) for n in ("about", "notes", "summary", "tracks")}}
        )

    @classmethod
    def read(cls, path: str | Path) -> Evaluation:
        """The result that `save` wrote to `path`.

        Raises:
            WrongVersion: another version of scoresep wrote it.
            Damaged: it cannot be read, or is no such result.
        """
        try:
            content = json.loads(read_text(path))
            if content["version"] != METRICS_VERSION:
                problem = f"figures of format {described(content['version'])}; this version reads {METRICS_VERSION}"
                raise WrongVersion(problem, file=path, remedy=EVALUATE_AGAIN)
            evaluation = cls(*(content[name] for name in ("about", "notes", "tracks")))
            if not isinstance(evaluation.notes, list):
                raise TypeError("notes are no list")
            _ = evaluation.figures  # checks the records
        except (OSError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as fault:
            problem = f"no result of `scoresep evaluate` ({type(fault).__name__}: {first_line(fault)})"
            raise Damaged(problem, file=path, remedy=EVALUATE_AGAIN) from fault
        return evaluation

    @classmethod
    def load(cls, path: str | Path) -> Evaluation | None:
        """The same; None if there is none that can be read."""
        try:
            return cls.read(path)
        except ScoresepError:
            return None


@dataclass(frozen=True)
class Subject:
    """What is evaluated; made by `open_subject`.

    Attributes:
        path: of the checkpoint.
        checkpoint: as read from there.
        cache: where the tracks are.
        settings: what is computed.
    """

    path: str
    checkpoint: Checkpoint
    cache: Cache
    settings: EvaluationSettings

    @cached_property
    def about(self) -> dict[str, Any]:
        """All that the figures depend on, as plain values: what an `Evaluation` of it is `about`."""
        checkpoint, cache, settings = self.checkpoint, self.cache, self.settings
        model = checkpoint.model
        return {
            "scoresep": __version__,
            "corpus": cache.corpus,
            "split_set": cache.split_set,
            "split_leakage": len(cache.split_leakage),
            "split": settings.split,
            "rules": list(cache.rules),
            "instruments": list(model.names),
            "grid": model.grid.to_dict(),
            "seed": checkpoint.config.get("seed"),
            "checkpoint": {
                "path": self.path,
                "sha256": sha256_of(self.path),
                **{name: getattr(checkpoint, name) for name in ("stage", "steps", "complete", "config")},
            },
            "cache": {"path": str(cache.path), "digest": cache.digest, "trained_on": checkpoint.cache_digest},
            "settings": {
                "silent_below_db": SILENT_DB,
                "alone_above_db": ALONE_DB,
                "threshold": list(model.threshold),
                "onset_threshold": list(model.onset_threshold),
                "rest_window_seconds": REST_SECONDS,
                "references": list(settings.references),
                "refine": settings.refine,
                "bss": {"window_seconds": BSS_SECONDS, "filter": BSS_TAPS} if settings.bss else None,
                "plugins": {**METRICS.describe(), **BASELINES.describe()},
                "bootstrap": {"resamples": RESAMPLES, "confidence": CONFIDENCE, "seed": SEED},
            },
        }

    @property
    def notes(self) -> list[str]:
        """Remarks to show beside the figures."""
        cache, leaked = self.cache, len(self.cache.split_leakage)
        remarks = {
            f"{self.path} was trained on another cache than {cache.path}": cache.digest != self.checkpoint.cache_digest,
            f"{leaked} compositions lie in several splits, so figures may flatter; prepare with --dedupe": leaked > 0,
            "The corpus has no stems: separation cannot be scored, only transcription.": not cache.has_stems,
            "The critic classifies who plays, without notes: separation is scored, transcription cannot be.": (
                not self.checkpoint.model.transcribes
            ),
            REFINED: self.settings.refine,
        }
        return [text for text, holds in remarks.items() if holds]


def open_subject(
    checkpoint_path: str | Path, cache_path: str | Path | None = None, settings: EvaluationSettings | None = None
) -> Subject:
    """Open a checkpoint and the cache to evaluate it on (None: that of its training), and check that they suffice.

    Raises:
        ScoresepError: checkpoint or cache cannot be read.
        NotFound, Mismatch: the cache does not exist, or has other instruments or another grid.
        NothingToDo: no tracks in the split, or nothing to compare (no stems, and a model that does not transcribe).
        Unavailable: BSS Eval without museval.
    """
    settings = settings or EvaluationSettings()
    checkpoint = load_checkpoint(checkpoint_path)
    cache, model = open_cache(checkpoint, checkpoint_path, cache_path), checkpoint.model
    if not len(cache.rows(settings.split)):
        splits = suggestion(settings.split, sorted(set(cache.tracks["split"])) or ["none"])
        raise NothingToDo(f"no track in the split '{settings.split}'", file=cache.path, remedy=splits)
    if not (cache.has_stems or model.transcribes):
        problem = f"no stems, and {checkpoint_path} does not transcribe: there is nothing to compare"
        raise NothingToDo(problem, file=cache.path, remedy="name a cache with stems with --cache")
    check_refinable(model, Options(refine=settings.refine))
    if settings.bss:
        museval_metrics()
    return Subject(str(checkpoint_path), checkpoint, cache, settings)


def evaluate(
    subject: Subject,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    *,
    jobs: int = 1,
    keep: str | Path | None = None,
    other: Evaluation | None = None,
) -> Evaluation:
    """Separate and transcribe every track of the split and compare with the truth.

    Args:
        device: where the networks run.
        progress: called with tracks done and tracks in all.
        jobs: processes; 0 for one a core (on a GPU at most `JOBS_ON_A_DEVICE`). The result does not depend on it.
        keep: folder for finished tracks, from which the same evaluation resumes. `remove_kept` empties it.
        other: a result of another checkpoint, whose figures of references are reused if tracks and settings agree.
    """
    about, cache = subject.about, subject.cache
    sha256, parts = about["checkpoint"]["sha256"], parts_folder(keep, about)
    task = Task(subject.path, str(cache.path), sha256, device, subject.settings, parts)
    others = other.tracks if other and reference_key(other.about) == reference_key(about) else None
    return Evaluation(about, subject.notes, run_tasks(task, cache, jobs, progress, others))


def reference_key(about: dict[str, Any]) -> list[Any]:
    """All that the figures of references depend on: nothing of the model."""
    settings = about["settings"]
    return [about["scoresep"], about["split"], about["cache"]["digest"]] + [
        settings[name] for name in ("references", "bss", "plugins")
    ]


def open_cache(checkpoint: Checkpoint, checkpoint_path: str | Path, cache_path: str | Path | None) -> Cache:
    """The cache to evaluate on.

    Raises:
        ScoresepError: it cannot be read.
        NotFound: none is named, or it does not exist.
        Mismatch: it does not fit the checkpoint.
    """
    path, model = cache_path if cache_path is not None else checkpoint.cache, checkpoint.model
    if cache_path is None and not (path and Path(path).exists()):
        gone = f"the cache {path} that it was trained on does not exist any more"
        problem = gone if path else "the checkpoint does not say which cache it was trained on"  # the model in the box
        raise NotFound(problem, file=checkpoint_path, remedy="name one with --cache")
    cache = Cache(path)
    for what, has, needs in (
        ("instruments", cache.instruments, model.instruments),
        ("grid", cache.grid, model.grid),
    ):
        if has != needs:
            problem = f"the {what} {_short(has)}, where {checkpoint_path} was trained for {_short(needs)}"
            raise Mismatch(problem, file=cache.path, remedy="name a cache of the same with --cache")
    return cache


def _short(fact: Grid | tuple[Instrument, ...]) -> str:
    """A grid, or instruments, in few words."""
    return str(fact) if isinstance(fact, Grid) else ",".join(instrument.name for instrument in fact)


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
    for side, evaluation in (("a", a), ("b", b)):
        about[side] = {name: evaluation.about["checkpoint"][name] for name in ("path", "sha256", "stage", "steps")}
    return Comparison(about, figures)


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
    check_same_cache([a.about, b.about])
    ids = [[record["track"] for record in evaluation.tracks] for evaluation in (a, b)]
    if ids[0] != ids[1] or any(a.about[name] != b.about[name] for name in SAME):
        first, second = (evaluation.about["checkpoint"]["path"] for evaluation in (a, b))
        raise Mismatch(f"{first} and {second} were evaluated on other tracks", remedy="evaluate both with one split")


def check_same_cache(abouts: Sequence[Mapping[str, Any]]) -> None:
    """Raise Mismatch if what is to be compared (`evaluate.Subject.about`) has caches of different content."""
    if len({about["cache"]["digest"] for about in abouts}) > 1:
        (a, cache), (b, another) = ((about["checkpoint"]["path"], about["cache"]["path"]) for about in abouts)
        problem = f"{a} has the cache {cache}, {b} the cache {another}, whose content differs"
        raise Mismatch(problem, remedy="name one cache for both with --cache")


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
