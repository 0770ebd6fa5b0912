"""The rows of the paper's table, and where what they share is trained. Called by `run`."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.files import existing_file, write_text
from scoresep.instruments import nearest
from scoresep.training.recipe import Recipe, load_recipe, read_values, shipped_recipes
from scoresep.training.run import relevant
from scoresep.training.stages import STAGES

HERE = Path(__file__).parent
BASE = "base.toml"


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        title: for people.
        stage: the last stage that is trained.
    """

    title: str
    stage: int


ROWS: dict[str, Row] = {
    "transcription": Row("transcription", 2),
    "clip": Row("+ clip", 2),
    "frame": Row("+ frame", 2),
    "harmonic": Row("+ harmonic", 2),
    "clip_harmonic": Row("+ clip and harmonic", 2),
    "joint": Row("stage 3, none adversarial", 3),
    "adversarial_mixture": Row("stage 3, adv. mixture", 3),
    "adversarial_transcription": Row("stage 3, adv. transcription", 3),
    "adversarial_both": Row("stage 3, both", 3),
    "class_clip": Row("classifier, clip labels", 2),
    "class_frame": Row("classifier, frame labels", 2),
    "semi": Row("a tenth of the stems", 2),
    "stems": Row("stems", 2),
}
"""By the name of their recipe."""


def choose_rows(names: str) -> list[str]:
    """Rows by name and comma, or `all`.

    Raises:
        ScoresepError: there is no such row.
    """
    chosen = list(ROWS) if names == "all" else [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in ROWS:
            raise ScoresepError(f"unknown row '{name}'{nearest(name, ROWS)}; rows: {', '.join(ROWS)}")
    return chosen


def write_recipes(folder: Path, size: str) -> None:
    """Copy the rows' recipes to `folder`, with `size` (a shipped recipe or a TOML file) as their common base."""
    read_values(size)  # refuses what is none, before anything is written
    base = size if size in shipped_recipes() else str(existing_file(size, "recipe", "").resolve())
    folder.mkdir(parents=True, exist_ok=True)
    for name in ROWS:
        shutil.copyfile(HERE / f"{name}.toml", folder / f"{name}.toml")
    write_text(folder / BASE, f"base = {json.dumps(base)}\n")


def row_recipe(folder: Path, name: str, seed: int, settings: Iterable[str]) -> Recipe:
    """The recipe of a row for one seed, from the recipes in `folder`."""
    return load_recipe(str(folder / f"{name}.toml"), [*settings, f"seed={seed}"])


def stage_folder(out: Path, cache: Cache, recipe: Recipe, number: int) -> Path:
    """Where stage `number` of a recipe is trained: one folder for all rows to which it is the same.

    Its name follows from the data and all settings that decide on the stage and on those before it.
    """
    deciding = [relevant(recipe.to_dict(), STAGES[earlier]) for earlier in range(1, number + 1)]
    text = json.dumps([cache.digest, deciding], sort_keys=True)
    return out / "stages" / f"{number}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
