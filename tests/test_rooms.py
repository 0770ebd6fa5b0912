"""No arrow back: a room of the package imports only what stands to its left."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scoresep"
ORDER = (
    "base",
    "audio",
    "score",
    "masks",
    "nmf",
    "score_check",
    "alignment",
    "datasets",
    "cache",
    "models",
    "losses",
    "separation",
    "transcription",
    "training",
    "pretrained",
    "export",
    "evaluation",
    "plots",
    "reporting",
    "studio",
    "cli",
)
"""docs/explanation/architecture.md shows it."""
RENDERING = {"base", "audio", "score", "datasets"}
"""What `rendering` needs; it makes corpora and knows nothing of what is made of them."""
ENTRIES = {"__init__", "__main__"}
"""Modules outside of the rooms that gather from all of them, as `cli` does; all others there are the base."""


def name_of(path: Path) -> str:
    """The name by which a module is imported."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def room_of(module: str) -> str:
    """The room that a module lies in."""
    _, first, *_ = [*module.split("."), "__init__"]
    if (PACKAGE / first).is_dir():
        return first
    return "cli" if first in ENTRIES else "base"


def imports(tree: ast.AST) -> Iterator[str]:
    """Modules of the package that are imported anywhere in a module, for its types too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "scoresep")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not looked at"
            if (node.module or "").split(".")[0] == "scoresep":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in MODULES else str(node.module)


def may_import(room: str, other: str) -> bool:
    """Whether `room` may import `other`."""
    if room == "rendering":
        return other in RENDERING or other == room
    if other == "rendering":
        return room == "cli"
    return ORDER.index(other) <= ORDER.index(room)


def arrows_back(module: str, tree: ast.AST) -> set[str]:
    """What a module imports and must not; `scoresep` itself (the version) is free to all."""
    room = room_of(module)
    return {other for other in imports(tree) if other != "scoresep" and not may_import(room, room_of(other))}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_to_its_left(module: str) -> None:
    assert arrows_back(module, ast.parse(MODULES[module].read_text("utf-8"))) == set()


def test_every_room_has_its_place() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == {*ORDER[1:], "rendering", "configs"}


def test_the_page_shows_the_rooms_in_order() -> None:
    page = (PACKAGE.parent / "docs" / "explanation" / "architecture.md").read_text("utf-8")
    table = page.split("## Rooms")[1].split("\n## ")[0]
    rows = [line.split("|")[1].strip(" `") for line in table.splitlines() if line.startswith("|")]
    assert [row for row in rows if row in ORDER] == list(ORDER)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("scoresep.models.tcn", "from scoresep.training.run import train"),
        ("scoresep.models.tcn", "from scoresep import training"),
        ("scoresep.nmf", "def f():\n    import scoresep.cache.reader"),
        ("scoresep.rendering.song", "from scoresep.cache import reader"),
        ("scoresep.evaluation.metrics", "from scoresep.rendering.song import Song"),
        ("scoresep.grid", "from scoresep.cli.doctor import doctor"),
    ],
)
def test_an_arrow_back_is_found(module: str, line: str) -> None:
    assert arrows_back(module, ast.parse(line))
    assert not arrows_back("scoresep.cli.doctor", ast.parse(line))
