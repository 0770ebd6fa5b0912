"""MkDocs hooks: reference pages that are written from the code (`mkdocs.yml` names this file).

The command line's page holds the commands' own help. Every room of the package gets a page of its modules.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import click
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from scoresep.cli import app

PACKAGE = Path(__file__).parents[1] / "scoresep"
COMMANDS, PACKAGES = "<!-- the command line's help -->", "<!-- the packages -->"
INTERNAL = {"cli", "configs", "plots", "reporting", "rendering"}
"""Rooms that are used through the command line."""
UNLISTED = {"__main__", "errors", "console"}
"""Modules outside of the rooms that have no place on the page of the base."""
BASE = "base"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the rooms behind the page `Python`."""
    for section in config.nav or ():
        if "Reference" in section:
            place = next(n for n, entry in enumerate(section["Reference"]) if "Python" in entry)
            section["Reference"].insert(place + 1, {"Packages": [{room: path_of(room)} for room in rooms()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the rooms."""
    for room in rooms():
        files.append(File.generated(config, path_of(room), content=page_of(room)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is written from the code in the place of its mark."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_line())
    if PACKAGES in markdown:
        lines = (f"| [`{room}`](api/{room}.md) | {summary(modules(room)[0])} |" for room in rooms())
        markdown = markdown.replace(PACKAGES, "\n".join(["| package | |", "|---|---|", *lines]))
    return markdown


def command_line() -> str:
    """Help of every command as Markdown."""
    command: Any = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=click.Context(command, info_name="scoresep"), name="scoresep")
    commands = text[text.index("\n## ") :].replace("* `--help`: Show this message and exit.\n", "")
    return re.sub(r"^Example: (.+(?:\\\n.+)*)$", r"```console\n$ \1\n```", commands, flags=re.MULTILINE)


def rooms() -> list[str]:
    """The base, and the packages that people import from."""
    return [
        BASE,
        *sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py") if path.parent.name not in INTERNAL),
    ]


def path_of(room: str) -> str:
    return f"reference/api/{room}.md"


def modules(room: str) -> list[Path]:
    """A room's modules, the package itself first; private ones and compiled kernels left out."""
    paths = sorted(PACKAGE.glob("*.py") if room == BASE else (PACKAGE / room).rglob("*.py"))
    left_out = UNLISTED if room == BASE else set()
    return [path for path in paths if path.stem not in left_out and not re.match(r"_[a-z]|kernels", path.stem)]


def dotted(path: Path) -> str:
    """The name by which a module is imported."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def summary(path: Path) -> str:
    """First sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return re.split(r"(?<=[.:])\s", text.replace("\n", " "), maxsplit=1)[0].rstrip(":")


def page_of(room: str) -> str:
    """A room's page: its modules with all that is public in them."""
    options = "    options:\n      heading_level: 2\n"
    return f"# {room}\n\n" + "\n".join(f"::: {dotted(path)}\n{options}" for path in modules(room))
