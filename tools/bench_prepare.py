"""Time `scoresep prepare` against its floor and against the usual pipeline, on the same tracks in one run.

    python tools/bench_prepare.py [--tracks 4] [--seconds 240] [--repeats 3] [--folder bench] [--busy]

Tracks are rendered once into the folder (44.1 kHz FLAC, two composed songs a track: about ten stems) and kept. Then, on
one core, in turn, with everything in the page cache:

    floor    decode the needed FLAC files, sum and resample the groups, one STFT of the mixture, and write the bytes
             that a cache holds to a plain file; no score is read
    prepare  `scoresep.cache.build.prepare`, score check included, without the teacher
    teacher  the same with the teacher's factors, as users run it
    usual    librosa.load and librosa.stft, pretty_midi.get_piano_roll, masks in NumPy, gzip HDF5 of what these return
             (float32 magnitudes and audio, a byte a bin of a mask)

and `teacher` once more on all cores (not with `--busy`). Prints medians as ratios, where the time goes, and what 2100
tracks would take.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import soundfile
import soxr
import yaml
from turns import medians

from scoresep.audio.loading import read_audio, resample
from scoresep.audio.spectrogram import half_magnitude
from scoresep.cache.build import prepare
from scoresep.cache.schema import CacheSettings
from scoresep.cache.track import add_audio, add_teacher, group_stems, note_table
from scoresep.cache.writer import ShardWriter
from scoresep.datasets.base import Corpus, Stem, Track
from scoresep.datasets.slakh import open_slakh
from scoresep.executor import Engine
from scoresep.grid import LOWEST_PITCH, PITCHES
from scoresep.machine import available_cores
from scoresep.masks.harmonic import harmonic_mask
from scoresep.rendering.render import RenderSettings, render_corpus
from scoresep.score.parts import read_midi
from scoresep.score.piano_roll import rasterise
from scoresep.score_check import check_stem

SLAKH_TRACKS = 2100
PARTS = {
    "decode": read_audio,
    "resample": resample,
    "spectrogram": half_magnitude,
    "parse MIDI": read_midi,
    "score check": check_stem,
    "rolls": rasterise,
    "masks": harmonic_mask,
    "teacher": add_teacher,
    "notes": note_table,
    "int16 audio": add_audio,
    "write, digest": ShardWriter.append,
}
"""Functions that the time of `prepare` is divided by."""


def main() -> None:
    """Print the comparison."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--tracks", type=int, default=4)
    options.add_argument("--seconds", type=float, default=240.0)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--folder", type=Path, default=Path("bench"), help="corpus and results; the corpus is kept")
    options.add_argument("--busy", action="store_true", help="count the processor's time, where other work is done too")
    chosen = options.parse_args()
    corpus = long_tracks(chosen.folder, chosen.tracks, chosen.seconds)
    settings = CacheSettings(tracks_per_shard=1)
    stems = [len(track.stems) for track in corpus.tracks]
    needed = [sum(map(len, group_stems(track.stems, settings.instruments))) for track in corpus.tracks]
    print(
        f"{len(stems)} tracks of {chosen.seconds:.0f} s, {min(stems)}-{max(stems)} stems, {sum(needed)} in all needed"
    )
    work = chosen.folder / "work"
    variants: dict[str, Callable[[], object]] = {
        "floor": lambda: [floor(track, settings, work) for track in corpus.tracks],
        "prepare": lambda: prepared(corpus, replace(settings, teacher="none"), work, 1),
        "teacher": lambda: prepared(corpus, settings, work, 1),
        "usual": lambda: [usual(track, settings, work) for track in corpus.tracks],
    }
    prepared(corpus, settings, work, 1)  # compiles the kernels and fills the page cache
    times = medians(variants, chosen.repeats, time.process_time if chosen.busy else time.perf_counter)
    report(times, len(corpus.tracks))
    where(corpus, settings, work, times["teacher"])
    if not chosen.busy:
        scaling(corpus, settings, work, times["teacher"], chosen.repeats)
    shutil.rmtree(work)


