"""Configs from TOML files, which name what differs from the defaults, and from settings of the command line."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Collection, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from scoresep.errors import ScoresepError
from scoresep.files import existing_file, read_text
from scoresep.instruments import nearest
from scoresep.models.base import Settings
from scoresep.models.networks import ROLES, name_of, network_called
from scoresep.training.config import Config, Weights
from scoresep.training.stages import SUPERVISIONS

RENAMED = {"trunk": "network"}
"""Settings of older configs, and what they are called now."""


def shipped_configs() -> list[str]:
    """Names of the configs that come with scoresep."""
    folder = resources.files("scoresep.configs")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_config(name: str, assignments: Iterable[str] = ()) -> Config:
    """A shipped config by name or a TOML file by path, with `key=value` assignments on top.

    A file may say `base = "..."`: a shipped config or another file, beside it, whose settings it changes.

    Raises:
        ScoresepError: unknown config or key, broken TOML, a value of the wrong type or out of range.
    """
    values = read_values(name)
    for assignment in assignments:
        assign(values, assignment)
    values = with_both_networks(values)
    return build(Config, values, starting_point(values.get("supervision", "score")), "")


def read_values(name: str, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The settings that a config names, those of its bases included, as nested plain values.

    Args:
        name: a shipped config or a TOML file.
        above: the files that have it as their base.
    """
    folder = above[-1].parent if above else Path()
    if name in shipped_configs():
        path = Path(name)
        text = resources.files("scoresep.configs").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    elif name.endswith(".toml"):
        path = existing_file(folder / name, "config", f"or use a shipped one: {', '.join(shipped_configs())}")
        try:
            text = read_text(path)
        except ValueError as fault:
            raise ScoresepError(f"config {name} is not valid TOML: {fault}") from fault
    else:
        raise ScoresepError(
            f"unknown config '{name}'{nearest(name, shipped_configs())} (a config of your own ends in .toml)"
        )
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:  # besides TOML's own: a number of 5000 digits, brackets without end
        raise ScoresepError(f"config {name} is not valid TOML: {fault}") from fault
    if "base" not in values:
        return values
    base = values.pop("base")
    if not isinstance(base, str) or path.resolve() in [file.resolve() for file in above]:
        raise ScoresepError(f"config {name}: base = {base!r} is not the name of another config")
    return overlay(read_values(base, (*above, path)), values)


def with_both_networks(values: Mapping[str, Any]) -> dict[str, Any]:
    """The table `network`, which means both networks, beneath those of `transcriptor` and `separator`.

    It says nothing of one that is another network.
    """
    both, rest = values.get("network"), {name: value for name, value in values.items() if name != "network"}
    if both is None:
        return rest
    if not isinstance(both, Mapping):
        raise ScoresepError(f"setting 'network' is a table, not {both!r}")
    name = both.get("network", name_of(Config().separator))
    meant = [role for role in ROLES if network_name(rest.get(role), name) == name]
    return overlay(dict.fromkeys(meant, both), rest)


def network_name(table: Any, default: Any) -> Any:
    """The network that a table of a config names."""
    return table.get("network", default) if isinstance(table, Mapping) else default


def overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with those of `over` in place of, or beside, those of `under`."""
    both = {
        name: overlay(under[name], value) if isinstance(value, Mapping) and isinstance(under[name], Mapping) else value
        for name, value in over.items()
        if name in under
    }
    return {**under, **over, **both}


def starting_point(supervision: Any) -> Config:
    """The defaults under a supervision: losses without meaning are off, the separator has the row's weights."""
    row, config = SUPERVISIONS.get(supervision) if isinstance(supervision, str) else None, Config()
    if row is None:
        return config  # `build` says what is wrong
    changes: dict[str, Any] = {}
    for number, stage in config.stages.items():
        separator = stage.separator | (row.weights if any(stage.separator.values()) else {})
        changes[f"stage{number}"] = dataclasses.replace(
            stage,
            separator=without(separator, row.meaningless("separator")),
            transcriptor=without(stage.transcriptor, row.meaningless("transcriptor")),
        )
    return dataclasses.replace(config, supervision=supervision, **changes)


def without(weights: Weights, losses: Collection[str]) -> Weights:
    """Weights with those of some losses set to 0."""
    return {name: 0.0 if name in losses else weight for name, weight in weights.items()}


def assign(values: dict[str, Any], assignment: str) -> None:
    """Apply 'stage2.separator.clip_mixture=0.5' to nested values in place."""
    path, equals, literal = assignment.partition("=")
    if not equals or not path.strip():
        raise ScoresepError(f"--set '{assignment}' is not of the form key=value, such as data.batch_size=16")
    try:
        value = tomllib.loads(f"value = {literal}")["value"]
    except (ValueError, RecursionError):
        value = literal.strip()
    *tables, key = path.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ScoresepError(f"--set '{assignment}': '{table}' is a value, not a table")
    values[key] = value


def build(kind: type, values: Mapping[str, Any], base: Any, prefix: str) -> Any:
    """An instance of dataclass `kind` from nested plain values; what they leave out comes from `base`."""
    hints = get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind)]
    changes = {}
    for name, value in values.items():
        if name not in known:
            remedy = f"; it is called '{RENAMED[name]}' now" if name in RENAMED else nearest(name, known)
            raise ScoresepError(f"unknown setting '{prefix}{name}'{remedy}")
        table = hints[name] in (Weights, Settings) or dataclasses.is_dataclass(hints[name])
        if table and not isinstance(value, Mapping):
            raise ScoresepError(f"setting '{prefix}{name}' is a table, not {value!r}")
        if hints[name] == Weights:
            changes[name] = build_weights(value, getattr(base, name), f"{prefix}{name}.")
        elif hints[name] is Settings:
            changes[name] = build_network(value, getattr(base, name), f"{prefix}{name}.")
        elif table:
            changes[name] = build(hints[name], value, getattr(base, name), f"{prefix}{name}.")
        else:
            changes[name] = coerce(value, hints[name], f"{prefix}{name}")
    return dataclasses.replace(base, **changes)


def build_network(values: Mapping[str, Any], base: Settings, prefix: str) -> Settings:
    """A network's settings from plain values, `network` among them; of the same network they leave out `base`'s."""
    row = network_called(values["network"] if "network" in values else name_of(base))
    start = base if isinstance(base, row.settings) else row.settings()
    return build(row.settings, {key: value for key, value in values.items() if key != "network"}, start, prefix)


def build_weights(values: Mapping[str, Any], base: Weights, prefix: str) -> Weights:
    """Loss weights from plain values; what they leave out comes from `base`, which names all losses there are."""
    for name in values:
        if name not in base:
            raise ScoresepError(f"unknown setting '{prefix}{name}'{nearest(name, base)}")
    return base | {name: coerce(value, float, f"{prefix}{name}") for name, value in values.items()}


def coerce(value: Any, kind: type, name: str) -> Any:
    """`value` as `kind`; an int serves as a float, a whole float does not serve as an int."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1023 else math.inf
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ScoresepError(f"setting '{name}' must be a finite number, not {value}")
    if type(value) is not kind:
        raise ScoresepError(f"setting '{name}' must be of type {kind.__name__}, not {value!r}")
    return value
