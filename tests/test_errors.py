"""Errors carry their kind, file and remedy, also from one process to another."""

from __future__ import annotations

import copy
import errno
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from scoresep import errors
from scoresep.errors import Damaged, ScoresepError, Unwritable

KINDS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ScoresepError)),
    key=lambda kind: kind.__name__,
)


def error_of(kind: type[ScoresepError]) -> ScoresepError:
    if kind is Unwritable:
        return Unwritable(errno.ENOSPC, os.strerror(errno.ENOSPC), "a b.h5")
    return kind("is cut short", file=Path("a b.h5"), remedy="replace it")


def fail(name: str) -> None:
    raise error_of(getattr(errors, name))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("passed", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_kind_file_and_remedy_survive_a_copy(kind, passed):
    error = error_of(kind)
    back = passed(error)
    assert type(back) is kind and str(back) == str(error)
    assert (back.problem, back.file, back.remedy) == (error.problem, "a b.h5", error.remedy)
    assert back.remedy and str(error) == f"a b.h5: {error.problem}; {error.remedy}"


@pytest.mark.parametrize("kind", [Damaged, Unwritable])
def test_kind_file_and_remedy_survive_a_process_pool(kind, refused):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, refused(kind, "a b.h5") as info:
        pool.submit(fail, kind.__name__).result()
    assert str(info.value) == str(error_of(kind))
    assert not isinstance(info.value, Unwritable) or (info.value.no_room and info.value.errno == errno.ENOSPC)


def test_the_text_without_file_or_remedy():
    assert str(ScoresepError("no track is left")) == "no track is left"
    assert str(ScoresepError("no track is left", remedy="list some")) == "no track is left; list some"
    assert str(ScoresepError("is empty", file="a.wav")) == "a.wav: is empty"


@pytest.mark.parametrize("name", [b"caf\xe9.h5", None])
def test_a_name_of_any_bytes(name):
    error = Unwritable(errno.EACCES, "Permission denied", name)
    assert error.file == (None if name is None else os.fsdecode(name))
