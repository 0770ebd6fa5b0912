"""Damage for files, and the limits that readers of damaged files have to keep.

SCORESEP_FUZZ sets how many mutants of each seed are tried: `SCORESEP_FUZZ=5000 pytest tests/fuzz`. A case follows from
its name, such as flac-17, alone.
"""

from __future__ import annotations

import faulthandler
import os
import random
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, SimpleNamespace

import pytest

CASES = int(os.environ.get("SCORESEP_FUZZ") or 24)
MEMORY = 1 << 30
"""Bytes that a reader may ask for, besides what the process has already."""
SECONDS = 20
"""For one case, which takes milliseconds: it is there for readers that never return."""
HEADER = 100
"""First bytes, in which most formats keep what they promise."""

Mutator = Callable[[bytearray, random.Random], None]


def block(data: bytearray, rng: random.Random) -> slice:
    """A part of the data, most often a short one."""
    first = rng.randrange(len(data) + 1)
    return slice(first, min(first + int(2 ** rng.uniform(0, 12)), len(data)))


def flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def delete(data: bytearray, rng: random.Random) -> None:
    del data[block(data, rng)]


def insert(data: bytearray, rng: random.Random) -> None:
    part = block(data, rng)
    data[part.start : part.start] = rng.randbytes(part.stop - part.start)


def overwrite(data: bytearray, rng: random.Random) -> None:
    part = block(data, rng)
    length = part.stop - part.start
    data[part] = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)])


def duplicate(data: bytearray, rng: random.Random) -> None:
    part = block(data, rng)
    data[part.start : part.start] = data[part] * rng.randint(1, 4)


def swap(data: bytearray, rng: random.Random) -> None:
    first, second = sorted((block(data, rng), block(data, rng)), key=lambda part: part.start)
    if first.stop <= second.start:
        data[second], data[first] = data[first], data[second]


def extreme_number(data: bytearray, rng: random.Random) -> None:
    """A number of 1 to 8 bytes becomes 0, 1, or as large or as small as there is; in headers more than elsewhere."""
    size = rng.choice([1, 2, 4, 8])
    first = rng.randrange(min(len(data), HEADER) if rng.random() < 0.8 else len(data))
    top = 1 << 8 * size
    number = rng.choice([0, 1, top // 2 - 1, top // 2, top - 1])
    data[first : first + size] = number.to_bytes(size, rng.choice(["big", "little"]))


NASTY = (
    *(
        "null",
        "~",
        "-1",
        "0",
        "128",
        "1e999",
        ".nan",
        "9" * 5000,
        "1" + "_0" * 50,
        "true",
        "''",
        '"',
        "'",
        "[",
        "]",
        "{",
    ),
    *(
        "}",
        "[" * 3000,
        "{" * 3000,
        ":",
        ": ",
        "- ",
        "? ",
        "| ",
        "> ",
        "&a ",
        "*a ",
        "&a [*a, *a]",
        "<<: *a",
        "%YAML 9.9\n",
    ),
    *(
        "!!python/object/apply:os.getcwd []",
        "!!binary x",
        "!!set {a}",
        "2001-13-40",
        "2001-99-99 99:99:99",
        "---\n",
        "...\n",
    ),
    *(
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\0",
        "\x1b[31m",
        "\x85",
        "\u2028",
        "\ufeff",
        "\U0001f3b9",
        "é",
        "\\ud800",
        "../../etc",
    ),
    *(
        "/",
        "\\",
        "C:\\x",
        "S00",
        "stems:",
        "=",
        "#",
        ",",
        ";",
        "name,split",
        "train",
        "omit",
        '"action": null',
        "\\x41",
    ),
    *("a" * 70_000, " " * 5000),
)
"""Words on which parsers of text have stumbled."""


def nasty_word(data: bytearray, rng: random.Random) -> None:
    part = block(data, rng)
    data[part.start : rng.choice([part.start, part.stop])] = rng.choice(NASTY).encode()


def change_line(data: bytearray, rng: random.Random) -> None:
    """A line is lost, doubled, moved or indented."""
    lines = data.splitlines(keepends=True)
    first, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    line = lines.pop(first)
    indented = b" " * rng.randint(1, 9) + line
    place, put = rng.choice([(first, []), (first, [line, line]), (other, [line]), (first, [indented])])
    lines[place:place] = put
    data[:] = b"".join(lines)


BINARY: tuple[Mutator, ...] = (flip_bits, truncate, delete, insert, overwrite, duplicate, swap, extreme_number)
TEXT: tuple[Mutator, ...] = (*BINARY[:-1], *[nasty_word, change_line] * 4)


def mutant(seed: bytes, mutators: tuple[Mutator, ...], case: str) -> bytes:
    """The seed after one to three changes."""
    rng = random.Random(case)
    data = bytearray(seed)
    while data == seed:
        for _ in range(rng.choice([1, 1, 2, 3])):
            if data:
                rng.choice(mutators)(data, rng)
    return bytes(data)


@contextmanager
def limits(case: str) -> Iterator[None]:
    """Little memory, and an end for readers that never return: MemoryError and TimeoutError are their faults."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, late)
    faulthandler.dump_traceback_later(3 * SECONDS, exit=True)  # stuck outside Python, where no signal is looked at
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, hard))
    signal.alarm(SECONDS)
    try:
        yield
    except BaseException as fault:
        fault.add_note(f"in case {case}")
        raise
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def fuzz() -> SimpleNamespace:
    """The above, for tests."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs Linux to limit memory")
    return SimpleNamespace(cases=CASES, memory=MEMORY, binary=BINARY, text=TEXT, mutant=mutant, limits=limits)
