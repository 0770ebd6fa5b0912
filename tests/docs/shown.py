"""What README, docs, docstrings and messages show: code blocks, and the command lines in these and within text.

In text a command is often only mentioned, so `...`, `[...]` and names in capitals stand for anything there.
"""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), ROOT / "scoresep/pretrained/card.md"]
SOURCES = sorted(path for folder in ("scoresep", "tools", "pipelines") for path in ROOT.glob(f"{folder}/**/*.py"))
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
OPERATORS = re.compile(r"[();<>|&]+")
PROGRAMS = ("scoresep", "python", "python3", "torchrun", "pip", "sbatch", "srun", "dask")
"""Words with which a command of the docs begins."""


@dataclass(frozen=True)
class Command:
    """A command line as it stands in a text; `mentioned`: within running text, where it need not be whole."""

    words: tuple[str, ...]
    mentioned: bool = False


def texts() -> Iterator[tuple[Path, str]]:
    """Pages, docstrings, and other strings of the sources, each with its file."""
    for page in PAGES:
        yield page, page.read_text("utf-8")
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                yield source, ast.get_docstring(node) or ""
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
                yield source, node.value


def blocks(text: str) -> list[str]:
    """Code blocks: fenced ones, but for other languages, and runs of lines that are indented by four after an empty
    line."""
    shell = (re.fullmatch(r"```(?:sh|bash|console)?\n(.*)```", block, re.DOTALL) for block in FENCED.findall(text))
    fenced = [match[1] for match in shell if match]
    indented = re.findall(r"(?:\A|(?<=\n\n)|(?<=:\n))((?:(?: {4}.*)?\n)+)", re.sub(FENCED, "", f"{text}\n"))
    return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in (*fenced, *indented)]


def is_shell(block: str) -> bool:
    """Whether a block has commands: it is not output, a listing or a file."""
    try:
        return any(words[0] in PROGRAMS for words in split(script(block)))
    except ValueError:  # a quotation without end
        return False


def script(block: str) -> str:
    """A block as a shell script: without prompts, `[...]` around what may be left out, and output of `$ ` commands."""
    if re.search(r"^\$ ", block, re.MULTILINE):
        joined = re.sub(r"\\\n", " ", block)
        block = "\n".join(line[2:] for line in joined.splitlines() if line.startswith("$ "))
    return re.sub(r"\[(-.*?)\]", r"\1", block)


def commands(text: str) -> list[Command]:
    """All commands of a text."""
    found = [Command(words) for block in blocks(text) if is_shell(block) for words in split(script(block))]
    examples = re.findall(r"^Example: (.*(?:\\\n.*)*)$", text, re.MULTILINE)
    found += [Command(words) for example in examples for words in split(example)]
    running = re.sub(r"^    .*$", "", re.sub(FENCED, "", text), flags=re.MULTILINE)
    paragraphs = re.split(r"\n\n+", running)  # a ` without its other half does no harm beyond its own
    spans = (re.sub(r"\s+", " ", span) for each in paragraphs for span in re.findall(r"`([^`]+)`", each))
    mentions = (span for span in spans if re.match(rf"(\w+=\S+ )*({'|'.join(PROGRAMS)}) ", span))
    return found + [Command(words, True) for span in mentions for words in split(span.translate({91: "", 93: ""}))]


def split(text: str) -> list[tuple[str, ...]]:
    """The words of each simple command of a shell script, without assignments and redirections; `$NAME` becomes 1."""
    text = re.sub(r"\\\n", " ", text)
    text = "\n".join(re.sub(r"^#(?!SBATCH).*", "", line) for line in text.splitlines())
    text = re.sub(r"^#SBATCH ", "sbatch ", re.sub(r"\$\{?\w+\}?", "1", text), flags=re.MULTILINE)
    found = []
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        groups = itertools.groupby(lexer, key=lambda word: bool(OPERATORS.fullmatch(word)))
        pieces = [list(words) for operators, words in groups if not operators]
        found += [words for piece in pieces if (words := simple(piece))]
    return found


def simple(words: Sequence[str]) -> tuple[str, ...]:
    """A command without what stands before it (`VAR=value`, `do`) and without ellipses."""
    rest = itertools.dropwhile(lambda word: re.match(r"[A-Za-z_]\w*=", word) or word == "do" or word == "$", words)
    return tuple(word for word in rest if word != "...")