def long_tracks(folder: Path, count: int, seconds: float) -> Corpus:
    """`count` tracks of about ten stems: two composed songs each, rendered once."""
    songs = folder / "songs"
    render_corpus(songs, RenderSettings(songs=2 * count, seconds=seconds, seed=0), jobs=available_cores())
    parts = sorted(songs.glob("*/Track*"), key=lambda path: path.name)
    for number, pair in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        target = folder / "corpus" / "train" / f"Track{number:05d}"
        if not (target / "metadata.yaml").exists():
            join(pair, target)
    return open_slakh(folder / "corpus")


def join(songs: Sequence[Path], target: Path) -> None:
    """The stems of several tracks as one track."""
    for kind in ("stems", "MIDI"):
        (target / kind).mkdir(parents=True, exist_ok=True)
    listed = {}
    for k, song in enumerate(songs):
        for name, about in yaml.safe_load((song / "metadata.yaml").read_text())["stems"].items():
            new = f"S{10 * k + int(name[1:]):02d}"
            shutil.copyfile(song / "stems" / f"{name}.flac", target / "stems" / f"{new}.flac")
            shutil.copyfile(song / "MIDI" / f"{name}.mid", target / "MIDI" / f"{new}.mid")
            listed[new] = about
    (target / "metadata.yaml").write_text(yaml.safe_dump({"UUID": target.name, "stems": listed}))


def prepared(corpus: Corpus, settings: CacheSettings, work: Path, jobs: int) -> Path:
    """A cache made from nothing."""
    shutil.rmtree(work, ignore_errors=True)
    out = work / "cache.h5"
    prepare(corpus, out, settings, Engine(jobs))
    return out


