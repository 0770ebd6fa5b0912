"""The files that the how-to pages on datasets and instrument groups show do what the pages say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import soundfile
from shown import ROOT

from scoresep.cache.reader import Cache
from scoresep.instruments import group_of, read_instruments


def files_of(page: str, folder: Path) -> Path:
    """Write the files that a page shows, each of which begins with its name, to a folder."""
    text = (ROOT / "docs" / "how-to" / page).read_text("utf-8")
    for name, content in re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        (folder / name).write_text(content, "utf-8")
    return folder


def test_groups_of_ones_own(tmp_path: Path) -> None:
    groups = read_instruments(files_of("instruments.md", tmp_path) / "groups.toml")
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


def test_a_dataset_of_ones_own(tmp_path: Path, make, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        notes = [(0.1, 0.5, 60 + number), (0.5, 0.9, 64)]
        make.midi(tmp_path / "takes" / f"take{number}" / "score.mid", notes)
        soundfile.write(tmp_path / "takes" / f"take{number}" / "mix.wav", make.play(notes, 1.0), make.rate)
    (tmp_path / "takes" / "take6").mkdir()
    monkeypatch.chdir(files_of("dataset.md", tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    runpy.run_path("prepare_takes.py")
    cache = Cache(tmp_path / "cache.h5")
    assert [instrument.name for instrument in cache.instruments] == ["piano", "other"] and not cache.has_stems
    assert sum(len(cache.rows(split)) for split in ("train", "validation", "test")) == 6
