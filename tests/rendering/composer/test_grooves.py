"""Drummers' takes, from MIDI files made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from scoresep.errors import Damaged, NotFound
from scoresep.rendering.composer.material import drawn, read_grooves

HEAD = "drummer,session,id,style,bpm,beat_type,time_signature,midi_filename,audio_filename,duration,split\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five bars of rock and a fill at 120, and five bars of jazz in 3/4 that do not count."""
    rows = HEAD
    for name, style, kind, metre, bars in (
        ("beat", "rock/halftime", "beat", "4-4", 5),
        ("fill", "rock", "fill", "4-4", 1),
        ("waltz", "jazz", "beat", "3-4", 5),
    ):
        midi = pretty_midi.PrettyMIDI(initial_tempo=120, resolution=960)
        kit = pretty_midi.Instrument(0, is_drum=True)
        for bar in range(bars):
            for step, key in ((0, 36), (4.25, 38), (8, 36), (12, 22)):
                onset = (16 * bar + step) / 8
                kit.notes.append(pretty_midi.Note(100, key, onset, onset + 0.05))
        midi.instruments.append(kit)
        midi.write(str(tmp_path / f"{name}.mid"))
        rows += f"drummer1,s,1,{style},120,{kind},{metre},{name}.mid,,1,train\n"
    (tmp_path / "info.csv").write_text(rows)
    return tmp_path


def test_strokes_are_in_steps_as_they_were_played(folder: Path) -> None:
    takes = read_grooves(folder)
    assert [(take.style, take.fill, len(take.bars)) for take in takes] == [
        ("rock/halftime", False, 5),
        ("rock", True, 1),
    ]
    assert [event.start for event in takes[0].bars[3]] == pytest.approx([0, 4.25, 8, 12], abs=0.02)
    assert [event.pitch for event in takes[0].bars[3]] == [36, 38, 36, 42]


def test_a_drummer_is_drawn_by_style_and_tempo(folder: Path) -> None:
    takes, rng = read_grooves(folder), np.random.default_rng(0)
    assert [take.fill for take in drawn(takes, ("rock",), 110, rng)] == [False, True]
    assert drawn(takes, ("funk",), 110, rng) == () and drawn(takes, ("rock",), 60, rng) == ()


def test_refusals(tmp_path: Path, refused: Callable) -> None:
    with refused(NotFound, tmp_path):
        read_grooves(tmp_path)
    (tmp_path / "info.csv").write_text(HEAD + "d,s,1,rock,120,beat,4-4,gone.mid,,1,train\n")
    with refused(NotFound, tmp_path / "info.csv"):
        read_grooves(tmp_path)


@pytest.mark.parametrize("tempo", ["fast", "0"])
def test_tables_that_are_none(folder: Path, tempo: str, refused: Callable) -> None:
    (folder / "info.csv").write_text(f"{HEAD}d,s,1,rock,{tempo},beat,4-4,beat.mid,,1,train\n")
    with refused(Damaged, folder / "info.csv"):
        read_grooves(folder)
    (folder / "info.csv").write_text(f"{HEAD}d,s,1,rock,120,beat,4-4,../../../etc/passwd,,1,train\n")
    with refused(Damaged, folder / "info.csv"):
        read_grooves(folder)
    (folder / "info.csv").write_text("drummer,time_signature\nd,4-4\n")
    with refused(Damaged, folder / "info.csv"):
        read_grooves(folder)
