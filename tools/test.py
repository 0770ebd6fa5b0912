"""Set up what is missing, then check style and types and run all tests: `python3 tools/test.py [pytest arguments]`."""

from __future__ import annotations

import os
import subprocess
import sys

from environment import ROOT, ensure

PARALLEL = ("--numprocesses=auto", "--maxprocesses=8", "--dist=loadfile")
"""Files of tests are shared out to a process a core; `-n 0` runs all in one."""


def main() -> int:
    """Exit status of the first check that fails, else 0."""
    python = ensure("test")
    checks = (
        ["ruff", "check"],
        ["ruff", "format", "--check", "--quiet"],
        ["mypy"],
        ["pytest", *PARALLEL, *sys.argv[1:]],
    )
    for check in checks:
        environment = {"OMP_NUM_THREADS": "1", **os.environ}  # the cores are taken
        status = subprocess.run([python, "-m", *check], cwd=ROOT, env=environment, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
