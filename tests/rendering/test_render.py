"""The rendered corpus: Slakh's layout and levels, determinism, hold-out, resuming, users' MIDI, wrong inputs."""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
import soundfile
import yaml

from scoresep.errors import AlreadyExists, Damaged, InvalidValue, Mismatch, NotFound, NothingToDo, ScoresepError
from scoresep.grid import Grid
from scoresep.rendering import render
from scoresep.rendering.midi_songs import read_song
from scoresep.rendering.render import RenderSettings, render_corpus, split_sequence, summary
from scoresep.rendering.song import BEYOND, CUT, NO_KEY, SILENT, UNWANTED, Song
from scoresep.rendering.sources.soundfont import default_soundfont, render_part
from scoresep.rendering.track import integrated_loudness
from scoresep.score.parts import SHORTEST_NOTE, part_from_notes, read_midi
from scoresep.score.piano_roll import rasterise

pytestmark = pytest.mark.integration
SMALL = RenderSettings(songs=4, seconds=6.0, sample_rate=16000, seed=5)
REAL = Path(__file__).parents[3] / "shared" / "data" / "slakh-clip" / "slakh2100_flac_redux" / "train" / "Track00001"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("rendered") / "corpus"
    render_corpus(out, SMALL, jobs=1)
    return out


def _tracks(corpus: Path) -> list[Path]:
    return sorted(corpus.glob("*/Track*"))


