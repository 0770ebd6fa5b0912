"""The paper's table: train rows with several seeds, evaluate them, write table, CSV and figure.

    python pipelines/paper/run.py cache.h5 --rows clip,harmonic,clip_harmonic --seeds 0,1,2

`--table pipelines/ablation` makes that of choices beyond the paper, with other rows, `--table pipelines/evidence` that
of teachers and stems. `--on others.h5:train` evaluates every row on other songs, too, for a table of their own.

What rows share (stage 1 for most, stage 2 for those of stage 3) is trained once a seed. A stopped run goes on with the
same command; what is done is not done again. `--rows` and `--seeds` may grow from call to call: the table holds all
results that belong to the same data and settings. Configs as they were run lie in `<out>/configs`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from results import Results, other_songs, own_songs
from rows import choose_rows, load_rows, stage_folder, write_configs

from scoresep.cache.reader import Cache
from scoresep.console import console, losses_line, meter
from scoresep.errors import ScoresepError
from scoresep.machine import choose_device, keep_freed_memory, use_threads
from scoresep.training.checks import check_stages
from scoresep.training.config import Config
from scoresep.training.log import RunLog
from scoresep.training.run import Run, Stopped, copy_checkpoint, default_config, stage_path

if TYPE_CHECKING:
    import torch

HERE = Path(__file__).parent


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
    parser.add_argument("--size", help="config beneath all rows: mini, paper or a TOML file; default: by the device")
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
    use_threads()
    keep_freed_memory()
    device = choose_device(options.device)
    cache, rows = Cache(options.cache), load_rows(options.table)
    judged = [own_songs(cache, options.split), *map(other_songs, options.on)]
    names = choose_rows(options.rows, rows)
    seeds = [whole_number(seed) for seed in options.seeds.split(",")]
    results = Results(options.out, cache, options.cache, rows, tuple(options.set))
    write_configs(options.table, results.configs, options.size or default_config(device))
    for name in names:  # all of them before the first is trained
        check_stages(cache, range(1, rows[name].stage + 1), results.config(name, seeds[0]))
    for seed in seeds:
        for name in names:
            if missing := [songs for songs in judged if results.found(songs, name, seed) is None]:
                console.print(f"{name}, seed {seed}", markup=False)
                checkpoint = train_row(options, cache, rows[name].stage, results.config(name, seed), device)
                for songs in missing:
                    results.judge(songs, name, seed, checkpoint, str(device))
            for songs in judged:
                results.show(songs)
    shown = [f"{songs.table}{ending}" for songs in judged for ending in (".md", ".csv", ".png")]
    console.print(f"{options.out / shown[0]}, {', '.join(shown[1:])}", markup=False)


def whole_number(text: str) -> int:
    """A seed.

    Raises:
        ScoresepError: it is none.
    """
    if not text.strip().isdecimal():
        raise ScoresepError(f"--seeds '{text}' is not a whole number; give some by comma, such as 0,1,2")
    return int(text)


def train_row(options: argparse.Namespace, cache: Cache, last: int, config: Config, device: torch.device) -> Path:
    """Train a row's stages up to `last`, each in the folder of all rows that share it; returns the row's checkpoint."""
    folders = {number: stage_folder(options.out, cache, config, number) for number in range(1, last + 1)}
    for number, folder in folders.items():
        for earlier in range(1, number):
            target = stage_path(folder, earlier)
            if not target.exists():
                copy_checkpoint(stage_path(folders[earlier], earlier), target)
        with meter("steps") as progress:
            show = lambda title, done, total, losses: progress(title, done, total, losses_line(losses))  # noqa: E731
            log = RunLog(folder, show, lambda text: console.print(text, markup=False))
            try:
                Run(
                    cache,
                    config,
                    folder,
                    folder / "out.pt",
                    log,
                    last=number,
                    device=device,
                    resident=options.resident,
                ).train()
            finally:
                log.close()
        (folder / "out.pt").unlink()  # the same as the stage's own
    return stage_path(folders[last], last)


if __name__ == "__main__":
    sys.exit(main())
