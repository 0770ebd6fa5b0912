"""Set up the project's virtual environment. Used by `pipelines/demo.py` and `tools/test.py`; standard library only.

`.venv` in the project's root is made if it is missing and filled with the pinned packages of `constraints.txt`. What is
there is reused: a stamp remembers what was installed, and a changed `pyproject.toml` or `constraints.txt` renews it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv"
OLDEST = (3, 11)


def ensure(extra: str = "") -> Path:
    """Make sure that scoresep and the packages of `extra` are installed; returns the environment's Python."""
    if sys.version_info < OLDEST:
        sys.exit(f"error: scoresep needs Python {OLDEST[0]}.{OLDEST[1]} or newer, this is {sys.version.split()[0]}")
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = ENVIRONMENT / f"installed-{extra or 'base'}"
    if python.exists() and stamp.exists() and stamp.read_text() == fingerprint():
        return python
    print(f"setting up {ENVIRONMENT} (the first time takes one to three minutes) ...", flush=True)
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    wanted = f"{ROOT}[{extra}]" if extra else str(ROOT)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run([*command, "--constraint", ROOT / "constraints.txt", "--editable", wanted], check=False)
    if result.returncode:
        sys.exit(f"error: packages could not be installed into {ENVIRONMENT}; see pip's message above")
    stamp.write_text(fingerprint())
    return python


def fingerprint() -> str:
    """Identity of what should be installed."""
    content = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    return hashlib.sha256(content + sys.version.encode()).hexdigest()
