"""A trained run with its evaluation, a cache whose names are an attack, and one without stems."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pretty_midi
import pytest

from scoresep.cache.build import prepare
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings
from scoresep.datasets.base import Corpus, Track
from scoresep.datasets.slakh import open_slakh
from scoresep.evaluation.evaluate import evaluate, open_subject
from scoresep.evaluation.track_records import EvaluationSettings
from scoresep.executor import Engine
from scoresep.instruments import OTHER, choose
from scoresep.training.log import RunLog
from scoresep.training.run import Run

REFERENCES = ("mixture", "harmonic_mask", "oracle_mask")
EVIL = """<img src=x onerror="document.title='broken'">&'"</script><script>document.title='broken'</script>"""


@dataclass(frozen=True)
class Made:
    """Where things are."""

    run: Path
    checkpoint: Path
    metrics: Path
    cache: Path


@pytest.fixture(scope="session")
def made(prepared: Path, tmp_path_factory: pytest.TempPathFactory, make: Any) -> Made:
    """Three stages of a few steps, evaluated on the three training tracks. Read only: copy it to change it."""
    folder = tmp_path_factory.mktemp("made")
    run, checkpoint = folder / "run", folder / "ckpt.pt"
    log = RunLog(run)
    config = make.config("stage1.steps=11", "stage2.steps=4", "stage3.steps=4")
    Run(Cache(prepared), config, run, checkpoint, log).train()
    log.close()
    evaluate(open_subject(checkpoint, settings=EvaluationSettings("train", references=REFERENCES))).save(
        folder / "metrics.json"
    )
    return Made(run, checkpoint, folder / "metrics.json", prepared)


@pytest.fixture
def made_copy(made: Made, tmp_path: Path) -> Made:
    """The same to damage; its cache is still the shared one."""
    shutil.copytree(made.run, tmp_path / "run")
    paths = [Path(shutil.copy(path, tmp_path)) for path in (made.checkpoint, made.metrics)]
    return Made(tmp_path / "run", *paths, made.cache)


@pytest.fixture(scope="session")
def hostile(corpus: Path, tmp_path_factory: pytest.TempPathFactory, make: Any) -> Made:
    """A cache whose corpus and track are called `EVIL`, as no instrument can be, a checkpoint and an evaluation."""
    folder = tmp_path_factory.mktemp("hostile")
    plain = open_slakh(corpus)
    tracks = tuple(replace(track, id=EVIL, split="test") for track in plain.tracks[:1])
    prepare(replace(plain, name=EVIL, split_set=EVIL, tracks=tracks), folder / "cache.h5", CacheSettings(), Engine(1))
    checkpoint = make.checkpoint(folder / "ckpt.pt", Cache(folder / "cache.h5"), loud=8)
    evaluate(open_subject(checkpoint, settings=EvaluationSettings(references=REFERENCES))).save(folder / "metrics.json")
    run = folder / "run"
    run.mkdir()
    line = '{"kind": "%s", "stage": 1, "step": %d, "separator/%s": %s}\n'
    name = EVIL.replace('"', '\\"')
    (run / "log.jsonl").write_text("".join(line % ("train", step, name, 1 / step) for step in (10, 20, 30)))
    return Made(run, checkpoint, folder / "metrics.json", folder / "cache.h5")


@pytest.fixture(scope="session")
def unstemmed(corpus: Path, tmp_path_factory: pytest.TempPathFactory, make: Any) -> Made:
    """A recording with a score and no stems, of piano, drums and a rest that has no score; no run, no evaluation."""
    folder = tmp_path_factory.mktemp("unstemmed")
    source = next(corpus.rglob("Track00001"))
    midi = pretty_midi.PrettyMIDI(str(source / "MIDI" / "S00.mid"))
    midi.instruments.append(pretty_midi.Instrument(0, is_drum=True))
    midi.instruments[-1].notes = [pretty_midi.Note(90, key, 0.5 * key - 17, 0.5 * key - 16.8) for key in (36, 38)]
    midi.write(str(folder / "song.mid"))
    track = Track("song", "test", mixture=source / "mix.flac", score=folder / "song.mid")
    settings = CacheSettings(instruments=(*choose(["piano", "drums"]), OTHER), stems=False)
    prepare(Corpus("pairs", folder, "none", (), (track,), False), folder / "cache.h5", settings, Engine(1))
    checkpoint = make.checkpoint(folder / "ckpt.pt", Cache(folder / "cache.h5"), loud=8)
    return Made(folder / "run", checkpoint, folder / "metrics.json", folder / "cache.h5")


@pytest.fixture(scope="session")
def evil() -> str:
    return EVIL
