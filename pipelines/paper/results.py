"""The results of a table: where they lie, which of them belong to its data and settings, how to make one again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from rows import Row, config_path, row_config, stage_folder
from table import Result, write_results

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.evaluation.evaluate import Evaluation, evaluate, open_subject
from scoresep.evaluation.track_records import EvaluationSettings, remove_kept
from scoresep.training.config import Config


@dataclass(frozen=True)
class Songs:
    """Tracks that rows are evaluated on.

    Attributes:
        cache, split: where they are.
        name: of the folder of their results.
        table: stem of the files that show these.
        words: that name them to `scoresep evaluate`.
    """

    cache: Cache
    split: str
    name: str
    table: str
    words: tuple[str, ...]


def own_songs(cache: Cache, split: str) -> Songs:
    """Those of a split of the cache that is trained on."""
    return Songs(cache, split, split, "table", ("--split", split))


def other_songs(text: str) -> Songs:
    """Those that 'others.h5:train' names.

    Raises:
        ScoresepError: it names none.
    """
    path, colon, split = text.rpartition(":")
    if not colon or not split:
        raise ScoresepError(f"--on '{text}' is not a cache and a split; give them such as others.h5:train")
    cache = Cache(path)
    name = f"{cache.path.stem}-{split}"
    return Songs(cache, split, name, f"table-{name}", ("--cache", path, "--split", split))


@dataclass(frozen=True)
class Results:
    """Those of one table.

    Attributes:
        out: folder for everything it makes.
        cache, cache_name: what is trained on, and how it was named.
        rows: all rows of the table, by name.
        settings: what is changed in all rows, as `--set` does.
    """

    out: Path
    cache: Cache
    cache_name: Path
    rows: dict[str, Row]
    settings: tuple[str, ...]

    @property
    def configs(self) -> Path:
        """Folder of the configs as they are run."""
        return self.out / "configs"

    def config(self, name: str, seed: int) -> Config:
        """That of a row and seed."""
        return row_config(self.configs, name, self.rows[name], seed, self.settings)

    def path(self, songs: Songs, name: str, seed: int) -> Path:
        """Where the result of a row and seed lies."""
        return self.out / "results" / songs.name / f"{name}-{seed}.json"

    def found(self, songs: Songs, name: str, seed: int) -> Evaluation | None:
        """The result of a row and seed, if there is one of this data and these settings."""
        result = Evaluation.load(self.path(songs, name, seed))
        if result is None:
            return None
        config, stage, trained = self.config(name, seed), self.rows[name].stage, result.about["checkpoint"]
        fits = trained["config"] == config.to_dict() and trained["stage"] == stage and trained["complete"]
        fits = fits and Path(trained["path"]).parent.name == stage_folder(self.out, self.cache, config, stage).name
        return result if fits and result.about["cache"]["digest"] == songs.cache.digest else None

    def collect(self, songs: Songs) -> list[Result]:
        """All results there are of this data and these settings, of rows and seeds asked for now or before."""
        results = []
        for name, row in self.rows.items():
            held = self.path(songs, name, 0).parent.glob(f"{name}-*.json")
            for seed in sorted(int(path.stem.rpartition("-")[2]) for path in held):
                if (evaluation := self.found(songs, name, seed)) is not None:
                    results.append(Result(name, row.title, seed, evaluation, self.command(songs, name)))
        return results

    def judge(self, songs: Songs, name: str, seed: int, checkpoint: Path, device: str) -> None:
        """Evaluate a row's checkpoint and keep the result; what no training enters is taken from another, if there is
        one."""
        path = self.path(songs, name, seed)
        keep = path.with_suffix(".parts")
        known = next((result.evaluation for result in self.collect(songs)), None)
        subject = open_subject(checkpoint, songs.cache.path, EvaluationSettings(songs.split))
        result = evaluate(subject, device, jobs=0, keep=keep, other=known)
        result.save(path)
        remove_kept(keep)

    def show(self, songs: Songs) -> None:
        """Write the table of what there is, as Markdown, CSV and picture."""
        write_results(self.out, self.collect(songs), songs.table)

    def command(self, songs: Songs, name: str) -> str:
        """How to make a row again, alone; SEED stands for a seed."""
        row, own = self.rows[name], f"{name}-SEED"
        train = ["scoresep", "train", "--stage", str(row.stage), "--cache", str(self.cache_name)]
        train += ["--config", str(config_path(self.configs, name))]
        train += [word for setting in (*self.settings, *row.set) for word in ("--set", setting)]
        train += ["--set", "seed=SEED", "--run", own, "--out", f"{own}.pt"]
        judge = ["scoresep", "evaluate", f"{own}.pt", *songs.words, "--out", f"{own}.json"]
        return f"{shlex.join(train)} && {shlex.join(judge)}"
