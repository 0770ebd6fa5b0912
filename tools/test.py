"""Set up what is missing, then check style and types and run all tests: `python3 tools/test.py [pytest arguments]`."""

from __future__ import annotations

import subprocess
import sys

from environment import ROOT, ensure


def main() -> int:
    """Exit status of the first check that fails, else 0."""
    python = ensure("test")
    checks = (
        ["ruff", "check"],
        ["ruff", "format", "--check", "--quiet"],
        ["mypy"],
        ["pytest", *sys.argv[1:]],
    )
    for check in checks:
        status = subprocess.run([python, "-m", *check], cwd=ROOT, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
