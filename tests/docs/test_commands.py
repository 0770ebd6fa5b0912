"""Every command line of the docs is parsed by the program that it calls."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from parsers import PARSERS, Refused, check
from shown import PAGES, PROGRAMS, ROOT, blocks, commands, is_shell, script, split, texts

from scoresep.errors import ScoresepError

EVERY = {
    f"{path.relative_to(ROOT)}: {' '.join(command.words)}": command
    for path, text in texts()
    for command in commands(text)
}


@pytest.mark.parametrize("name", EVERY)
def test_a_command_of_the_docs_is_understood(name: str) -> None:
    check(EVERY[name])


def test_none_is_overlooked() -> None:
    """Lines of each page that begin with a program are found, whatever they stand in."""
    for page in PAGES:
        text = page.read_text("utf-8")
        lines = re.findall(rf"^ *(?:\$ )?((?:{'|'.join(PROGRAMS)}) .*?)(?: *\\| +#.*)?$", text, re.MULTILINE)
        blocked = [line for line in lines if any(line in block for block in blocks(text))]
        found = [" ".join(command.words) for command in commands(text)]
        for line in blocked:
            words = " ".join(split(script(line))[0])
            assert any(words in each for each in found), (page.name, line)
    assert len(EVERY) > 100 and {command.words[0] for command in EVERY.values()} >= set(PROGRAMS)
    assert set(PARSERS) == set(PROGRAMS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_scripts_of_the_docs_are_those_of_a_shell(page: Path) -> None:
    for block in filter(is_shell, blocks(page.read_text("utf-8"))):
        ended = subprocess.run(["bash", "-n"], input=script(block), capture_output=True, text=True)
        assert not ended.returncode, (block, ended.stderr)


BAD = {
    "torchrun --nproc-per-node=2 -m scoresep train --stage 3 --run run": "ambiguous",
    "torchrun --nprocs 2 -m -- scoresep train": "unrecognized",
    "torchrun --nproc-per-node=2 -m -- scoresep train --stages 3": "--stages",
    "srun torchrun --nproc-per-node=2 -m -- scoresep train --stage 4": "less than or equal to 3",
    "srun --hurry scoresep doctor": "--hurry",
    "scoresep trian": "trian",
    "scoresep train --stage three": "valid integer",
    "scoresep train --set stage2.stepz=4": "stepz",
    "scoresep prepare slakh a b": "unexpected",
    "scoresep separate": "audio",
    "scoresep": "without",
    "scoresep render corpus --midi": "--midi",
    "OMP_NUM_THREADS=1 python tools/bench_masks.py --repeat-often 2": "--repeat-often",
    "python tools/bench_nothing.py": "not there",
    "python pipelines/paper/run.py cache.h5 --size pipelines/no-core.toml": "not there",
    "python pipelines/paper/run.py": "required",
    "python pipelines/paper/run.py cache.h5 --seed": "expected",
    "pip install --constrain-to constraints.txt -e .": "--constrain-to",
    "dask worker --nthreads many": "many",
    "ls && scoresep doctor": "ls",
}


@pytest.mark.parametrize("line", BAD)
@pytest.mark.parametrize(
    "page", ["Text:\n\n    # first\n    scoresep doctor\n    {}  # why\n", "```\n$ {}\nsaid\n```\n"]
)
def test_a_command_that_cannot_be_parsed_is_found(page: str, line: str) -> None:
    with pytest.raises((Refused, ScoresepError), match=re.escape(BAD[line])):
        for command in commands(page.format(line)):
            check(command)


@pytest.mark.parametrize("line", ["scoresep train --stages 3", "python tools/bench_train.py c.h5 --stage 1 --stap 2"])
def test_a_mention_that_cannot_be_parsed_is_found(line: str) -> None:
    (command,) = commands(f"Some words: `{line}`, and more.")
    assert command.mentioned
    with pytest.raises(Refused, match=r"[Nn]o such option|unrecognized"):
        check(command)


def test_what_stands_around_a_command_is_taken_off() -> None:
    text = """A page.

    A=1 B='2 3' scoresep info a.h5 > out.txt 2>&1   # why
    c=$(sbatch --parsable a.sh) && scoresep \
        doctor | head -n 1
    scoresep evaluate "a b.pt"; scoresep doctor --help
"""
    assert [command.words[:3] for command in commands(text)] == [
        ("scoresep", "info", "a.h5"),
        ("out.txt", "2"),
        ("1",),
        ("sbatch", "--parsable", "a.sh"),
        ("scoresep", "doctor"),
        ("head", "-n", "1"),
        ("scoresep", "evaluate", "a b.pt"),
        ("scoresep", "doctor", "--help"),
    ]
