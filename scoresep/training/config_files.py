"""Configs from TOML files, which name what differs from the defaults, and from settings of the command line."""

from __future__ import annotations

import dataclasses
import importlib
import reprlib
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from scoresep.errors import InvalidValue, NotFound, ScoresepError, Unavailable, WrongFormat, first_line
from scoresep.files import existing_file, read_text
from scoresep.instruments import nearest
from scoresep.models.base import Settings
from scoresep.models.networks import ROLES, name_of, network_called
from scoresep.training.config import Config, Weights
from scoresep.training.stages import SUPERVISIONS


def shipped_configs() -> list[str]:
    """Names of the configs that come with scoresep."""
    folder = resources.files("scoresep.configs")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_config(name: str, assignments: Iterable[str] = ()) -> Config:
    """A shipped config by name or a TOML file by path, with `key=value` assignments on top.

    A file may say `base = "..."`: a shipped config or another file, beside it, whose settings it changes.

    Raises:
        NotFound: there is no such config.
        WrongFormat: it is no TOML.
        InvalidValue: unknown keys, values of the wrong type or out of range, all of them.
        Unavailable: a plugin cannot be imported.
    """
    values = read_values(name)
    for assignment in assignments:
        assign(values, assignment)
    import_plugins(values.get("plugins"), name)
    faults: list[str] = []
    values = with_both_networks(values, faults)
    config: Config = build(Config, values, starting_point(values.get("supervision", "score")), "", faults)
    if faults:
        raise InvalidValue("; ".join(dict.fromkeys(faults)), file=name, remedy="change the config or the settings")
    return config


def lacks(fault: BaseException, module: Any) -> bool:
    """Whether an import failed because the module itself, or a package it is in, does not exist."""
    return isinstance(fault, ModuleNotFoundError) and f"{module}.".startswith(f"{fault.name}.")


def import_plugins(modules: Any, name: str) -> None:
    """Import the modules that a config names, which add rows to the tables (`plugins.Registry.register`).

    Raises:
        Unavailable: one cannot be imported.
    """
    for module in modules if isinstance(modules, list) else ():
        try:
            importlib.import_module(str(module))
        except (Exception, SystemExit) as fault:  # whatever a module of others does when it is imported
            raise Unavailable(
                f"plugin '{module}' cannot be imported ({type(fault).__name__}: {first_line(fault)})",
                file=name,
                remedy="install it, or add its folder to PYTHONPATH" if lacks(fault, module) else "correct it",
            ) from fault


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
            raise not_toml(name, fault) from fault
    else:
        raise NotFound(
            f"unknown config '{name}'{nearest(name, shipped_configs())}", remedy="name a file of your own with .toml"
        )
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:  # besides TOML's own: a number of 5000 digits, brackets without end
        raise not_toml(name, fault) from fault
    if "base" not in values:
        return values
    base = values.pop("base")
    if not isinstance(base, str) or path.resolve() in [file.resolve() for file in above]:
        raise InvalidValue(f"base = {base!r} is not the name of another config", file=name, remedy="name another")
    return overlay(read_values(base, (*above, path)), values)


def not_toml(name: str, fault: Exception) -> WrongFormat:
    """What to raise where a config cannot be parsed."""
    return WrongFormat(f"not valid TOML: {first_line(fault)}", file=name, remedy="correct the file")


def with_both_networks(values: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """The table `network`, which means both networks, beneath those of `transcriptor` and `separator`.

    It says nothing of one that is another network.
    """
    both, rest = values.get("network"), {name: value for name, value in values.items() if name != "network"}
    if both is None:
        return rest
    if not isinstance(both, Mapping):
        faults.append(f"network is a table, not {both!r}")
        return rest
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
        own = {"separator": row.weights} if any(stage.separator.values()) else {}
        losses: dict[str, Any] = {
            network: {**weights, **own.get(network, {}), **dict.fromkeys(row.meaningless(network), 0.0)}
            for network, weights in stage.weights.items()
        }
        changes[f"stage{number}"] = dataclasses.replace(stage, **losses)
    return dataclasses.replace(config, supervision=supervision, **changes)


def assign(values: dict[str, Any], assignment: str) -> None:
    """Apply 'stage2.separator.clip_mixture=0.5' to nested values in place.

    Raises:
        InvalidValue: it is no assignment.
    """
    path, equals, literal = assignment.partition("=")
    if not equals or not path.strip():
        raise InvalidValue(f"--set '{assignment}' is not of the form key=value", remedy="such as data.batch_size=16")
    try:
        value = tomllib.loads(f"value = {literal}")["value"]
    except (ValueError, RecursionError):
        value = literal.strip()
    *tables, key = path.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise InvalidValue(f"--set '{assignment}': '{table}' is a value, not a table", remedy="set that")
    values[key] = value


def build(kind: type, values: Mapping[str, Any], base: Any, prefix: str, faults: list[str]) -> Any:
    """An instance of dataclass `kind` from nested plain values; what they leave out comes from `base`.

    What is wrong is added to `faults`, and left as it is in `base`.
    """
    hints = get_type_hints(kind)
    changes = {}
    for name, value in values.items():
        if name not in hints:
            faults.append(f"unknown setting '{prefix}{name}'{nearest(name, hints)}")
        else:
            changes[name] = convert(value, hints[name], getattr(base, name), f"{prefix}{name}", faults)
    try:
        return dataclasses.replace(base, **changes)
    except ScoresepError as fault:
        faults.append(f"{prefix.rstrip('.')}: {fault.problem}" if prefix else fault.problem)
        return base


def convert(value: Any, kind: Any, base: Any, name: str, faults: list[str]) -> Any:
    """A setting's value as its type; where that is impossible `base`, and a fault is added."""
    is_network = kind is Settings
    if not (is_network or kind == Weights or dataclasses.is_dataclass(kind)):
        if fault := type_fault(value, kind):
            faults.append(f"{name} {fault}")
            return base
        return float(value) if kind is float else value
    if not isinstance(value, Mapping):
        faults.append(f"{name} is a table, not {value!r}")
        return base
    if kind == Weights:
        faults += [f"unknown setting '{name}.{key}'{nearest(key, base)}" for key in value.keys() - base.keys()]
        known = {key: weight for key, weight in value.items() if key in base}
        return base | {key: convert(one, float, base[key], f"{name}.{key}", faults) for key, one in known.items()}
    if not is_network:
        return build(kind, value, base, f"{name}.", faults)
    try:
        row = network_called(value.get("network", name_of(base)))
    except ScoresepError as fault:
        faults.append(f"{name}: {fault}")
        return base
    start = base if isinstance(base, row.settings) else row.settings()
    return build(row.settings, {key: one for key, one in value.items() if key != "network"}, start, f"{name}.", faults)


def type_fault(value: Any, kind: Any) -> str:
    """Why a value is not of a type, or ''; an int serves as a float, a whole float does not serve as an int."""
    if kind is float and type(value) in (int, float):
        return "" if -(2**1023) < value < 2**1023 else "must be a finite number"
    if kind == list[str]:
        fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return "" if fits else f"must be a list of words, not {value!r}"
    return "" if type(value) is kind else f"must be of type {kind.__name__}, not {reprlib.repr(value)}"
