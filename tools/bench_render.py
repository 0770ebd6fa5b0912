"""Time `scoresep render` with packs and chains: times real time on one core, and what each part of it costs.

    python tools/bench_render.py [--sounds DIR] [--impulses DIR] [--songs 8] [--seconds 30] [--parts 6]

Composed songs, one core, in this process: a song's parts are repeated, or left out, to be `--parts`; every part that a
pack can play is played by one. Without `--sounds` a SoundFont plays; without `--impulses` chains use synthesised ones.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from scoresep.rendering.casting import cast_song
from scoresep.rendering.composer import GROUPS, compose
from scoresep.rendering.settings import RenderSettings
from scoresep.rendering.song import Song, fingerprint
from scoresep.rendering.sounds import gather_sounds
from scoresep.rendering.track import write_track

PARTS = {
    "SFZ: loading": [("sfz.py", "_loaded")],
    "SFZ: playing": [("sfz.py", "_played")],
    "SoundFont": [("soundfont.py", "render_part")],
    "amplifiers": [("drive.py", "_amplify"), ("drive.py", "_saturate")],
    "compressors": [("mixing_desk.py", "_compress")],
    "equalisers": [("mixing_desk.py", "apply_tone")],
    "rooms, devices": [("space.py", "_reverberate"), ("space.py", "_through")],
    "other effects": [("modulation.py", f"_{name}") for name in ("chorus", "tremolo", "phaser", "wah", "rotary")],
    "loudness": [("track.py", "integrated_loudness")],
    "mixing": [("track.py", "mix_stems")],
    "FLAC": [("track.py", "_write_flac")],
    "MIDI": [("midi_writing.py", "midi_bytes")],
}
"""Functions (file, name) that the time is divided by."""


def main() -> None:
    """Print the times."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sounds", type=Path)
    options.add_argument("--impulses", type=Path)
    options.add_argument("--songs", type=int, default=8)
    options.add_argument("--seconds", type=float, default=30.0)
    options.add_argument("--parts", type=int, default=6)
    chosen = options.parse_args()
    folders = (chosen.sounds,) if chosen.sounds else ()
    settings = RenderSettings(
        seconds=chosen.seconds, sounds=folders, impulses=chosen.impulses, chains=True, pack_share=1.0
    )
    with tempfile.TemporaryDirectory() as folder:
        bench(Path(folder), settings, chosen.songs, chosen.parts)


def bench(folder: Path, settings: RenderSettings, count: int, parts: int) -> None:
    started = time.process_time()
    sounds, _ = gather_sounds(folder, settings, GROUPS, 1, lambda done, total, what: None)
    print(f"sounds gathered in {time.process_time() - started:.1f} s: {len(sounds.packs.all)} packs")
    songs = [with_parts(compose(np.random.default_rng([0, n]), settings.seconds), parts) for n in range(count)]

    def render() -> None:
        for number, song in enumerate(songs):
            write_track(folder / f"{number}", song, cast_song(song, "train", settings, sounds), settings.sample_rate)

    profile = cProfile.Profile(time.process_time)
    started = time.process_time()
    render()
    seconds = time.process_time() - started
    played = sum(song.seconds for song in songs)
    print(f"{count} songs of {settings.seconds:.0f} s, {parts} parts: {played / seconds:.1f} times real time on a core")
    for number in range(count):
        (folder / f"{number}").rename(folder / f"first {number}")
    profile.runcall(render)
    report(profile, count, seconds)


def with_parts(song: Song, count: int) -> Song:
    """The song with `count` parts: its own in turn, each again with another program of its group."""
    chosen = [song.parts[n % len(song.parts)] for n in range(count)]
    again = [replace(part, program=part.program ^ (n // len(song.parts))) for n, part in enumerate(chosen)]
    return replace(song, parts=tuple(again), uuid=fingerprint(again))


def report(profile: cProfile.Profile, songs: int, plain: float) -> None:
    """Print the parts, in ms a song and share."""
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    whole = next(entry[3] for key, entry in stats.items() if key[2] == "render")
    spent = {
        part: sum(entry[3] for (file, _, name), entry in stats.items() if (Path(file).name, name) in functions)
        for part, functions in PARTS.items()
    }
    spent["else"] = whole - sum(spent.values())
    print(f"where the time goes (profiled: {whole / plain:.2f} times the plain run's processor time):")
    for part, value in spent.items():
        print(f"  {part:15s} {1000 * value / songs:7.1f} ms a song {100 * value / whole:5.1f} %")


if __name__ == "__main__":
    main()