def floor(track: Track, settings: CacheSettings, work: Path) -> None:
    """What no preparation can do without."""
    rate = settings.grid.sample_rate
    groups = [group_sum(stems, rate) for stems in group_stems(track.stems, settings.instruments)]
    length = max(len(group) for group in groups)
    audio = [group if len(group) else np.zeros(length, dtype=np.float32) for group in groups]
    mixture = audio[0] + audio[1]
    for group in audio[2:]:
        mixture += group
    spectrum = half_magnitude(mixture, settings.grid.n_fft, settings.grid.hop)
    packed = len(settings.instruments) * (2 * -(-PITCHES // 8) + -(-settings.grid.bins // 8))
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "floor.bin", "wb") as file:
        spectrum.tofile(file)
        for values in (mixture, *audio):
            np.multiply(values, np.float32(16000)).astype(np.int16).tofile(file)
        np.zeros((len(spectrum), packed), dtype=np.uint8).tofile(file)


def group_sum(stems: Sequence[Stem], rate: int) -> np.ndarray:
    """Decoded, added, resampled."""
    total = None
    for stem in stems:
        samples, own = soundfile.read(stem.audio, dtype="float32")
        total = samples if total is None else np.add(total, samples, out=total)
    return np.zeros(0, dtype=np.float32) if total is None else soxr.resample(total, own, rate, quality="HQ")


def usual(track: Track, settings: CacheSettings, work: Path) -> None:
    """The straightforward pipeline, with the same content for the result."""
    import librosa
    import pretty_midi

    grid = settings.grid
    stems, rolls = [], []
    for group in group_stems(track.stems, settings.instruments):
        loaded = [librosa.load(stem.audio, sr=grid.sample_rate)[0] for stem in group]
        stems.append(np.sum(loaded, axis=0) if loaded else np.zeros(1, dtype=np.float32))
        parts = [pretty_midi.PrettyMIDI(str(stem.score)).get_piano_roll(fs=grid.frame_rate) for stem in group]
        rolls.append(parts)
    length = max(map(len, stems))
    stems = [librosa.util.fix_length(stem, size=length) for stem in stems]
    mixture = np.sum(stems, axis=0)
    spectrum = np.abs(librosa.stft(mixture, n_fft=grid.n_fft, hop_length=grid.hop)).T
    united = [union(parts, len(spectrum)) for parts in rolls]
    masks = [mask_of(roll, grid.bins, grid.bin_width) for roll in united]
    with h5py.File(work / "usual.h5", "w") as file:
        content = {
            "magnitude": spectrum,
            "roll": np.stack(united, axis=1),
            "mask": np.stack(masks, axis=1),
            "mixture": mixture,
            "stems": np.stack(stems, axis=1),
        }
        for name, values in content.items():
            file.create_dataset(name, data=values, compression="gzip")


def union(parts: Sequence[np.ndarray], frames: int) -> np.ndarray:
    """Piano rolls (128, t) as one of the 88 keys, bool (T, P)."""
    roll = np.zeros((frames, PITCHES), dtype=bool)
    for part in parts:
        count = min(frames, part.shape[1])
        roll[:count] |= part[LOWEST_PITCH : LOWEST_PITCH + PITCHES, :count].T > 0
    return roll


def mask_of(roll: np.ndarray, bins: int, bin_width: float) -> np.ndarray:
    """The bins within 1.5 of a harmonic of each sounding key, bool (T, F)."""
    hertz = 440.0 * 2.0 ** ((np.arange(PITCHES) + LOWEST_PITCH - 69) / 12)
    partials = hertz[:, None] * np.arange(1, 31) / bin_width
    template = (np.abs(partials[:, :, None] - np.arange(bins)) <= 1.5).any(axis=1)
    return (roll.astype(np.float32) @ template.astype(np.float32)) > 0


def report(times: dict[str, float], tracks: int) -> None:
    """Ratios, and what Slakh would take."""
    for name, seconds in times.items():
        print(f"  {name:8s} {seconds / tracks:7.3f} s a track, {seconds / times['floor']:6.2f} times the floor")
    print(f"  prepare / floor = {times['prepare'] / times['floor']:.2f} (target: at most 1.25)")
    print(f"  teacher / floor = {times['teacher'] / times['floor']:.2f} (target: at most 1.6)")
    print(f"  usual / prepare = {times['usual'] / times['prepare']:.1f} (target: at least 8)")
    core_hours = times["teacher"] / tracks * SLAKH_TRACKS / 3600
    cores = ", ".join(f"{60 * core_hours / n:.0f} min on {n}" for n in (1, 2, 8, 32))
    print(f"  {SLAKH_TRACKS} such tracks at this rate, cores scaling ideally: {cores} cores")


def where(corpus: Corpus, settings: CacheSettings, work: Path, seconds: float) -> None:
    """Print the parts of `prepare`, from a profile of one run, in ms a track and share."""
    profile = cProfile.Profile()
    profile.runcall(prepared, corpus, settings, work, 1)
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    whole = next(entry[3] for key, entry in stats.items() if key[2] == "prepared")
    codes = {part: function.__code__ for part, function in PARTS.items()}
    keys = {part: (code.co_filename, code.co_firstlineno, code.co_name) for part, code in codes.items()}
    spent = {part: stats[key][3] if key in stats else 0.0 for part, key in keys.items()}
    spent["else"] = whole - sum(spent.values())
    print(f"  where prepare's time goes (profiled: {whole / seconds:.2f} times the plain run):")
    for part, value in spent.items():
        print(f"    {part:14s} {1000 * value / len(corpus.tracks):7.1f} ms a track {100 * value / whole:5.1f} %")


def scaling(corpus: Corpus, settings: CacheSettings, work: Path, alone: float, repeats: int) -> None:
    """Print what all cores bring."""
    jobs = min(available_cores(), len(corpus.tracks))
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", str(jobs))
    prepared(corpus, settings, work, jobs)  # starts the workers
    seconds = medians({"all": lambda: prepared(corpus, settings, work, jobs)}, repeats)["all"]
    print(f"  on {jobs} cores {alone / seconds:.2f} times as fast as on one ({len(corpus.tracks)} tracks)")


if __name__ == "__main__":
    main()
