"""The paper's table: train rows with several seeds, evaluate them, write table, CSV and figure.

    python pipelines/paper/run.py cache.h5 --rows clip,harmonic,clip_harmonic --seeds 0,1,2

`--table pipelines/ablation` makes that of choices beyond the paper, with other rows, `--table pipelines/evidence` that
of teachers and stems. `--on others.h5:train` evaluates every row on other songs, too, for a table of their own.

What rows share (stage 1 for most, stage 2 for those of stage 3) is trained once a seed. A stopped run goes on with the
same command; what is done is not done again. `--rows` and `--seeds` may grow from call to call: the table holds all
results that belong to the same data and settings. Recipes as they were run lie in `<out>/recipes`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from rows import Row, choose_rows, load_rows, recipe_path, row_recipe, stage_folder, write_recipes
from table import Result, write_results

from scoresep.cache.reader import Cache
from scoresep.console import console, losses_line, meter
from scoresep.errors import ScoresepError
from scoresep.evaluation.evaluate import Evaluation, evaluate
from scoresep.evaluation.tasks import remove_kept
from scoresep.machine import available_cores
from scoresep.training.log import RunLog
from scoresep.training.recipe import Recipe
from scoresep.training.run import Stopped, choose_device, default_recipe, publish, stage_path, train

HERE = Path(__file__).parent


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


def main() -> int:
    """Run what is asked for; exit status."""
    options = arguments()
    try:
        run(options)
    except ScoresepError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(f"{stop}; everything is saved in {options.out}, the same command goes on", file=sys.stderr)
        return 130
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path, help="cache made by `scoresep prepare`, with stems")
    parser.add_argument("--rows", default="all", help="all, or some by comma, by the names in rows.toml")
    parser.add_argument("--table", type=Path, default=HERE, help="folder with the rows; default: the paper's")
    parser.add_argument("--seeds", default="0,1,2", help="by comma")
    parser.add_argument("--size", help="recipe beneath all rows: mini, paper or a TOML file; default: by the device")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of all rows")
    parser.add_argument("--split", default="test", help="tracks to evaluate on")
    parser.add_argument(
        "--on", action="append", default=[], metavar="CACHE:SPLIT", help="other tracks to evaluate on besides"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resident", default="", choices=["", "host", "device"], help="hold training tracks in memory")
    parser.add_argument("--out", type=Path, default=Path("paper"), help="folder for everything it makes")
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    """Train and evaluate the rows asked for, seed by seed, and write all results there are after each."""
    torch.set_num_threads(available_cores())
    device = choose_device(options.device)
    cache, recipes = Cache(options.cache), options.out / "recipes"
    judged = [Songs(cache, options.split, options.split, "table", ("--split", options.split))]
    judged += map(other_songs, options.on)
    rows = load_rows(options.table)
    names = choose_rows(options.rows, rows)
    seeds = [whole_number(seed) for seed in options.seeds.split(",")]
    write_recipes(options.table, recipes, options.size or default_recipe(device))
    for seed in seeds:
        for name in names:
            row = rows[name]
            recipe = row_recipe(recipes, name, row, seed, options.set)
            if missing := [songs for songs in judged if found(options, cache, songs, name, row, recipe) is None]:
                console.print(f"{name}, seed {seed}", markup=False)
                checkpoint = train_row(options, cache, row.stage, recipe, device)
                for songs in missing:
                    others = collect(options, cache, songs, recipes, rows)
                    judge(checkpoint, songs, result_path(options, songs, name, seed), device, others)
            for songs in judged:
                write_results(options.out, collect(options, cache, songs, recipes, rows), songs.table)
    console.print(f"{options.out / 'table.md'}, table.csv, table.png", markup=False)


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


def judge(checkpoint: Path, songs: Songs, path: Path, device: torch.device, others: list[Result]) -> None:
    """Evaluate on `songs` and save at `path`; what no training enters is taken from `others`, if there are any."""
    keep = path.with_suffix(".parts")
    known = others[0].evaluation if others else None
    result = evaluate(checkpoint, songs.cache.path, songs.split, str(device), jobs=0, keep=keep, other=known)
    result.save(path)
    remove_kept(keep)


def whole_number(text: str) -> int:
    """A seed.

    Raises:
        ScoresepError: it is none.
    """
    if not text.strip().isdecimal():
        raise ScoresepError(f"--seeds '{text}' is not a whole number; give some by comma, such as 0,1,2")
    return int(text)


def train_row(options: argparse.Namespace, cache: Cache, last: int, recipe: Recipe, device: torch.device) -> Path:
    """Train a row's stages up to `last`, each in the folder of all rows that share it; returns the row's checkpoint."""
    folders = {number: stage_folder(options.out, cache, recipe, number) for number in range(1, last + 1)}
    for number, folder in folders.items():
        for earlier in range(1, number):
            target = stage_path(folder, earlier)
            if not target.exists():
                publish(stage_path(folders[earlier], earlier), target)
        with meter("steps") as progress:
            show = lambda title, done, total, losses: progress(title, done, total, losses_line(losses))  # noqa: E731
            log = RunLog(folder, show, lambda text: console.print(text, markup=False))
            try:
                train(cache, number, recipe, device, folder, folder / "out.pt", log, False, options.resident)
            finally:
                log.close()
        (folder / "out.pt").unlink()  # the same as the stage's own
    return stage_path(folders[last], last)


def result_path(options: argparse.Namespace, songs: Songs, name: str, seed: int) -> Path:
    return options.out / "results" / songs.name / f"{name}-{seed}.json"


def found(
    options: argparse.Namespace, cache: Cache, songs: Songs, name: str, row: Row, recipe: Recipe
) -> Evaluation | None:
    """The result of a row and seed, if there is one of this data and these settings."""
    result = Evaluation.load(result_path(options, songs, name, recipe.seed))
    if result is None:
        return None
    trained = result.about["checkpoint"]
    fits = trained["recipe"] == recipe.to_dict() and trained["stage"] == row.stage and trained["complete"]
    fits = fits and Path(trained["path"]).parent.name == stage_folder(options.out, cache, recipe, row.stage).name
    return result if fits and result.about["cache"]["digest"] == songs.cache.digest else None


def collect(
    options: argparse.Namespace, cache: Cache, songs: Songs, recipes: Path, rows: dict[str, Row]
) -> list[Result]:
    """All results there are of this data and these settings, of rows and seeds asked for now or before."""
    results = []
    for name, row in rows.items():
        held = result_path(options, songs, name, 0).parent.glob(f"{name}-*.json")
        for seed in sorted(int(path.stem.rpartition("-")[2]) for path in held):
            recipe = row_recipe(recipes, name, row, seed, options.set)
            if (evaluation := found(options, cache, songs, name, row, recipe)) is not None:
                results.append(Result(name, row.title, seed, evaluation, command(options, songs, recipes, name, row)))
    return results


def command(options: argparse.Namespace, songs: Songs, recipes: Path, name: str, row: Row) -> str:
    """How to make a row again, alone; SEED stands for a seed."""
    train = ["scoresep", "train", "--stage", str(row.stage), "--cache", str(options.cache)]
    train += ["--recipe", str(recipe_path(recipes, name))]
    train += [word for setting in (*options.set, *row.set) for word in ("--set", setting)]
    own = f"{name}-SEED"
    train += ["--set", "seed=SEED", "--run", own, "--out", f"{own}.pt"]
    judge = ["scoresep", "evaluate", f"{own}.pt", *songs.words, "--out", f"{own}.json"]
    return f"{shlex.join(train)} && {shlex.join(judge)}"


if __name__ == "__main__":
    sys.exit(main())
