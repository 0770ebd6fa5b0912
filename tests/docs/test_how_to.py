"""The groups and the labels that how-to pages show are what they say; tests/plugins runs what others show."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from shown import ROOT

from scoresep.cache.reader import Cache
from scoresep.instruments import group_of, read_instruments
from scoresep.score.weak_labels import ABSENT, FIRST_SET, PRESENT
from scoresep.training.log import read_log


def test_groups_of_ones_own(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "instruments.md").read_text("utf-8")
    (shown,) = re.findall(r"^```toml\n# groups.toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "groups.toml").write_text(shown, "utf-8")
    groups = read_instruments(tmp_path / "groups.toml")
    names = [group.name for group in groups]
    assert names == ["keys", "bowed", "bass", "drums", "mallets", "other"]
    assert [group.kind for group in groups[3:]] == ["percussive", "percussive", "other"] and groups[0].midi_program == 4
    parts = {
        (16, False, ""): "keys",
        (73, False, "VIOLIN 1"): "bowed",
        (0, True, ""): "drums",
        (60, False, ""): "other",
    }
    for (program, drum, name), group in parts.items():
        assert names[group_of(program, drum, groups, name)] == group


@pytest.mark.integration
def test_weak_labels_and_scores_in_one_training(command, make, tmp_path, monkeypatch) -> None:
    """The page's labels and commands, with two steps a stage of a tiny network: what is known has a loss."""
    page = (ROOT / "docs" / "how-to" / "weak-labels.md").read_text("utf-8")
    (shown,) = re.findall(r"^`songs/live.csv`:\n\n```csv\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    prepare, train = re.findall(r"^    (scoresep .*)$", page, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    piano, bass = [(0.2, 1.4, 60), (1.6, 2.9, 64), (3.1, 5.0, 67)], [(0.5, 2.0, 40), (2.6, 5.5, 43)]
    for name, notes, program in (("one", piano, 0), ("two", bass, 33), ("live", piano + bass, 0)):
        make.midi(Path("songs") / f"{name}.mid", notes, program)
        soundfile.write(Path("songs") / f"{name}.wav", make.play(notes, 6.0), make.rate)
    Path("songs/live.mid").unlink()
    Path("songs/live.csv").write_text(shown, "utf-8")
    status, told, said = command(f"{prepare} --jobs 1")
    assert status == 0 and "flagged live: weak labels instead of a score" in told, said
    cache = Cache("cache.h5")
    known, at = cache.slice("weak", 0), cache.grid.frame_at
    assert cache.tracks["id"][0] == "live" and known[at(1.0)].tolist() == [PRESENT, ABSENT, 0]
    assert known[at(3.5), 0] >= FIRST_SET and known[at(5.7)].tolist() == [ABSENT, PRESENT, 0]
    settings = [*make.tiny, "data.clip_frames=96", "stage1.steps=2", "stage2.steps=2", "stage3.steps=2"]
    status, _, said = command(" ".join([train, *(f"--set {setting}" for setting in settings)]))
    assert status == 0, said
    records = [record for record in read_log(Path("run")) if record["kind"] == "train"]
    for name, stages in (("transcriptor/note_set", {1, 3}), ("separator/absence", {2, 3})):
        found = {record["stage"]: record[name] for record in records if name in record}
        assert found.keys() == stages and all(np.isfinite([*found.values()])) and min(found.values()) > 0
