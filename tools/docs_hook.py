"""MkDocs hook: the command line's reference, written from the commands' own help (`mkdocs.yml` names it)."""

from __future__ import annotations

import re
from typing import Any

import click
import typer.main
from typer.cli import get_docs_for_click

from scoresep.cli import app

MARK = "<!-- the command line's help -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the help of all commands in the place of `MARK`."""
    return markdown.replace(MARK, command_line()) if MARK in markdown else markdown


def command_line() -> str:
    """Help of every command as Markdown, one level of headings below the page's title."""
    command: Any = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=click.Context(command, info_name="scoresep"), name="scoresep")
    commands = text[text.index("\n## ") :].replace("`scoresep ", "`", 0)
    examples = re.sub(r"^Example: (.+(?:\\\n.+)*)$", r"```console\n$ \1\n```", commands, flags=re.MULTILINE)
    return examples.replace("* `--help`: Show this message and exit.\n", "")
