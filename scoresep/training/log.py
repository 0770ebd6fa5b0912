"""The record of a run: JSON lines and TensorBoard. Called by the training loop; read by people and by reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scoresep.files import write_text

LOG_NAME = "log.jsonl"


class RunLog:
    """Losses of a run, appended as they come.

    Args:
        folder: the run's folder; gets `log.jsonl` and `tensorboard/`.
        progress: called with (title, steps done, steps in all, losses) for the terminal.
        note: called with a line of text for the terminal.
    """

    def __init__(
        self,
        folder: Path,
        progress: Callable[[str, int, int, Mapping[str, float]], None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only training wants it

        self.folder = folder
        self.progress = progress or (lambda title, done, total, losses: None)
        self.note = note or (lambda text: None)
        folder.mkdir(parents=True, exist_ok=True)
        self._board = SummaryWriter(str(folder / "tensorboard"))
        self._lines = (folder / LOG_NAME).open("a", encoding="utf-8")

    def rewind(self, stage: int, step: int) -> None:
        """Forget records of `stage` after `step` and of later stages: they will be made again."""
        self._lines.close()
        kept = [record for record in read_log(self.folder) if (record["stage"], record["step"]) <= (stage, step)]
        write_text(self.folder / LOG_NAME, "".join(json.dumps(record) + "\n" for record in kept))
        self._lines = (self.folder / LOG_NAME).open("a", encoding="utf-8")

    def record(self, kind: str, stage: int, step: int, values: Mapping[str, float]) -> None:
        """Write one record; `kind` is `train` or `validation`, `values` are floats by slash-keyed name."""
        self._lines.write(json.dumps({"kind": kind, "stage": stage, "step": step, **values}) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._board.add_scalar(f"stage{stage}/{kind}/{name}", value, step)

    def close(self) -> None:
        self._lines.close()
        self._board.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """All records of a run; a last line that a crash cut short is left out."""
    records = []
    try:
        lines = (folder / LOG_NAME).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records
