"""Compiled functions work wherever they are, and are kept where that can be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
MODULE = """
from scoresep.compiled import cache_place, compiled

@compiled(nogil=True)
def twice(x):
    return 2 * x

print(twice(21), sum(twice.stats.cache_hits.values()), bool(cache_place(twice)))
"""


@pytest.fixture
def kept(tmp_path: Path):
    """Runs a module with a compiled function; returns its result, how often it came from disk, whether it is kept."""
    (tmp_path / "module.py").write_text(MODULE)

    def run(**environment: str) -> list[str]:
        values = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept"), **environment}
        command = [sys.executable, str(tmp_path / "module.py")]
        ended = subprocess.run(command, env=values, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0 and not ended.stderr, ended
        return ended.stdout.split()

    return run


def test_what_was_compiled_is_kept(kept):
    assert kept() == ["42", "0", "True"]
    assert kept() == ["42", "1", "True"]


def test_no_place_to_keep_it(kept):
    nowhere = {"NUMBA_CACHE_DIR": "/dev/null", "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    assert kept(**nowhere) == ["42", "0", "False"]


@pytest.mark.parametrize("content", [b"", b"nothing of numba's", b"\x80\x05K\x01."])
def test_a_damaged_file_is_as_good_as_none(kept, tmp_path, content):
    kept()
    for path in (tmp_path / "kept").rglob("*.nb?"):
        path.write_bytes(content)
    assert kept() == ["42", "0", "True"]
    assert kept() == ["42", "1", "True"]


def test_a_disk_that_takes_no_more(kept, tmp_path):
    """A limit on the size of files stands for a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        assert kept() == ["42", "0", "True"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]


def test_commands_need_no_home_and_no_place_to_write_to(tmp_path):
    """As in a container that runs as another user than the one who installed."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("to become a user without a home takes an administrator, and setpriv")
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder != Path(folder.anchor) and folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o055)
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    package = str(Path(__file__).parents[1])
    environment = ["env", "-i", f"PATH={os.environ['PATH']}", "HOME=/nonexistent", f"PYTHONPATH={package}"]
    command = [*become, *environment, sys.executable, "-m", "scoresep", "doctor"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "No module named" in ended.stderr or "Permission" in ended.stderr:
        pytest.skip("the package cannot be read by others here")
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended
    assert "NUMBA_CACHE_DIR" in ended.stdout or "is kept in" in ended.stdout
