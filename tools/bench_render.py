"""Time `scoresep render`: times real time on one core, and what each part of it costs.

    python tools/bench_render.py [--songs 8] [--seconds 30] [--parts 6] [--bands] [--sounds DIR] [--voices DIR]

Composed songs with chains, one core, in this process, processor time. `--parts` repeats a song's parts, or leaves some
out; other options are those of `scoresep render`. Sounds are gathered, and voices analysed, once for a corpus: that is
told apart.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from scoresep.rendering import render as corpus
from scoresep.rendering import track
from scoresep.rendering.casting import cast_song
from scoresep.rendering.composer import BAND_GROUPS, GROUPS
from scoresep.rendering.effects import EFFECTS
from scoresep.rendering.settings import RenderSettings
from scoresep.rendering.song import Song, fingerprint
from scoresep.rendering.sounds import gather_sounds
from scoresep.rendering.sources import SOURCES, voice

ONCE = "voices: analysed, once for a corpus"


class Stopwatch:
    """Processor time of functions by name, without what others that are timed take inside of them."""

    def __init__(self) -> None:
        self.spent = Counter[str]()
        self._inside = [0.0]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            started = time.process_time()
            self._inside.append(0.0)
            try:
                return function(*args, **named)
            finally:
                whole = time.process_time() - started
                self.spent[name] += whole - self._inside.pop()
                self._inside[-1] += whole

        return call


def main() -> None:
    """Print the times."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--songs", type=int, default=8)
    options.add_argument("--seconds", type=float, default=30.0)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--parts", type=int)
    options.add_argument("--pack-share", type=float, default=0.7)
    options.add_argument("--bands", action="store_true")
    for name in ("soundfont", "sounds", "voices"):
        options.add_argument(f"--{name}", type=Path, action="append", default=[])
    for name in ("impulses", "charts", "grooves"):
        options.add_argument(f"--{name}", type=Path)
    chosen = vars(options.parse_args())
    count, parts, banks = (chosen.pop(name) for name in ("songs", "parts", "soundfont"))
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()}
    settings = RenderSettings(chains=True, **given, **({"soundfonts": tuple(banks)} if banks else {}))
    with tempfile.TemporaryDirectory() as folder:
        bench(Path(folder), settings, count, parts)


def bench(folder: Path, settings: RenderSettings, count: int, parts: int | None) -> None:
    started = time.process_time()
    groups = BAND_GROUPS if settings.bands else GROUPS
    sounds, _ = gather_sounds(folder, settings, groups, 1, lambda done, total, what: None)
    print(f"sounds gathered in {time.process_time() - started:.1f} s: {len(sounds.packs.all)} packs and voices")
    if settings.bands:
        corpus.band_material(settings.charts, settings.grooves, test=False)
    watch = Stopwatch()
    watch_all(watch)
    started, seconds, played = time.process_time(), 0.0, 0
    for number in range(count):
        song = corpus._composed(settings, number, "train")
        song = with_parts(song, parts) if parts else song
        cast = watch.timed("casting", cast_song)(song, "train", settings, sounds)
        track.write_track(folder / f"{number}", song, cast, settings.sample_rate)
        seconds, played = seconds + song.seconds, played + len(cast)
    spent = time.process_time() - started - watch.spent[ONCE]
    print(f"{count} songs of {settings.seconds:.0f} s, {played / count:.1f} parts: ", end="")
    print(f"{seconds / spent:.1f} times real time on a core, {spent / count:.2f} s a song")
    watch.spent["else"] = spent - sum(value for name, value in watch.spent.items() if name != ONCE)
    for name, value in sorted(watch.spent.items(), key=lambda item: -item[1]):
        share = f"{100 * value / spent:5.1f} %" if name != ONCE else "       "
        print(
            f"  {name:36s} {1000 * value / count:7.0f} ms a song {share} {seconds / max(value, 1e-9):8.0f} x real time"
        )


def watch_all(watch: Stopwatch) -> None:
    """Put the stopwatch around composing, sources, effects, levels and writing."""
    for kind, source in SOURCES.items():
        SOURCES[kind] = replace(source, play=watch.timed(f"source: {kind}", source.play))
    for name, effect in EFFECTS.items():
        EFFECTS[name] = replace(effect, apply=watch.timed(f"chain: {name}", effect.apply))
    for module, name, part in (
        (corpus, "_composed", "composing"),
        (voice, "analyse", ONCE),
        (track, "integrated_loudness", "levels: loudness"),
        (track, "mix_stems", "levels: mixing"),
        (track, "_write_flac", "writing: FLAC"),
        (track, "midi_bytes", "writing: MIDI"),
        (track, "_write", "writing: metadata, folders"),
    ):
        setattr(module, name, watch.timed(part, getattr(module, name)))


def with_parts(song: Song, count: int) -> Song:
    """The song with `count` parts: its own in turn, each again with another program of its group."""
    chosen = [song.parts[n % len(song.parts)] for n in range(count)]
    again = [replace(part, program=part.program ^ (n // len(song.parts))) for n, part in enumerate(chosen)]
    return replace(song, parts=tuple(again), uuid=fingerprint(again))


if __name__ == "__main__":
    main()
