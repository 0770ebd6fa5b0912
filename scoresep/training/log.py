"""The record of a run: JSON lines and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scoresep.errors import ScoresepError
from scoresep.files import write_text, writing

LOG_NAME, TIMING_NAME = "log.jsonl", "timing.jsonl"
"""What was computed, the same for the same run; and how long it took, which never is."""


class RunLog:
    """Losses of a run, appended as they come.

    Args:
        folder: the run's folder; gets `log.jsonl`, `timing.jsonl` and `tensorboard/`.
        progress: called with (title, steps done, steps in all, losses) for the terminal.
        note: called with a line of text for the terminal.

    Raises:
        Unwritable: the disk refuses, now or in any method.
    """

    def __init__(
        self,
        folder: Path,
        progress: Callable[[str, int, int, Mapping[str, float]], None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only training wants it

        check_name(folder)
        self.folder = folder
        self.progress = progress or (lambda title, done, total, losses: None)
        self.note = note or (lambda text: None)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._board = SummaryWriter(str(folder / "tensorboard"))
            self._files = {name: (folder / name).open("a", encoding="utf-8") for name in (LOG_NAME, TIMING_NAME)}

    def rewind(self, stage: int, step: int) -> None:
        """Forget records of `stage` after `step`: they will be made again."""
        for name, file in self._files.items():
            file.close()
            entries = read_log(self.folder, name)
            kept = [entry for entry in entries if entry["stage"] != stage or entry["step"] <= step]
            write_text(self.folder / name, "".join(json.dumps(entry) + "\n" for entry in kept))
            self._files[name] = (self.folder / name).open("a", encoding="utf-8")

    def record(self, kind: str, stage: int, step: int, values: Mapping[str, float]) -> None:
        """Write one record; `kind` is `train` or `validation`, `values` are floats by slash-keyed name."""
        self._write(LOG_NAME, {"kind": kind, "stage": stage, "step": step, **values})
        self._show(f"stage{stage}/{kind}", values, step)

    def timing(self, stage: int, step: int, milliseconds: Mapping[str, float]) -> None:
        """Write down how long the steps since the last call took, by part (`timing.PARTS`) and in all (`step`)."""
        if not milliseconds:
            return
        shares = {f"ms/{name}": round(value, 3) for name, value in milliseconds.items()}
        shares["waiting"] = round(milliseconds["waiting"] / max(milliseconds["step"], 1e-9), 4)
        self._write(TIMING_NAME, {"stage": stage, "step": step, **shares})
        self._show(f"stage{stage}/time", shares, step)

    def _write(self, name: str, entry: Mapping[str, Any]) -> None:
        with writing(self.folder / name):
            self._files[name].write(json.dumps(entry) + "\n")
            self._files[name].flush()

    def _show(self, group: str, values: Mapping[str, float], step: int) -> None:
        with writing(self.folder / "tensorboard"):
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        with writing(self.folder), ExitStack() as all_of_them:
            for written in (self._board, *self._files.values()):
                all_of_them.callback(written.close)


def check_name(folder: Path) -> None:
    """Refuse a folder whose name is no text, which TensorBoard cannot write to."""
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError as fault:
        raise ScoresepError(f"the name of the run's folder {folder} is no UTF-8; choose another --run") from fault


class NoLog(RunLog):
    """What processes beside the first one record: nothing."""

    def __init__(self) -> None:
        self.progress = lambda title, done, total, losses: None
        self.note = lambda text: None

    def rewind(self, stage: int, step: int) -> None:
        pass

    def record(self, kind: str, stage: int, step: int, values: Mapping[str, float]) -> None:
        pass

    def timing(self, stage: int, step: int, milliseconds: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


def read_log(folder: Path, name: str = LOG_NAME) -> list[dict[str, Any]]:
    """All records of a run's log; a last line that a crash cut short is left out."""
    records = []
    try:
        lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return records
