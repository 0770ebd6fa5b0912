"""The model that comes with scoresep: works where nothing else is, on music and sounds it never heard, and says what
it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

import scoresep
from scoresep.evaluation.metrics import si_sdr
from scoresep.instruments import choose, group_of
from scoresep.models.checkpoint import load_checkpoint
from scoresep.pretrained import SHIPPED_CARD, SHIPPED_MODEL
from scoresep.rendering.render import render_corpus
from scoresep.rendering.settings import RenderSettings

pytestmark = pytest.mark.integration
NAMES = ("piano", "guitar", "bass", "drums", "vocals", "other")
BAND = NAMES[:4]
"""Who plays in the songs of the tests."""


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> list[Path]:
    """Two composed songs, played by the SoundFont of pretty_midi, which the model was not trained on."""
    out = tmp_path_factory.mktemp("songs")
    render_corpus(out, RenderSettings(songs=3, seconds=12.0, sample_rate=16000, seed=77, groups=BAND), jobs=1)
    return sorted(out.glob("*/Track*"))


@pytest.fixture
def here(songs, tmp_path, monkeypatch) -> Path:
    """A folder with one song and no checkpoint."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "song.flac").write_bytes((songs[0] / "mix.flac").read_bytes())
    return tmp_path


def test_it_is_small_and_was_taught_by_scores_alone():
    checkpoint = load_checkpoint(SHIPPED_MODEL)
    assert SHIPPED_MODEL.stat().st_size < 8e6
    assert checkpoint.config["supervision"] == "score+teacher" and checkpoint.complete
    assert checkpoint.model.names == NAMES and checkpoint.model.transcribes
    assert checkpoint.cache == "", "no folder of whoever made it"


@pytest.mark.integration
def test_it_improves_music_and_sounds_that_it_never_heard(songs):
    """In the mean, and all but the piano, which is unlike those that it knows (its card); refinement leaves the drums
    as they are."""
    model = scoresep.load()
    gains: dict[bool, dict[str, list[float]]] = {False: {}, True: {}}
    for song in songs:
        mixture, rate = soundfile.read(song / "mix.flac", dtype="float32")
        truth = stems_of(song)
        for refine, result in gains.items():
            stems = model.separate(mixture, rate, refine=refine)
            assert np.allclose(sum(stems.values()), mixture, atol=1e-4)
            for name, stem in truth.items():
                gain = si_sdr(stem, stems[name]) - si_sdr(stem, mixture)
                result.setdefault(name, []).append(gain)
    plain, refined = ({name: np.mean(values) for name, values in result.items()} for result in gains.values())
    assert set(plain) == set(BAND) and np.mean(list(plain.values())) > 3, plain
    assert min(gain for name, gain in plain.items() if name != "piano") > 0, plain
    assert refined["drums"] == pytest.approx(plain["drums"], abs=0.05) and np.mean(list(refined.values())) > 3, refined


def stems_of(song: Path) -> dict[str, np.ndarray]:
    """Instrument to its sound in a rendered song."""
    instruments = choose(BAND)
    listed = yaml.safe_load((song / "metadata.yaml").read_text())["stems"]
    result: dict[str, np.ndarray] = {}
    for stem, about in listed.items():
        name = NAMES[group_of(about["program_num"], about["is_drum"], instruments)]
        result[name] = result.get(name, 0) + soundfile.read(song / "stems" / f"{stem}.flac", dtype="float32")[0]
    return result


@pytest.mark.integration
def test_recordings_are_separated_and_transcribed_without_a_checkpoint(here, command):
    status, out, err = command("scoresep separate song.flac")
    assert status == 0 and "comes with scoresep" in out, err
    assert {path.stem for path in (here / "stems" / "song").iterdir()} == set(NAMES)
    status, out, err = command("scoresep transcribe song.flac")
    assert status == 0 and "comes with scoresep" in out, err
    assert (here / "scores" / "song.mid").exists()


def test_a_checkpoint_of_this_folder_comes_first(here, command, make, cache):
    make.checkpoint(here / "ckpt.pt", cache)
    status, out, err = command("scoresep separate song.flac")
    assert status == 0 and "with ckpt.pt of this folder" in out, err
    assert {path.stem for path in (here / "stems" / "song").iterdir()} == {"piano", "guitar", "bass"}


def test_it_says_what_it_is(command):
    status, out, err = command("scoresep info")
    assert status == 0 and ", ".join(NAMES) in out and SHIPPED_CARD.read_text("utf-8").splitlines()[0] in out, err


def test_it_names_no_cache_and_says_so_where_one_is_wanted(command):
    status, _, err = command(f"scoresep evaluate {SHIPPED_MODEL}")
    assert status == 2 and str(SHIPPED_MODEL) in err and "--cache" in err
