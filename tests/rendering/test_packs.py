"""Folders of sounds: what is found, placed, probed, left out with a reason, and held out by maker."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path, PurePath

import numpy as np
import pytest
import soundfile

from scoresep.errors import Damaged, InvalidValue, NotFound, NothingToDo
from scoresep.rendering.casting import SUBSTITUTES, as_played, draw_packs, suits
from scoresep.rendering.pools import hold_out_makers, pack_pool, read_probes, write_probes
from scoresep.rendering.probing import PROBE_RATE, play_keys, probe_keys, probe_patch, semitones_off
from scoresep.rendering.song import Song
from scoresep.rendering.sources.base import Credit, Patch
from scoresep.rendering.sources.folders import programs_by_name, read_collections
from scoresep.rendering.sources.soundfont import default_soundfont
from scoresep.score.parts import part_from_notes


def _pool(folder: Path, weak: bool = False, seed: int = 0, known=None):
    return pack_pool([folder], weak, seed, 1, lambda *call: None, known or {})


def _patch(label: str, maker: str, programs=(27,), **fields) -> Patch:
    return Patch(
        Path(label), 0, 128 in programs, label, label, "sfz", stands_for=programs, credit=Credit(maker=maker), **fields
    )


# Found and placed


@pytest.mark.parametrize(
    ("path", "programs"),
    [
        ("guitar/nylon.sfz", (24,)),
        ("Nylon Guitar 1.sfz", (24,)),
        ("guitar/lead.sfz", (25, 26, 27)),
        ("my_sounds/AcousticBass.sfz", (32,)),
        ("bass/whatever.sf2", (33, 34)),
        ("Bassoon.sfz", (70,)),
        ("drums/bass drum.sfz", (128,)),
        ("TR-808.sfz", (128,)),
        ("Keys/Rhodes_mk1.sfz", (4, 5)),
        ("piano/grand.sfz", (0, 1)),
        ("EPiano2.sfz", (4, 5)),
        ("violoncello.sfz", (42,)),
        ("something.sfz", ()),
    ],
)
def test_names_tell_programs(path, programs):
    assert programs_by_name(PurePath(path)) == programs


def test_a_user_s_files_are_placed_by_name_or_table_and_the_rest_is_listed(tmp_path, make_pack):
    for name in ("nylon", "thing_one", "thing_two", "odd"):
        (make_pack(tmp_path / name, [0], colour=0.1 * len(name) + 0.01 * ord(name[-1])).parent / "pack.json").unlink()
    (tmp_path / "sounds.toml").write_text(
        '["thing_*/*.sfz"]\nfamily = "bass"\ndirect = true\nmaker = "me"\nlicence = "mine"\n["none*"]\nprograms = [3]\n'
    )
    shutil.copy(default_soundfont(), tmp_path / "Bank.SF2")
    shutil.copytree(tmp_path / "nylon", tmp_path / "copy of nylon")
    (tmp_path / "piano.sfz").symlink_to(tmp_path / "nowhere")
    found = read_collections([tmp_path], weak=False)
    by_label = {patch.label: patch for patch in found.patches}
    assert by_label["copy of nylon/nylon.sfz"].programs == (24,) and not by_label["copy of nylon/nylon.sfz"].direct
    assert by_label["thing_one.sfz"].programs == (33, 34) and by_label["thing_two.sfz"].direct
    assert by_label["thing_one.sfz"].credit == Credit("mine", "", "me")
    assert by_label["Bank.SF2:033"].programs == (33,) and by_label["Bank.SF2:drums:000"].is_drum
    assert by_label["Bank.SF2:033"].credit.attribution == "TimGM6mb"  # as the bank says itself
    assert "same sound as copy of nylon" in found.left_out["nylon.sfz"]
    assert "not a readable SFZ file" in found.left_out["piano.sfz"]
    assert "does not tell what it is" in found.left_out["odd.sfz"]
    assert found.left_out[f"{tmp_path / 'sounds.toml'} [none*]"] == "fits no file"


def test_a_soundfont_that_is_named_itself_is_no_pack(tmp_path, make_pack):
    make_pack(tmp_path / "guitar", [27])
    bank = tmp_path / "bank.sf2"
    shutil.copy(default_soundfont(), bank)
    named = {hashlib.md5(bank.read_bytes()).hexdigest()}
    found = read_collections([tmp_path], False, named)
    assert [patch.label for patch in found.patches] == ["guitar.sfz"] and "bank.sf2:033" in found.left_out


def test_what_is_wrong_with_a_pack_is_said_and_the_others_are_used(tmp_path, make_pack):
    make_pack(tmp_path / "good", [27], "Anna")
    make_pack(tmp_path / "high", [27], "Anna", transposed=12)
    make_pack(tmp_path / "off", [33], "Anna", transposed=-5)
    make_pack(tmp_path / "poor", [27], "Anna", provenance="weak", colour=0.9)
    for name in ("silent", "late", "gone", "nojson", "norange", "family", "list"):
        make_pack(tmp_path / name, [25], "Bert", colour=1.0 + 0.01 * len(name))
    for path in (tmp_path / "silent" / "samples").iterdir():
        soundfile.write(path, np.zeros(5000), 22050)
    for path in (tmp_path / "late" / "samples").iterdir():
        samples, rate = soundfile.read(path)
        soundfile.write(path, np.concatenate([np.zeros(rate // 5), samples]), rate)
    (tmp_path / "gone" / "samples" / "60.wav").unlink()
    for name, text in {
        "nojson": "{",
        "norange": '{"gm_programs": [128, 3]}',
        "family": '{"family": "gitar"}',
        "list": "[1]",
    }.items():
        (tmp_path / name / "pack.json").write_text(text)
    pool, _ = _pool(tmp_path)
    assert [pack.label for pack in pool.all] == ["good.sfz"]
    said = {
        "high.sfz": "12 semitones above",
        "off.sfz": "5 semitones below",
        "poor.sfz": "--weak-packs",
        "silent.sfz": "silent at pitch",
        "late.sfz": "ms late",
        "gone.sfz": "60.wav is missing",
        "nojson.sfz": "pack.json: not readable JSON",
        "norange.sfz": "drum kit",
        "family.sfz": "did you mean 'guitar'",
        "list.sfz": "not a table",
    }
    left_out = dict(pool.left_out)
    assert left_out.keys() == said.keys()
    for label, words in said.items():
        assert words in left_out[label]
    with_weak, _ = _pool(tmp_path, weak=True)
    assert {pack.label for pack in with_weak.all} == {"good.sfz", "poor.sfz"}
    assert next(pack for pack in with_weak.all if pack.label == "poor.sfz").credit.weak


def test_folders_without_sounds_are_refused(tmp_path, refused):
    with refused(NotFound, tmp_path / "none"):
        _pool(tmp_path / "none")
    with refused(NothingToDo, tmp_path):
        _pool(tmp_path)
    (tmp_path / "odd.sfz").write_text("nothing")
    with refused(NothingToDo) as error:
        _pool(tmp_path)
    assert "odd.sfz" in str(error.value)
    for table, kind, named in (
        ("[", Damaged, "TOML"),
        ("a = 1", InvalidValue, "'a'"),
        ('["a"]\nfamly = "bass"', InvalidValue, "'family'"),
        ('["a"]\nprograms = ["x"]', InvalidValue, "programs"),
    ):
        (tmp_path / "sounds.toml").write_text(table)
        with refused(kind, tmp_path / "sounds.toml") as error:
            _pool(tmp_path)
        assert named in str(error.value)


# Probed


def test_every_source_plays_its_written_pitch(sounds):
    pool, _ = _pool(sounds)
    assert len(pool.all) == 11
    for pack in pool.all:
        if not pack.is_drum:
            keys = probe_keys(pack)
            off = [semitones_off(clip, key) for clip, key in zip(play_keys(pack, keys), keys, strict=True)]
            np.testing.assert_allclose(off, 0, atol=0.3)


@pytest.mark.parametrize("pitch", [29, 45, 60, 76, 88])
def test_the_pitch_of_a_tone_without_its_fundamental(pitch):
    time = np.arange(int(0.42 * PROBE_RATE)) / PROBE_RATE
    hertz = 440 * 2 ** ((pitch - 69 + 0.2) / 12)
    sound = sum(np.sin(2 * np.pi * n * hertz * time) / n for n in range(2, 7) if n * hertz < PROBE_RATE / 2)
    assert semitones_off(sound, pitch) == pytest.approx(0.2, abs=0.1)
    assert semitones_off(np.random.default_rng(0).standard_normal(len(time)), pitch) == 0


def test_range_and_sustain_are_found(tmp_path, make_pack):
    make_pack(tmp_path / "long", [27], lowest=48, highest=60)
    make_pack(tmp_path / "short", [28], colour=20)
    pool, _ = _pool(tmp_path)
    long, short = (next(p for p in pool.all if p.label == f"{name}.sfz") for name in ("long", "short"))
    assert long.keys == frozenset(range(45, 63)) and long.sustain > 1
    assert short.sustain == pytest.approx(np.log(10**1.5) / 20, abs=0.1)  # 30 dB at exp(-20 t)


def test_what_was_probed_is_kept_and_a_damaged_file_is_as_none(tmp_path, sounds):
    pool, found = _pool(sounds)
    write_probes(tmp_path, found)
    calls = []
    again, _ = pack_pool([sounds], False, 0, 1, lambda *call: calls.append(call), read_probes(tmp_path))
    assert again == pool and not calls
    for text in ("{", "[]", '{"version": 1, "sounds": {"a": {"keys": ["x"], "sustain": 1}}}', '{"version": 0}'):
        (tmp_path / "probes.json").write_text(text)
        assert read_probes(tmp_path) == {}


# Held out


def test_no_maker_is_on_both_sides(sounds):
    pools = [_pool(sounds, seed=seed)[0] for seed in range(6)]
    for pool in pools:
        training, test = ({p.credit.maker for p in side} for side in (pool.training, pool.test))
        assert test and not training & test
        assert not ({"Dora", "Carl / Studio (Dora)"} & training and {"Dora", "Carl / Studio (Dora)"} & test)
        assert pool.of("train") == pool.of("validation") == pool.training and pool.of("test") == pool.test
    assert pools[0] == _pool(sounds, seed=0)[0]
    assert len({pool.test for pool in pools}) > 1


def test_what_shares_a_recording_is_not_parted_and_a_group_of_one_maker_is_for_training():
    files = [frozenset({f"{n // 2}.wav"}) for n in range(8)]
    guitars = [_patch(f"g{n}", "", material=files[n]) for n in range(8)]
    basses = [_patch(f"b{n}", "Anna", (33,)) for n in range(3)]
    for seed in range(8):
        training, test = hold_out_makers([*guitars, *basses], seed)
        sides = [{pack.label for pack in side} for side in (training, test)]
        assert sides[1] and sides[1] <= {pack.label for pack in guitars}
        assert all((f"g{n}" in sides[1]) == (f"g{n + 1}" in sides[1]) for n in range(0, 8, 2))


# Cast


def test_a_pack_plays_what_it_can_and_others_are_not_asked():
    song = part_from_notes([(0.0, 2.0, 60, 90), (1.0, 3.0, 40, 90)], program=26)
    plain = _patch("plain", "", (27,))
    assert suits(plain, [song]) and suits(_patch("own", "", (26,)), [song])
    assert not suits(_patch("high", "", (27,), keys=frozenset(range(50, 90))), [song])
    assert not suits(_patch("muted", "", (28,), sustain=0.3), [song])
    assert not suits(_patch("bass", "", (33,)), [song])
    driven = part_from_notes([(0.0, 0.2, 60, 90)], program=30)
    assert not suits(plain, [driven]) and suits(_patch("di", "", (27,), direct=True), [driven])
    sitar = part_from_notes([(0.0, 1.0, 60, 90)], program=104)
    assert suits(_patch("sitar", "", (104,)), [sitar]) and not suits(_patch("banjo", "", (105,)), [sitar])


def test_a_kit_plays_the_nearest_drum_that_it_has_and_never_loses_a_stroke():
    kit = _patch("kit", "", (128,), keys=frozenset({36, 38, 42, 49, 45, 51}))
    rock = part_from_notes([(n, n + 0.1, key, 90) for n, key in enumerate((35, 40, 46, 57, 48, 59))], is_drum=True)
    conga = part_from_notes([(0.0, 0.1, 63, 90)], is_drum=True)
    assert suits(kit, [rock]) and not suits(kit, [conga]) and not suits(kit, [rock, conga])
    assert as_played(rock, kit).pitch.tolist() == [36, 38, 42, 49, 45, 51]
    assert all(key not in nearest for key, nearest in SUBSTITUTES.items())


def test_the_share_is_kept_and_parts_of_one_program_share_a_pack():
    packs = [_patch(f"g{n}", "") for n in range(4)]
    parts = [part_from_notes([(0.0, 1.0, 60, 90)], program=program) for program in (25, 25, 26, 27)]
    songs = [draw_packs(Song(tuple(parts), 2.0), packs, 0.7, np.random.default_rng(n)) for n in range(300)]
    assert all(first is second for first, second, *_ in songs)
    assert all(len({id(p) for p in drawn[1:] if p}) == sum(p is not None for p in drawn[1:]) for drawn in songs)
    share = np.mean([p is not None for drawn in songs for p in drawn[1:]])
    assert share == pytest.approx(0.7, abs=0.05)
    assert draw_packs(Song(tuple(parts), 2.0), packs, 0.0, np.random.default_rng(0)) == [None] * 4
    assert draw_packs(Song(tuple(parts), 2.0), [], 1.0, np.random.default_rng(0)) == [None] * 4


def test_a_patch_that_no_longer_loads_is_a_reason_and_no_crash(sounds, tmp_path):
    shutil.copytree(sounds / "guitar" / "guitar0", tmp_path / "guitar")
    (patch,) = read_collections([tmp_path], False).patches
    shutil.rmtree(tmp_path / "guitar" / "samples")
    assert "guitar0.sfz" in str(probe_patch(patch))
    assert json.loads((tmp_path / "guitar" / "pack.json").read_text())["maker"] == "Anna"
