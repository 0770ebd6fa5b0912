"""Python that the docs show, and names of modules and files in them, fit the code."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import inspect
import re
from typing import Any

import pytest
from shown import PAGES, ROOT, blocks, texts

import scoresep
from scoresep.pretrained import Pretrained


def python_of(text: str) -> list[ast.Module]:
    """Python in code blocks: sessions with prompts, and blocks that call something of scoresep."""
    fenced = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    sessions = ["".join(example.source for example in doctest.DocTestParser().get_examples(block)) for block in fenced]
    return [ast.parse(block) for block in (*sessions, *(block for block in blocks(text) if "scoresep.load(" in block))]


def check_python(tree: ast.Module) -> None:
    """Imports can be made, and what is called of `scoresep` and of a model is there and takes these arguments.

    Raises:
        ImportError, AttributeError, TypeError: it cannot, is not, or does not.
    """
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            exec(compile(ast.Module([node], []), "docs", "exec"), {})
        home = owner(node.value) if isinstance(node, ast.Attribute) else None
        if home:
            getattr(home, node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and (home := owner(node.func.value)):
            given = [None] * (len(node.args) + inspect.isclass(home))
            names = dict.fromkeys(keyword.arg for keyword in node.keywords)
            inspect.signature(getattr(home, node.func.attr)).bind(*given, **names)


def owner(node: ast.expr) -> Any:
    """What `scoresep`, `model` and `scoresep.load(...)` stand for."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
        return Pretrained
    return {"scoresep": scoresep, "model": Pretrained}.get(node.id) if isinstance(node, ast.Name) else None


def test_python_of_the_docs_calls_what_is_there() -> None:
    trees = [tree for page in PAGES for tree in python_of(page.read_text("utf-8"))]
    assert len(trees) >= 6
    for tree in trees:
        check_python(tree)


@pytest.mark.parametrize(
    "line",
    [
        "from scoresep.nowhere import si_sdr",
        "from scoresep.evaluation.metrics import sisdr",
        "scoresep.lode()",
        "model.separate(audio)",
        "model.separate(audio, rate, refined=True)",
        "model.rate",
        "scoresep.load(name='a.pt')",
        "scoresep.load().transcribe(audio, rate, 'mixture', 5)",
    ],
)
def test_python_that_cannot_run_is_found(line: str) -> None:
    (tree,) = python_of(f"Text\n\n```python\n>>> {line}\n5\n```\n")
    with pytest.raises((ImportError, AttributeError, TypeError)):
        check_python(tree)


def test_names_in_the_docs_are_those_of_the_code() -> None:
    """`scoresep.a.b` is a module, something in one, or a group of entry points; `docs/a.md` is a file."""
    source = "".join(path.read_text() for path in (ROOT / "scoresep").rglob("*.py"))
    groups = re.findall(r'Registry\(\s*"([\w.]+)"', source)
    for page, text in texts():
        for name in re.findall(r"`(scoresep(?:\.\w+)+)[`(]", text):
            assert name in groups or resolves(name), (page.name, name)
        for path in re.findall(r"`((?:scoresep|tests|tools|pipelines|docs)/[\w/.-]+)`", text):
            assert (ROOT / path).exists(), (page.name, path)


def test_pages_that_sources_mention_are_there() -> None:
    folders = ("scoresep", "tools", "pipelines")
    sources = [path for folder in folders for ending in ("py", "toml") for path in (ROOT / folder).rglob(f"*.{ending}")]
    mentions = {(path, page) for path in sources for page in re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8"))}
    assert len(mentions) > 20
    for path, page in mentions:
        assert (ROOT / page).exists(), (path, page)


def test_a_name_that_leads_nowhere_is_found() -> None:
    assert resolves("scoresep.load") and resolves("scoresep.training.config.Config")
    assert not any(map(resolves, ("scoresep.lode", "scoresep.nowhere.load", "scoresep.training.config.Configs")))


def resolves(name: str) -> bool:
    """Whether a dotted name leads to something."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        with contextlib.suppress(ImportError):
            found = importlib.import_module(".".join(parts[:count]))
            return all((found := getattr(found, part, None)) is not None for part in parts[count:])
    return False