def _metadata(track: Path) -> dict:
    return yaml.safe_load((track / "metadata.yaml").read_text())


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_layout(corpus):
    tracks = _tracks(corpus)
    assert [track.parent.name for track in sorted(tracks, key=lambda t: t.name)][:3] == ["train", "validation", "test"]
    for track in tracks:
        assert {path.name for path in track.iterdir()} == {"metadata.yaml", "mix.flac", "all_src.mid", "MIDI", "stems"}
        metadata = _metadata(track)
        assert metadata["audio_dir"] == f"{track.name}/stems" and metadata["midi_dir"] == f"{track.name}/MIDI"
        assert {path.stem for path in (track / "stems").iterdir()} == set(metadata["stems"])
        assert {path.stem for path in (track / "MIDI").iterdir()} == set(metadata["stems"])
        assert len(pretty_midi.PrettyMIDI(str(track / "all_src.mid")).instruments) == len(metadata["stems"])
        for name, stem in metadata["stems"].items():
            assert not stem["plugin_name"].endswith(".nkm")
            (instrument,) = pretty_midi.PrettyMIDI(str(track / "MIDI" / f"{name}.mid")).instruments
            assert instrument.is_drum == stem["is_drum"]
            assert (128 if instrument.is_drum else instrument.program) == stem["program_num"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clip is not beside the checkout")
def test_metadata_has_the_keys_and_types_of_the_real_data_set(corpus):
    def shape(metadata: dict) -> tuple[dict, dict]:
        stem = next(stem for stem in metadata["stems"].values() if stem["audio_rendered"])
        outer = {key: type(value) for key, value in metadata.items()}
        return outer, {key: type(value) for key, value in stem.items()}

    real = _metadata(REAL)
    assert shape(_metadata(_tracks(corpus)[0])) == shape(real)
    ours, theirs = _tracks(corpus)[0], REAL
    assert soundfile.info(ours / "mix.flac").subtype == soundfile.info(theirs / "mix.flac").subtype
    assert soundfile.info(ours / "mix.flac").channels == soundfile.info(theirs / "mix.flac").channels


def test_mix_is_the_sum_of_the_stems_and_loudness_is_as_the_metadata_say(corpus):
    for track in _tracks(corpus):
        metadata = _metadata(track)
        mix, rate = soundfile.read(track / "mix.flac", dtype="int16")
        stems = [soundfile.read(path, dtype="int16")[0] for path in sorted((track / "stems").iterdir())]
        assert rate == 16000 and len(mix) == 6 * 16000
        np.testing.assert_array_equal(mix, np.sum(stems, axis=0, dtype=np.int32))
        assert 0.8 < np.abs(mix / 32768).max() <= 10 ** (metadata["target_peak"] / 20) + 1e-3
        gain = 20 * np.log10(metadata["overall_gain"])
        for stem in stems:
            # Levels near a gate of the measure can fall to its other side when the gain changes: some 0.1 dB.
            assert integrated_loudness(stem / 32768, rate) == pytest.approx(-13.0 + gain, abs=0.2)


def test_same_settings_same_bytes_for_any_number_of_jobs(corpus, tmp_path):
    render_corpus(tmp_path / "two", SMALL, jobs=2)
    assert _digests(tmp_path / "two") == _digests(corpus)


def test_another_seed_gives_other_music(corpus, tmp_path):
    render_corpus(tmp_path / "other", RenderSettings(songs=1, seconds=6.0, sample_rate=16000, seed=6), jobs=1)
    uuids = {_metadata(track)["UUID"] for track in _tracks(corpus)}
    assert len(uuids) == 4 and _metadata(_tracks(tmp_path / "other")[0])["UUID"] not in uuids


def test_a_corpus_grows_and_what_is_there_is_reused(corpus, tmp_path):
    out = tmp_path / "grown"
    report = render_corpus(out, RenderSettings(songs=2, seconds=6.0, sample_rate=16000, seed=5), jobs=1)
    assert (report.made, report.reused, report.tracks) == (2, 0, {"train": 1, "validation": 1, "test": 0})
    stale = out / "train" / ".Track00004.tmp"
    stale.mkdir()
    calls = []
    report = render_corpus(out, SMALL, jobs=1, progress=lambda *call: calls.append(call))
    assert (report.made, report.reused, report.seconds) == (2, 2, 24.0)
    assert calls == [(2, 4, "rendering"), (3, 4, "rendering"), (4, 4, "rendering")]
    assert _digests(out) == _digests(corpus)


def test_an_interruption_leaves_only_whole_tracks(corpus, tmp_path, monkeypatch):
    out, real, written = tmp_path / "cut", soundfile.write, []

    def interrupted(file, *arguments, **options):
        written.append(file)
        if len(written) == 8:
            raise KeyboardInterrupt
        real(file, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            render_corpus(out, SMALL, jobs=1)
    assert len(_tracks(out)) == 1 and not list(out.glob("*/.*"))
    render_corpus(out, SMALL, jobs=1)
    assert _digests(out) == _digests(corpus)


def test_only_test_songs_use_the_held_out_patches(tmp_path):
    settings = RenderSettings(songs=9, seconds=2.0, sample_rate=8000, seed=1)
    report = render_corpus(tmp_path / "c", settings, jobs=1)
    held = {label for labels in report.held_out.values() for label in labels}
    assert {"piano", "guitar", "bass", "drums"} <= set(report.held_out)
    for track in _tracks(tmp_path / "c"):
        used = {stem["plugin_name"] for stem in _metadata(track)["stems"].values()} - {"None"}
        assert (used <= held) if track.parent.name == "test" else not used & held


def test_splits_follow_the_shares_and_are_stable():
    sequence = split_sequence(60, (0.7, 0.15, 0.15))
    assert [sequence.count(split) for split in render.SPLITS] == [42, 9, 9]
    assert sequence[:17] == split_sequence(17, (0.7, 0.15, 0.15))
    assert split_sequence(3, (0.9, 0.05, 0.05)) == list(render.SPLITS)


def test_mirdata_reads_a_track(corpus):
    slakh = pytest.importorskip("mirdata.datasets.slakh")
    track = corpus / "train" / "Track00001"
    home = corpus.parent
    relative = track.relative_to(home).as_posix()
    names = sorted(_metadata(track)["stems"])
    paths = {"metadata": [f"{relative}/metadata.yaml", None], "mix": [f"{relative}/mix.flac", None]}
    paths["midi"] = [f"{relative}/all_src.mid", None]
    tracks = {
        f"Track00001-{name}": {
            "audio": [f"{relative}/stems/{name}.flac", None],
            "midi": [f"{relative}/MIDI/{name}.mid", None],
            "metadata": paths["metadata"],
        }
        for name in names
    }
    multitracks = {"Track00001": {"tracks": list(tracks), **paths}}
    index = {"version": "2100-redux", "tracks": tracks, "multitracks": multitracks}
    first = slakh.Track("Track00001-S00", str(home), "slakh", index, dict)
    assert (first.split, first.mixing_group, first.is_drum) == ("train", "piano", False)
    assert first.audio[1] == 16000 and len(first.notes.intervals) > 3 and first.integrated_loudness < 0
    multi = slakh.MultiTrack("Track00001", str(home), "slakh", index, slakh.Track, dict)
    assert (multi.split, multi.normalized) == ("train", True) and len(multi.uuid) == 32
    submixes, groups = multi.get_submix_by_group(["piano", "guitar", "bass", "drums"])
    assert groups["piano"] == ["Track00001-S00"] and submixes["bass"] is not None
    np.testing.assert_allclose(multi.get_target(list(tracks), average=False), multi.audio[0][None], atol=1e-4)


# Users' MIDI


def _write_midi(path: Path, seed: int, seconds: float = 8.0, start: float = 0.0) -> None:
    """Piano throughout; guitar and bass from `start` on; a pedal, a bend and an effect."""
    rng = np.random.default_rng(seed)
    midi = pretty_midi.PrettyMIDI()
    for program, low, begin in ((1, 60, 0.0), (30, 52, start), (38, 33, start), (104, 60, start)):
        instrument = pretty_midi.Instrument(program)
        for onset in np.arange(begin, seconds - 0.5, 0.5):
            instrument.notes.append(pretty_midi.Note(90, int(low + rng.integers(12)), onset, onset + 0.25))
        midi.instruments.append(instrument)
    drums = pretty_midi.Instrument(0, is_drum=True)
    drums.notes = [pretty_midi.Note(100, 36, onset, onset + 0.1) for onset in np.arange(0, seconds, 1.0)]
    midi.instruments.append(drums)
    midi.instruments[0].control_changes = [pretty_midi.ControlChange(64, v, t) for v, t in ((127, 0.1), (0, 0.4))]
    midi.instruments[1].pitch_bends = [pretty_midi.PitchBend(4096, start + 1.0)]
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.write(str(path))


@pytest.fixture
def midi_folder(tmp_path) -> Path:
    folder = tmp_path / "midi"
    for number in range(3):
        _write_midi(folder / f"song{number}.mid", number)
    (folder / "song2.mid").rename(folder / "song2.kar")
    _write_midi(folder / "deep" / "long.MIDI", 9, seconds=30.0, start=15.0)
    shutil.copy(folder / "song1.mid", folder / "deep" / "copy.mid")
    (folder / "broken.mid").write_bytes(b"MThd nonsense")
    (folder / "readme.txt").write_text("no music")
    return folder


def test_a_folder_of_midi_becomes_a_corpus(midi_folder, tmp_path):
    settings = RenderSettings(midi_dir=midi_folder, seconds=6.0, sample_rate=16000)
    report = render_corpus(tmp_path / "c", settings, jobs=1)
    assert sum(report.tracks.values()) == 4 and min(report.tracks.values()) == 1
    assert [name for name, _ in report.skipped] == ["broken.mid", "song1.mid"]
    assert "not a readable MIDI file" in report.skipped[0][1]
    assert report.skipped[1][1] == "the same music as deep/copy.mid"
    tracks = {_metadata(track)["lmd_midi_dir"]: track for track in _tracks(tmp_path / "c")}
    assert set(tracks) == {"song0.mid", "deep/copy.mid", "song2.kar", "deep/long.MIDI"}
    stems = _metadata(tracks["deep/long.MIDI"])["stems"]
    assert [stem["program_num"] // 8 for stem in stems.values()] == [0, 3, 4, 13, 16]
    assert stems["S03"]["program_num"] == 104  # outside all groups: kept
    cut = pretty_midi.PrettyMIDI(str(tracks["deep/long.MIDI"] / "all_src.mid"))
    assert all(instrument.notes[0].start < 0.6 for instrument in cut.instruments[:3])
    assert soundfile.info(tracks["deep/long.MIDI"] / "mix.flac").duration == pytest.approx(6.0)
    again = render_corpus(tmp_path / "c", settings, jobs=1)
    assert (again.made, again.reused) == (0, 4)


def test_the_pedal_lengthens_notes_and_bends_are_kept(midi_folder, tmp_path):
    settings = RenderSettings(midi_dir=midi_folder, seconds=20.0, sample_rate=8000)
    render_corpus(tmp_path / "c", settings, jobs=1)
    track = next(t for t in _tracks(tmp_path / "c") if _metadata(t)["lmd_midi_dir"] == "song0.mid")
    piano = pretty_midi.PrettyMIDI(str(track / "MIDI" / "S00.mid")).instruments[0]
    assert piano.notes[0].end == pytest.approx(0.4, abs=0.01) and piano.notes[1].end == pytest.approx(0.75, abs=0.01)
    guitar = pretty_midi.PrettyMIDI(str(track / "MIDI" / "S01.mid")).instruments[0]
    assert [bend.pitch for bend in guitar.pitch_bends] == [4096]
    assert soundfile.info(track / "mix.flac").duration == pytest.approx(8.25)  # no longer than its music


def test_changed_midi_files_are_noticed(midi_folder, tmp_path, refused):
    settings = RenderSettings(midi_dir=midi_folder, seconds=4.0, sample_rate=8000)
    render_corpus(tmp_path / "c", settings, jobs=1)
    _write_midi(midi_folder / "song0.mid", 77)
    with refused(Mismatch, tmp_path / "c"):
        render_corpus(tmp_path / "c", settings, jobs=1)


def _left_out(out: Path) -> list[list[str]]:
    with (out / "left_out.csv").open(newline="", encoding="utf-8") as file:
        header, *found = csv.reader(file)
    assert header == ["song", "part", "notes", "reason"]
    return found


def test_what_is_left_out_is_counted_by_reason(midi_folder, tmp_path, capsys):
    """What a score holds is in the track's, or in the table, or both parts and songs are named there."""
    settings = RenderSettings(
        midi_dir=midi_folder, seconds=6.0, sample_rate=8000, songs=3, groups=("piano", "guitar", "bass", "drums")
    )
    report = render_corpus(tmp_path / "c", settings, jobs=1)
    found = _left_out(tmp_path / "c")
    assert [list(map(str, row)) for row in report.left_out] == found and report.table == tmp_path / "c" / "left_out.csv"
    rendered = {_metadata(track)["lmd_midi_dir"] for track in _tracks(tmp_path / "c")}
    whole = {name: reason for name, part, _, reason in found if not part}
    assert set(whole) == {
        "broken.mid",
        "song1.mid",
        *({"song0.mid", "deep/copy.mid", "song2.kar", "deep/long.MIDI"} - rendered),
    }
    assert str(tmp_path) not in str(found)
    assert {name for name, _, _, reason in found if reason == UNWANTED} == rendered
    for track in _tracks(tmp_path / "c"):
        name = _metadata(track)["lmd_midi_dir"]
        read, kept = (sum(map(len, read_midi(path))) for path in (midi_folder / name, track / "all_src.mid"))
        assert read == kept + sum(int(notes) for file, part, notes, _ in found if file == name and part)
    again = render_corpus(tmp_path / "c", settings, jobs=2)
    assert (again.made, again.left_out) == (0, report.left_out) and _left_out(tmp_path / "c") == found
    lines = summary(report.left_out)
    assert len(lines) == 3 and CUT in lines[0] and UNWANTED in lines[1] and BEYOND in lines[2]


@pytest.mark.parametrize("ticks", [0, 4, 800])
def test_strokes_of_any_length_are_rendered(tmp_path, ticks):
    """As pads write drums, as MMA does (2 ms), as people do. All are in stem, score, roll and onsets."""
    times, track = np.arange(0.5, 7.5, 0.5), mido.MidiTrack()
    for n in range(len(times)):
        track.append(mido.Message("note_on", channel=9, note=38, velocity=100, time=960 - (ticks if n else 0)))
        track.append(mido.Message("note_off", channel=9, note=38, time=ticks))
    (tmp_path / "m").mkdir()
    mido.MidiFile(ticks_per_beat=960, tracks=[track]).save(tmp_path / "m" / "a.mid")
    settings = RenderSettings(midi_dir=tmp_path / "m", seconds=8.0, sample_rate=16000)
    report = render_corpus(tmp_path / "c", settings, jobs=1)
    assert report.left_out == () and not report.table.exists()
    (folder,) = _tracks(tmp_path / "c")
    (part,) = read_midi(folder / "MIDI" / "S00.mid")
    assert part.is_drum and (part.offset - part.onset > SHORTEST_NOTE - 1e-3).all()
    np.testing.assert_allclose(part.onset, times, atol=1e-3)
    roll, onset = rasterise([part], Grid(), 251)
    assert onset.sum() == (roll & onset).sum() == len(times)
    sound, _ = soundfile.read(folder / "stems" / "S00.flac")
    heard = [np.square(sound[int(16000 * time) :][:3200]).sum() for time in times]
    assert min(heard) > 0.5 * max(heard) > 0


@pytest.mark.parametrize("key", [35, 36, 38, 40, 42, 45, 46, 49, 51])
def test_the_shortest_stroke_is_as_loud_as_a_long_one(key):
    """Within 2 dB: only cymbals ring less."""
    energy = []
    for length in (SHORTEST_NOTE, 0.5):
        part = part_from_notes([(0.1, 0.1 + length, key, 100)], is_drum=True)
        sound = render_part(default_soundfont(), Song((), 2.0), part, 16000, ((91, 0), (93, 0)))
        energy.append(np.square(sound, dtype=np.float64).sum())
    assert energy[0] > 10 ** (-2 / 10) * energy[1]


def test_a_song_without_piano_guitar_or_bass_is_cut_where_it_plays(tmp_path):
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(pretty_midi.Instrument(0, is_drum=True))
    midi.instruments[0].notes = [pretty_midi.Note(90, 38, 30 + time, 30.1 + time) for time in range(4)]
    midi.write(str(tmp_path / "late.mid"))
    assert [len(part) for part in read_song(tmp_path / "late.mid", "late.mid", 6.0).parts] == [4]


def test_parts_that_do_not_sound_are_counted(tmp_path, refused):
    """Drums that are struck too softly to be heard, beside a bass. A second run tells the same."""
    midi = pretty_midi.PrettyMIDI()
    for is_drum, pitch, velocity in ((True, 37, 1), (False, 40, 90)):
        midi.instruments.append(pretty_midi.Instrument(33, is_drum))
        midi.instruments[-1].notes = [pretty_midi.Note(velocity, pitch, 0.5 * n, 0.5 * n + 0.4) for n in range(8)]
    (tmp_path / "m").mkdir()
    midi.write(str(tmp_path / "m" / "a.mid"))
    settings = RenderSettings(midi_dir=tmp_path / "m", seconds=6.0, sample_rate=16000)
    for _ in range(2):
        report = render_corpus(tmp_path / "c", settings, jobs=1)
        assert report.left_out == (("a.mid", "drums", 8, SILENT),)
    (track,) = _tracks(tmp_path / "c")
    (track / "metadata.yaml").unlink()
    with refused(Damaged, track):
        render_corpus(tmp_path / "c", settings, jobs=1)


# Wrong inputs


@pytest.mark.parametrize(
    "wrong",
    [
        {"songs": 0},
        {"seconds": 0.5},
        {"seconds": float("nan")},
        {"sample_rate": 10},
        {"seed": -1},
        {"splits": (0.5, 0.5, 0.5)},
        {"songs": 0, "seed": -1},
        {"pack_share": 1.5},
        {"pack_share": float("nan")},
        {"impulses": Path("x"), "chains": False},
        {"groups": ("guitr",)},
    ],
)
def test_impossible_settings_are_named(refused, wrong):
    with refused(InvalidValue, remedy=False) as error:
        RenderSettings(**wrong)
    for name in wrong:
        assert any(word in str(error.value) for word in (*name.split("_"), name.rstrip("s")))


def test_another_setting_is_named(corpus, refused):
    for name, before, after in (("seed", 5, 6), ("seconds", 6.0, 7.0), ("songs", 4, 3)):
        values = {"songs": 4, "seconds": 6.0, "sample_rate": 16000, "seed": 5} | {name: after}
        with refused(Mismatch, corpus) as error:
            render_corpus(corpus, RenderSettings(**values), jobs=1)
        assert all(str(word) in str(error.value) for word in (name, before, after))


def test_wrong_folders(tmp_path, refused):
    with refused(NotFound, tmp_path / "none"):
        render_corpus(tmp_path / "c", RenderSettings(midi_dir=tmp_path / "none"), jobs=1)
    empty = tmp_path / "empty"
    empty.mkdir()
    with refused(NothingToDo, empty):
        render_corpus(tmp_path / "c", RenderSettings(midi_dir=empty), jobs=1)
    (empty / "bad.mid").write_bytes(b"x")
    with refused(NothingToDo, empty):
        render_corpus(tmp_path / "c", RenderSettings(midi_dir=empty), jobs=1)
    with refused(AlreadyExists, empty):
        render_corpus(empty, SMALL, jobs=1)
    with refused(AlreadyExists, empty / "bad.mid"):
        render_corpus(empty / "bad.mid", SMALL, jobs=1)
    with refused(InvalidValue):
        render_corpus(tmp_path / "c", SMALL, jobs=0)
    with pytest.raises(ScoresepError, match=r"none\.sf2"):
        render_corpus(tmp_path / "c", RenderSettings(soundfonts=(tmp_path / "none.sf2",)), jobs=1)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("text", ["{", '["?"]'])
def test_a_damaged_settings_file_is_named(tmp_path, refused, text):
    (tmp_path / "render.json").write_text(text)
    with refused(Damaged, tmp_path / "render.json"):
        render_corpus(tmp_path, SMALL, jobs=1)


def test_loudness_of_silence_and_of_very_short_sounds_is_minus_infinity():
    assert integrated_loudness(np.zeros(16000, dtype=np.float32), 16000) == -np.inf
    assert integrated_loudness(np.ones(6400, dtype=np.float32), 16000) == -np.inf
    tone = np.sin(2 * np.pi * 997 * np.arange(48000 * 2) / 48000).astype(np.float32)
    assert integrated_loudness(tone, 48000) == pytest.approx(-3.01, abs=0.05)


def test_only_the_groups_asked_for_are_rendered_and_sound_as_with_the_others(tmp_path):
    def render(groups: tuple[str, ...]) -> Path:
        out = tmp_path / "-".join(("c", *groups))
        render_corpus(out, RenderSettings(songs=3, seconds=4.0, sample_rate=8000, seed=3, groups=groups), jobs=1)
        return out

    def patches(track: Path) -> list[str]:
        return [stem["plugin_name"] for stem in _metadata(track)["stems"].values()]

    every, some = render(()), render(("piano", "bass"))
    for whole, part in zip(_tracks(every), _tracks(some), strict=True):
        classes = {stem["inst_class"] for stem in _metadata(part)["stems"].values()}
        assert classes <= {"Piano", "Bass"}
        kept = [s["plugin_name"] for s in _metadata(whole)["stems"].values() if s["inst_class"] in ("Piano", "Bass")]
        assert patches(part) == kept


def test_notes_that_a_sound_has_no_key_for_are_counted_and_not_in_the_score(tmp_path):
    """The bank of pretty_midi has drums from 27 to 87 and pianos up to 108."""
    midi = pretty_midi.PrettyMIDI()
    for is_drum, pitches in ((True, (36, 38, 20, 95)), (False, (60, 64, 120)), (False, (125, 126))):
        part = pretty_midi.Instrument(0, is_drum, f"p{len(midi.instruments)}")
        part.notes = [pretty_midi.Note(90, pitch, n, n + 0.5) for n, pitch in enumerate(pitches)]
        midi.instruments.append(part)
    (tmp_path / "m").mkdir()
    midi.write(str(tmp_path / "m" / "a.mid"))
    settings = RenderSettings(midi_dir=tmp_path / "m", seconds=6.0)
    report = render_corpus(tmp_path / "c", settings, jobs=1)
    lost = {row.part.split()[0]: row.notes for row in report.left_out if row.reason == NO_KEY}
    assert lost == {"p0": 2, "p1": 1, "p2": 2}
    (folder,) = (tmp_path / "c").glob("*/Track*")
    written = [part for path in sorted((folder / "MIDI").iterdir()) for part in read_midi(path)]
    assert [sorted(part.pitch.tolist()) for part in written] == [[36, 38], [60, 64]]
    assert (
        render_corpus(tmp_path / "c", RenderSettings(midi_dir=tmp_path / "m", seconds=6.0)).left_out == report.left_out
    )
