"""Pipelines as modules, and what is asked of the commands they run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

from scoresep.cli import app

PIPELINES = Path(__file__).parents[2] / "pipelines"


@pytest.fixture(scope="session")
def pipeline() -> Callable[[str], ModuleType]:
    """A function that imports a script, by its place below `pipelines`, with its folder on the path."""

    def load(place: str) -> ModuleType:
        path = PIPELINES / place
        name = place.removesuffix(".py").replace("/", "_")
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        sys.path.insert(0, str(path.parent))
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(path.parent))
        return module

    return load


@pytest.fixture(scope="session")
def unknown_options() -> Callable[[str], set[str]]:
    """A function that gives those of the options in the words after `scoresep` that the command does not have."""

    def unknown(words: str) -> set[str]:
        name, *rest = words.split()
        command = get_command(app).commands[name]
        if hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        known = {text for parameter in command.params for text in parameter.opts}
        return {word for word in rest if word.startswith("--")} - known

    return unknown
