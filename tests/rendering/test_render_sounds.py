"""Corpora of packs and chains: sums, bytes, going on, hold-out, attributions; and none of it where nobody asks."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from scoresep.datasets.slakh import open_slakh
from scoresep.errors import Mismatch
from scoresep.rendering.render import RenderSettings, render_corpus
from scoresep.score.parts import read_midi
from scoresep.score_check import check_stem

pytestmark = pytest.mark.integration
SIZE = {"songs": 4, "seconds": 5.0, "sample_rate": 16000, "seed": 2}


def _tracks(corpus: Path) -> list[Path]:
    return sorted(corpus.glob("*/Track*"))


def _stems(track: Path) -> dict[str, dict]:
    return yaml.safe_load((track / "metadata.yaml").read_text())["stems"]


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def settings(sounds, impulses) -> RenderSettings:
    return RenderSettings(**SIZE, sounds=(sounds,), impulses=impulses, pack_share=1.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, settings) -> Path:
    out = tmp_path_factory.mktemp("varied") / "corpus"
    render_corpus(out, settings, jobs=1)
    return out


def test_packs_and_chains_are_in_the_metadata(corpus):
    stems = [stem for track in _tracks(corpus) for stem in _stems(track).values()]
    packs = [stem for stem in stems if stem["plugin_name"].endswith(".sfz")]
    assert {stem["inst_class"] for stem in packs} >= {"Piano", "Guitar", "Bass"}
    for stem in packs:
        assert stem["plugin_name"].split("/")[0] in ("piano", "guitar", "bass", "drums")
        assert stem["inst_class"].lower() == stem["plugin_name"].split("/")[0]
        assert stem["program_num"] == 128 if stem["is_drum"] else stem["program_num"] < 128
    assert all("equaliser(" in stem["chain"] for stem in stems)
    assert any("room/hall.wav" in stem["chain"] for stem in stems)


def test_stems_add_up_and_nothing_clips(corpus):
    for track in _tracks(corpus):
        mix, rate = soundfile.read(track / "mix.flac", dtype="int16")
        stems = [soundfile.read(path, dtype="int16")[0] for path in sorted((track / "stems").iterdir())]
        assert rate == 16000 and len(mix) == 5 * 16000
        np.testing.assert_array_equal(mix, np.sum(stems, axis=0, dtype=np.int32))
        assert 0.8 < np.abs([mix, *stems]).max() / 32768 <= 10 ** (-1 / 20) + 1e-3


def test_every_stem_agrees_with_its_score(corpus):
    found = open_slakh(corpus)
    checked = 0
    for track in found.tracks:
        for stem in track.stems:
            samples, rate = soundfile.read(stem.audio, dtype="float32")
            (part,) = read_midi(stem.score)
            assert not check_stem(samples, rate, [part], part.is_drum), stem
            checked += 1
    assert checked > 8


def test_a_seed_s_bytes_whatever_the_jobs_and_interruptions(corpus, settings, tmp_path):
    render_corpus(tmp_path / "c", RenderSettings(**SIZE | {"songs": 2}, **_sound_settings(settings)), jobs=2)
    shutil.rmtree(tmp_path / "c" / "train" / "Track00001")
    calls = []
    report = render_corpus(tmp_path / "c", settings, jobs=1, progress=lambda *call: calls.append(call[2]))
    assert (report.made, report.reused) == (3, 1)
    assert "probing sounds" not in calls  # found again in the corpus
    assert _digests(tmp_path / "c") == _digests(corpus)


def _sound_settings(settings: RenderSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in ("sounds", "impulses", "pack_share")}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pack_share": 0.5}, "pack_share"),
        ({"chains": False, "impulses": None}, "chains|impulses"),
        ({"sounds": ()}, "packs|pack_share"),
        ({"weak_packs": True}, "weak_packs"),
        ({"impulses": None}, "impulses"),
    ],
)
def test_other_sounds_are_refused(corpus, settings, refused, change, named):
    with refused(Mismatch, corpus) as error:
        render_corpus(corpus, RenderSettings(**SIZE | _sound_settings(settings) | change), jobs=1)
    assert any(name in error.value.problem for name in named.split("|"))


def test_changed_packs_are_noticed(corpus, settings, sounds, tmp_path, refused):
    shutil.copytree(sounds, tmp_path / "sounds")
    soundfile.write(tmp_path / "sounds" / "bass" / "bass7" / "samples" / "48.wav", 0.1 * np.ones(9000), 22050)
    changed = RenderSettings(**SIZE | _sound_settings(settings) | {"sounds": (tmp_path / "sounds",)})
    with refused(Mismatch, corpus) as error:
        render_corpus(corpus, changed, jobs=1)
    assert "packs" in error.value.problem


def test_a_moved_folder_of_sounds_is_the_same(corpus, settings, sounds, tmp_path):
    shutil.copytree(sounds, tmp_path / "elsewhere")
    moved = RenderSettings(**SIZE | _sound_settings(settings) | {"sounds": (tmp_path / "elsewhere",)})
    assert render_corpus(corpus, moved, jobs=1).reused == 4


def test_test_songs_use_other_makers(settings, sounds, tmp_path):
    many = RenderSettings(**{**SIZE, "songs": 12, "seconds": 2.0, "sample_rate": 8000}, **_sound_settings(settings))
    report = render_corpus(tmp_path / "c", many, jobs=1)
    maker = {path.parent.name: json.loads(path.read_text())["maker"] for path in sounds.glob("*/*/pack.json")}
    used: dict[bool, set[str]] = {True: set(), False: set()}
    for track in _tracks(tmp_path / "c"):
        labels = {stem["plugin_name"] for stem in _stems(track).values() if stem["plugin_name"].endswith(".sfz")}
        used[track.parent.name == "test"] |= {maker[Path(label).stem] for label in labels}
    assert used[True] and used[False] and not used[True] & used[False]
    held = {label for labels in report.held_out.values() for label in labels if label.endswith(".sfz")}
    assert used[True] <= {maker[Path(label).stem] for label in held}


def test_attributions_name_what_went_in_and_nothing_else(corpus, sounds):
    said = (corpus / "attributions.txt").read_text()
    stems = [stem for track in _tracks(corpus) for stem in _stems(track).values()]
    for path in sounds.glob("*/*/*.sfz"):
        label = f"{path.parent.parent.name}/{path.stem}.sfz"
        used = any(stem["plugin_name"] == label for stem in stems)
        assert (label in said) == used
        assert (json.loads((path.parent / "pack.json").read_text())["attribution"] in said) == used
    assert "TimGM6mb.sf2: SoundFont" in said or not any(".sf2" in stem["plugin_name"] for stem in stems)
    assert "room/hall.wav" in said and "Ivo" in said and "synthesised" not in said


def test_chains_alone_and_packs_alone(sounds, tmp_path):
    small = {**SIZE, "songs": 1, "seconds": 3.0}
    render_corpus(tmp_path / "chains", RenderSettings(**small, chains=True), jobs=1)
    stems = _stems(_tracks(tmp_path / "chains")[0]).values()
    assert all("chain" in stem and ".sf2" in stem["plugin_name"] for stem in stems)
    assert "TimGM6mb.sf2" in (tmp_path / "chains" / "attributions.txt").read_text()
    render_corpus(tmp_path / "packs", RenderSettings(**small, sounds=(sounds,), chains=False, pack_share=1.0), jobs=1)
    stems = _stems(_tracks(tmp_path / "packs")[0]).values()
    assert any(stem["plugin_name"].endswith(".sfz") for stem in stems) and not any("chain" in stem for stem in stems)


def test_without_sounds_a_corpus_is_what_it_was(tmp_path):
    """What the renderer of version 2 gave before there were packs and chains; other machines may round otherwise."""
    render_corpus(tmp_path, RenderSettings(songs=1, seconds=3.0, sample_rate=8000, seed=4), jobs=1)
    assert {path.name for path in tmp_path.iterdir()} == {"render.json", "train"}
    known = "render_version composer_version source groups seed seconds sample_rate splits soundfonts songs music"
    assert list(json.loads((tmp_path / "render.json").read_text())) == known.split()
    track = tmp_path / "train" / "Track00001"
    samples, _ = soundfile.read(track / "mix.flac", dtype="int16")
    before = [-1711, 2621, 2707, -1897, -795, -267, -924, 506, -3755]
    np.testing.assert_allclose(samples[2000::2500].astype(int), before, atol=1)
    assert yaml.safe_load((track / "metadata.yaml").read_text())["overall_gain"] == pytest.approx(0.2116195814579615)
    stems = [(stem["plugin_name"], stem["integrated_loudness"]) for stem in _stems(track).values()]
    labels, loudness = zip(*stems, strict=True)
    assert labels == tuple(f"TimGM6mb.sf2:{preset}" for preset in ("006", "026", "036", "drums:024"))
    assert loudness == pytest.approx((-33.32379, -26.45342, -24.49531, -52.63936), abs=1e-4)


def test_the_command_says_what_it_left_out(command, sounds, impulses, tmp_path):
    shutil.copytree(sounds / "bass", tmp_path / "sounds")
    (tmp_path / "sounds" / "odd.sfz").write_text("")
    line = f"scoresep render {tmp_path / 'c'} --songs 1 --seconds 2 --sample-rate 8000 --sounds {tmp_path / 'sounds'}"
    status, said, _ = command(f"{line} --impulses {impulses} --preview")
    assert status == 0 and "odd.sfz" in said
    page = tmp_path / "c" / "preview.html"
    assert str(page) in said and page.read_text().startswith("<!DOCTYPE html>")
    status, _, said = command(f"{line} --no-chains")
    assert status == 2 and str(tmp_path / "c") in said
    status, _, said = command(f"scoresep render {tmp_path / 'd'} --sounds {tmp_path / 'none'}")
    assert status == 2 and str(tmp_path / "none") in said and not (tmp_path / "d").exists()
