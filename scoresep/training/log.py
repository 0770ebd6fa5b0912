"""The record of a run: JSON lines and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scoresep.errors import InvalidValue
from scoresep.files import make_folder, write_text, writing

LOG_NAME, TIMING_NAME = "log.jsonl", "timing.jsonl"
"""What was computed, the same for the same run; and how long it took, which never is."""


class RunLog:
    """Losses of a run, appended as they come.

    Args:
        folder: the run's folder; gets `log.jsonl`, `timing.jsonl` and `tensorboard/`. None records nothing.
        progress: called with (title, steps done, steps in all, losses) for the terminal.
        note: called with a line of text for the terminal.

    Raises:
        InvalidValue: the folder's name is no text, so TensorBoard cannot write to it.
        Unwritable: the disk refuses, now or in any method.
    """

    def __init__(
        self,
        folder: Path | None,
        progress: Callable[[str, int, int, Mapping[str, float]], None] = lambda title, done, total, losses: None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder, self.progress, self.note = folder, progress, note
        if folder is None:
            return
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        try:
            str(folder.absolute()).encode()
        except UnicodeEncodeError as fault:
            raise InvalidValue(
                "the run's folder has no UTF-8 name", file=folder, remedy="choose another --run"
            ) from fault
        with writing(folder):
            make_folder(folder)
            self._board = SummaryWriter(str(folder / "tensorboard"))
            self._files = {name: (folder / name).open("a", encoding="utf-8") for name in (LOG_NAME, TIMING_NAME)}

    def rewind(self, stage: int, step: int) -> None:
        """Forget records of `stage` after `step`: they will be made again."""
        if self.folder is None:
            return
        for name, file in self._files.items():
            file.close()
            entries = read_log(self.folder, name)
            kept = [entry for entry in entries if entry["stage"] != stage or entry["step"] <= step]
            write_text(self.folder / name, "".join(json.dumps(entry) + "\n" for entry in kept))
            self._files[name] = (self.folder / name).open("a", encoding="utf-8")

    def record(self, kind: str, stage: int, step: int, values: Mapping[str, float]) -> None:
        """Write one record; `kind` is `train` or `validation`, `values` are floats by slash-keyed name."""
        self._write(LOG_NAME, {"kind": kind, "stage": stage, "step": step}, values, f"stage{stage}/{kind}")

    def timing(self, stage: int, step: int, waiting: float, whole: float) -> None:
        """Write down the mean seconds of the last steps: until a batch was there, and in all."""
        times = {"ms/waiting": round(1000 * waiting, 3), "ms/step": round(1000 * whole, 3)}
        times["waiting"] = round(waiting / max(whole, 1e-9), 4)
        self._write(TIMING_NAME, {"stage": stage, "step": step}, times, f"stage{stage}/time")

    def _write(self, name: str, head: Mapping[str, Any], values: Mapping[str, float], group: str) -> None:
        if self.folder is None:
            return
        with writing(self.folder / name):
            self._files[name].write(json.dumps({**head, **values}) + "\n")
            self._files[name].flush()
        with writing(self.folder / "tensorboard"):
            for key, value in values.items():
                self._board.add_scalar(f"{group}/{key}", value, head["step"])

    def close(self) -> None:
        """Write out what is left."""
        if self.folder is None:
            return
        with writing(self.folder), ExitStack() as stack:
            for close in (self._board.close, *(file.close for file in self._files.values())):
                stack.callback(close)


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
