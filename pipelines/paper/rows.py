"""The rows of the paper's table, and where what they share is trained. Called by `run`."""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.files import existing_file, write_text
from scoresep.instruments import nearest
from scoresep.training.config import Config
from scoresep.training.config_files import load_config, read_values, shipped_configs
from scoresep.training.run import deciding_settings
from scoresep.training.stages import STAGES

BASE = "base.toml"
TITLES = "rows.toml"


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        title: for people.
        stage: the last stage that is trained.
        set: settings that it changes in the base, as `--set` does, for a row without a config of its own.
    """

    title: str
    stage: int
    set: tuple[str, ...] = ()


def load_rows(folder: Path) -> dict[str, Row]:
    """The rows of the table whose configs lie in `folder`, by name, from its `rows.toml`.

    Raises:
        ScoresepError: there is no such file, or it is not one of rows.
    """
    path = existing_file(folder / TITLES, "list of rows", "name a folder such as pipelines/paper with --table")
    try:
        rows = tomllib.loads(path.read_text("utf-8"))
        return {name: Row(**{**row, "set": tuple(row.get("set", ()))}) for name, row in rows.items()}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as fault:
        raise ScoresepError(f"{path} is not a list of rows: {fault}") from fault


def choose_rows(names: str, rows: Mapping[str, Row]) -> list[str]:
    """Rows by name and comma, or `all`.

    Raises:
        ScoresepError: there is no such row.
    """
    chosen = list(rows) if names == "all" else [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in rows:
            raise ScoresepError(f"unknown row '{name}'{nearest(name, rows)}; rows: {', '.join(rows)}")
    return chosen


def write_configs(table: Path, folder: Path, size: str) -> None:
    """Copy the configs of `table` to `folder`, with `size` (a shipped config or a TOML file) as their common base."""
    read_values(size)  # refuses what is none, before anything is written
    base = size if size in shipped_configs() else str(existing_file(size, "config", "").resolve())
    folder.mkdir(parents=True, exist_ok=True)
    for config in table.glob("*.toml"):
        if config.name not in (BASE, TITLES):
            shutil.copyfile(config, folder / config.name)
    write_text(folder / BASE, f"base = {json.dumps(base)}\n")


def config_path(folder: Path, name: str) -> Path:
    """The config of a row, from the configs in `folder`: its own, or the base."""
    own = folder / f"{name}.toml"
    return own if own.exists() else folder / BASE


def row_config(folder: Path, name: str, row: Row, seed: int, settings: Iterable[str]) -> Config:
    """A row's config for one seed."""
    return load_config(str(config_path(folder, name)), [*settings, *row.set, f"seed={seed}"])


def stage_folder(out: Path, cache: Cache, config: Config, number: int) -> Path:
    """Where stage `number` of a config is trained: one folder for all rows to which it is the same.

    Its name follows from the data and all settings that decide on the stage and on those before it.
    """
    deciding = [deciding_settings(config.to_dict(), STAGES[earlier]) for earlier in range(1, number + 1)]
    text = json.dumps([cache.digest, deciding], sort_keys=True)
    return out / "stages" / f"{number}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
