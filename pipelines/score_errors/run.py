"""What wrong scores cost: separators trained on scores with known errors, judged on songs with true ones.

    python pipelines/score_errors/run.py corpus --out score_errors

For each kind and size of error (`damage.CONDITIONS`) the corpus of `scoresep render` gets a twin with damaged scores
in training and validation, is prepared, and trains the rows of `rows.toml` by `pipelines/paper/run.py`. Test songs and
their scores stay true. A stopped run goes on with the same command. Writes `table.md` and `curves.png`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from damage import CONDITIONS, Condition, damaged_corpus

from scoresep.errors import ScoresepError
from scoresep.files import write_text
from scoresep.plots.style import COLOURS, new_figure, save_figure

HERE = Path(__file__).parent
TABLE_MAKER = HERE.parent / "paper" / "run.py"
ROWS = {name: row["title"] for name, row in tomllib.loads((HERE / "rows.toml").read_text("utf-8")).items()}
"""Titles of the rows by name."""
UNITS = {"offset": "ms", "jitter": "ms", "drift": "%", "missing": "%", "extra": "%", "octave": "%"}
IN_UNIT = {"ms": 1000.0, "%": 100.0}


def main() -> int:
    """Run what is asked for; exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="made by `scoresep render`")
    parser.add_argument("--seeds", default="0", help="by comma")
    parser.add_argument("--conditions", default="all", help="all, or names such as offset-0.1,missing-0.2")
    parser.add_argument("--size", default=str(HERE.parent / "two-cores.toml"), help="config beneath the rows")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of all rows")
    parser.add_argument("--out", type=Path, default=Path("score_errors"))
    options = parser.parse_args()
    try:
        for condition in chosen(options.conditions):
            if status := run(options, condition):
                return status
            write_results(options.out)
    except ScoresepError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    return 0


def chosen(names: str) -> list[Condition]:
    """Conditions by name and comma, or `all`.

    Raises:
        ScoresepError: there is no such condition.
    """
    known = {condition.name: condition for condition in CONDITIONS}
    wanted = list(known) if names == "all" else names.split(",")
    for name in wanted:
        if name not in known:
            raise ScoresepError(f"unknown condition '{name}'; there are {', '.join(known)}")
    return [known[name] for name in wanted]


def run(options: argparse.Namespace, condition: Condition) -> int:
    """Damage, prepare, train and evaluate; exit status of the first that fails, else 0."""
    folder = options.out / condition.name
    print(f"== {condition.name}", flush=True)
    if not (folder / "corpus").exists():
        folder.mkdir(parents=True, exist_ok=True)
        damaged_corpus(options.corpus, folder / "corpus", condition)
    cache = folder / "cache.h5"
    prepare = ["-m", "scoresep", "prepare", "slakh", str(folder / "corpus"), "--out", str(cache)]
    train = [str(TABLE_MAKER), str(cache), "--table", str(HERE), "--size", options.size, "--seeds", options.seeds]
    train += ["--out", str(folder / "rows"), *(word for setting in options.set for word in ("--set", setting))]
    return next((status for line in (prepare, train) if (status := subprocess.call([sys.executable, *line]))), 0)


def results(out: Path, condition: Condition) -> dict[str, list[float]]:
    """Row to the mean improvements of its seeds, as far as there are any."""
    found: dict[str, list[float]] = {}
    for row in ROWS:
        for path in sorted((out / condition.name / "rows" / "results" / "test").glob(f"{row}-*.json")):
            summary = json.loads(path.read_text("utf-8"))["summary"]
            found.setdefault(row, []).append(summary["mean"]["separation"]["si_sdr_improvement"])
    return found


def write_results(out: Path) -> None:
    """`table.md` and `curves.png` of all conditions that are done."""
    done = {condition: values for condition in CONDITIONS if (values := results(out, condition))}
    lines = [f"| error | {' | '.join(ROWS.values())} |", f"|---|{'---:|' * len(ROWS)}"]
    for condition, values in done.items():
        cells = (f"{statistics.fmean(values[row]):.1f}" if row in values else "-" for row in ROWS)
        lines.append(f"| {label(condition)} | {' | '.join(cells)} |")
    write_text(out / "table.md", "\n".join(lines) + "\n")
    draw(out / "curves.png", done)


def label(condition: Condition) -> str:
    if condition.kind == "none":
        return "none"
    unit = UNITS[condition.kind]
    return f"{condition.kind} {condition.size * IN_UNIT[unit]:g} {unit}"


def draw(path: Path, done: dict[Condition, dict[str, list[float]]]) -> None:
    """A panel a kind of error, from no error on; a curve a row."""
    kinds = [kind for kind in UNITS if any(condition.kind == kind for condition in done)]
    if not kinds:
        return
    figure = new_figure(3.2 * len(kinds), 3.6)
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        scale = IN_UNIT[UNITS[kind]]
        for (row, title), colour in zip(ROWS.items(), COLOURS, strict=False):
            points = curve(done, kind, row)
            axes.plot([scale * x for x, _ in points], [y for _, y in points], "o-", color=colour, label=title)
        axes.set_xlabel(f"{kind}, {UNITS[kind]}", fontsize=11)
        axes.grid(alpha=0.4)
    panels[0].set_ylabel("SI-SDR improvement, dB", fontsize=11)
    panels[0].legend(fontsize=10)
    save_figure(figure, path)


def curve(done: dict[Condition, dict[str, list[float]]], kind: str, row: str) -> Sequence[tuple[float, float]]:
    """(size of the error, mean improvement) of a row, from no error on."""
    return [
        (condition.size, statistics.fmean(values[row]))
        for condition, values in done.items()
        if condition.kind in ("none", kind) and row in values
    ]


if __name__ == "__main__":
    sys.exit(main())
