"""The whole way as users type it: three lines from a corpus to figures."""

from __future__ import annotations

import json

import pytest

from scoresep.models.checkpoint import load_checkpoint

TINY = (
    "--set network.channels=8 --set network.hidden=16 --set network.blocks=2 --set network.repeats=1 "
    "--set data.clip_frames=32 --set data.batch_size=4"
)


@pytest.mark.integration
def test_three_lines_from_a_corpus_to_figures(scoresep, tmp_path, corpus):
    """In one folder, with SLAKH_ROOT set."""
    lines = (
        "scoresep prepare slakh --out cache.h5",
        f"scoresep train --stage 3 --steps 2 {TINY}",
        "scoresep evaluate ckpt.pt",
    )
    for line in lines:
        ended = scoresep(line, SLAKH_ROOT=str(corpus))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert ended.stderr == "", ended.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"cache.h5", "cache.shards", "run", "ckpt.pt", "metrics.json"}
    summary = json.loads((tmp_path / "metrics.json").read_text())["summary"]
    for instrument in ("piano", "guitar", "bass"):
        assert {"si_sdr", "si_sdr_improvement"} <= set(summary["separation"][instrument])
        assert {"frame_f1", "note_f1"} <= set(summary["transcription"][instrument])
    result = load_checkpoint(tmp_path / "ckpt.pt")
    assert (result.stage, result.steps, result.complete) == (3, 2, True)
