"""The groups that the how-to page on instruments shows are what it says; tests/plugins runs those of the others."""

from __future__ import annotations

import re
from pathlib import Path

from shown import ROOT

from scoresep.instruments import group_of, read_instruments


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
