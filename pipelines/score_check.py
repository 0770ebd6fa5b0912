"""Measure the score check: inject known faults into the stems of a corpus and count which are found.

    python pipelines/score_check.py [--songs 24] [--seconds 60] [--seed 7] [--midi DIR] [--corpus DIR] [--jobs 2]

Renders a corpus (or takes --corpus), checks every stem as it is, then copies of it in memory with one fault each, and
prints Markdown: faults found by kind and by instrument, good stems that were flagged, and the cost against decoding.
Faults follow from the seed. A fault counts as found if anything is reported, and as named if it is called what it is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scoresep.audio.loading import fit, read_audio
from scoresep.datasets.base import Stem, Track
from scoresep.datasets.slakh import open_slakh
from scoresep.errors import ScoresepError
from scoresep.executor import Engine
from scoresep.instruments import INSTRUMENTS, group_of
from scoresep.machine import available_cores
from scoresep.rendering.render import RenderSettings, render_corpus
from scoresep.score.parts import Part, read_midi
from scoresep.score_check import Disagreement, check_stem, warm_up

OFFSETS = (0.1, 0.25, 1.0, 4.0, 12.0)
NOISE_DB = (0, -6, -10)
KIND_OF = {
    "octave": "octave",
    "bends": "bends",
    "offset": "offset",
    "noise": "noise",
    "gap": "missing audio",
    "silence": "silent",
    "audio": "foreign",
}
"""First word of a fault's name to the kind of finding that names it."""
GOOD = "as it is"


@dataclass(frozen=True)
class Result:
    """What was reported of one stem with one fault."""

    fault: str
    track: str
    stem: str
    group: str
    about: str
    findings: tuple[Disagreement, ...]


@dataclass(frozen=True)
class Cost:
    """Seconds of audio of one stem, and seconds that decoding and checking it took."""

    audio: float
    decode: float
    check: float


def main() -> int:
    """Print the tables; exit status 2 where a file or an option is at fault."""
    options = parse()
    try:
        if options.corpus:
            report(options.corpus, options)
        else:
            with tempfile.TemporaryDirectory() as folder:
                report(render(Path(folder) / "corpus", options), options)
    except ScoresepError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    return 0


def parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--corpus", type=Path, help="corpus in Slakh's layout to take instead of rendering one")
    options.add_argument("--songs", type=int, default=24, help="songs to render (default: %(default)s)")
    options.add_argument("--seconds", type=float, default=60.0, help="longest song (default: %(default)s)")
    options.add_argument("--seed", type=int, default=7, help="of corpus and faults (default: %(default)s)")
    options.add_argument("--midi", type=Path, help="folder of MIDI files to render instead of composing")
    options.add_argument("--soundfont", type=Path, help="SoundFont to render with (default: the one of pretty_midi)")
    options.add_argument("--sample-rate", type=int, default=44100, help="Hz of the corpus (default: %(default)s)")
    options.add_argument("--jobs", type=int, default=available_cores(), help="processes (default: one a core)")
    return options.parse_args()


def render(out: Path, options: argparse.Namespace) -> Path:
    """Render the corpus that the options ask for."""
    chosen = {"soundfonts": (options.soundfont,)} if options.soundfont else {}
    settings = RenderSettings(
        songs=options.songs,
        midi_dir=options.midi,
        seed=options.seed,
        seconds=options.seconds,
        sample_rate=options.sample_rate,
        **chosen,
    )
    render_corpus(out, settings, jobs=options.jobs)
    return out


def report(corpus: Path, options: argparse.Namespace) -> None:
    """Check the corpus and print the tables."""
    tracks = [track for track in open_slakh(corpus).tracks if track.stems]
    warm_up()
    strangers = [tracks[(n + 1) % len(tracks)] if len(tracks) > 1 else None for n in range(len(tracks))]
    checks = [(*pair, [options.seed, n]) for n, pair in enumerate(zip(tracks, strangers, strict=True))]
    results: list[Result] = []
    costs: list[Cost] = []
    for done, (found, spent) in enumerate(Engine(options.jobs).map(check_one, checks), start=1):
        results += found
        costs += spent
        print(f"{done}/{len(tracks)} tracks", file=sys.stderr, flush=True)
    print(fault_table(results), group_table(results), flagged_list(results), cost_lines(costs), sep="\n\n")


# Injecting and checking


def check_one(check: tuple[Track, Track | None, Sequence[int]]) -> tuple[list[Result], list[Cost]]:
    return check_track(*check)


def check_track(track: Track, stranger: Track | None, seed: Sequence[int]) -> tuple[list[Result], list[Cost]]:
    """Check all stems of a track with every fault; `stranger` lends the audio of another song."""
    warm_up()
    rng = np.random.default_rng(seed)
    results, costs = [], []
    heard = {stem.name: read_audio(stem.audio)[0] for stem in track.stems}
    pitched = [stem.name for stem in track.stems if not stem.is_drum]
    foreign = next((stem for stem in stranger.stems if not stem.is_drum), None) if stranger else None
    foreign_samples = read_audio(foreign.audio)[0] if foreign else None
    for stem in track.stems:
        if stem.score is None:
            continue
        parts = [part.transposed(stem.transpose) for part in read_midi(stem.score)]
        began = time.perf_counter()
        samples, rate = read_audio(stem.audio)
        decoded = time.perf_counter()
        check_stem(samples, rate, parts, stem.is_drum)
        costs.append(Cost(len(samples) / rate, decoded - began, time.perf_counter() - decoded))
        others = {}
        if fellows := [name for name in pitched if name != stem.name and not stem.is_drum]:
            others["audio of another stem"] = heard[fellows[int(rng.integers(len(fellows)))]]
        if foreign_samples is not None and not stem.is_drum:
            others["audio of another song"] = foreign_samples
        for fault, copy, its_parts in faults(samples, rate, parts, stem.is_drum, others, rng):
            findings = tuple(check_stem(copy, rate, its_parts, stem.is_drum))
            results.append(Result(fault, track.id, stem.name, group_name(stem), about(stem, parts), findings))
    return results, costs


def faults(
    samples: np.ndarray,
    rate: int,
    parts: list[Part],
    is_drum: bool,
    others: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> Iterator[tuple[str, np.ndarray, list[Part]]]:
    """A stem as it is and with each fault: name, samples, parts."""
    yield GOOD, samples, parts
    if not is_drum:
        for semitones in (12, -12):
            yield f"octave: label {semitones:+d}", samples, [part.transposed(semitones) for part in parts]
        yield "bends: not heard", samples, [with_bends(part, rng) for part in parts]
    for seconds in (sign * size for size in OFFSETS for sign in (1, -1)):
        yield f"offset: {seconds:+g} s", delayed(samples, round(seconds * rate)), parts
    noise = rng.standard_normal(len(samples), dtype=np.float32) * np.sqrt(np.mean(np.square(samples)))
    yield "noise instead", noise, parts
    for level in NOISE_DB:
        yield f"noise over it, {level} dB", samples + noise * np.float32(10 ** (level / 20)), parts
    yield "gap: a third is silent", with_gap(samples, rate, parts, rng), parts
    yield "silence", np.zeros_like(samples), parts
    for name, other in others.items():
        yield name, fit(other, len(samples)), parts


def delayed(samples: np.ndarray, shift: int) -> np.ndarray:
    """Samples (L,) moved by `shift`, later if positive, filled with silence."""
    moved = np.zeros_like(samples)
    kept = max(len(samples) - abs(shift), 0)
    if shift >= 0:
        moved[len(samples) - kept :] = samples[:kept]
    else:
        moved[:kept] = samples[len(samples) - kept :]
    return moved


def with_gap(samples: np.ndarray, rate: int, parts: list[Part], rng: np.random.Generator) -> np.ndarray:
    """Samples with a third of them zero, around a note drawn at random."""
    onsets = np.concatenate([part.onset for part in parts])
    length = len(samples) // 3
    first = int(rng.choice(onsets) * rate - rng.uniform() * length)
    first = min(max(first, 0), len(samples) - length)
    copy = samples.copy()
    copy[first : first + length] = 0.0
    return copy


def with_bends(part: Part, rng: np.random.Generator) -> Part:
    """The part with half of its onsets bent down by two semitones."""
    onsets = np.unique(part.onset)
    return replace(part, bend_time=onsets, bend=-2.0 * rng.integers(0, 2, len(onsets)))


def group_name(stem: Stem) -> str:
    """The instrument group of a stem; "other" for programs outside all groups."""
    groups = tuple(INSTRUMENTS.values())
    index = group_of(stem.program, stem.is_drum, groups)
    return "other" if index is None else groups[index].name


def about(stem: Stem, parts: list[Part]) -> str:
    return f"program {stem.program}, {sum(len(part) for part in parts)} notes"


# Tables


def fault_table(results: list[Result]) -> str:
    """One row a fault. Precision sets the copies that were found against the good stems, as many, that were flagged."""
    good = {(r.track, r.stem): r for r in results if r.fault == GOOD}
    rows = ["| fault | injected | found | named | recall | precision |", "|---|---|---|---|---|---|"]
    by_fault: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_fault[result.fault].append(result)
    by_fault.pop(GOOD, None)
    total, false = Counter(), sum(bool(r.findings) for r in good.values())
    for fault, of_it in by_fault.items():
        found = sum(bool(r.findings) for r in of_it)
        named = sum(is_named(r) for r in of_it)
        flagged = sum(bool(good[r.track, r.stem].findings) for r in of_it)
        total.update(injected=len(of_it), found=found, named=named)
        rows.append(
            f"| {fault} | {len(of_it)} | {found} | {named} | {share(found, len(of_it))} "
            f"| {share(found, found + flagged)} |"
        )
    rows.append(
        f"| all | {total['injected']} | {total['found']} | {total['named']} "
        f"| {share(total['found'], total['injected'])} | |"
    )
    rows.append("")
    rows.append(f"Good stems flagged: {false} of {len(good)} ({share(false, len(good))}).")
    return "\n".join(rows)


def is_named(result: Result) -> bool:
    """Whether the findings call the fault what it is."""
    kind = KIND_OF[result.fault.replace(":", "").split()[0]]
    return any(finding.kind == kind for finding in result.findings)


def group_table(results: list[Result]) -> str:
    """Recall by instrument group and family of faults, and good stems flagged."""
    families = [*KIND_OF]
    rows = [
        f"| instrument | stems | flagged | {' | '.join(families)} |",
        "|---" * (len(families) + 3) + "|",
    ]
    for group in sorted({r.group for r in results}):
        of_it = [r for r in results if r.group == group]
        good = [r for r in of_it if r.fault == GOOD]
        cells = []
        for family in families:
            hurt = [r for r in of_it if r.fault.startswith(family)]
            cells.append(share(sum(bool(r.findings) for r in hurt), len(hurt)))
        rows.append(f"| {group} | {len(good)} | {sum(bool(r.findings) for r in good)} | {' | '.join(cells)} |")
    return "\n".join(rows)


def flagged_list(results: list[Result]) -> str:
    """Every good stem that was flagged, with what was said: a rendered corpus has wrong patches, too."""
    lines = [
        f"- {r.track} {r.stem} ({r.group}, {r.about}): {finding.kind}: {finding.detail}"
        for r in results
        if r.fault == GOOD
        for finding in r.findings
    ]
    return "\n".join(["Flagged as they are:", "", *(lines or ["- none"])])


def cost_lines(costs: list[Cost]) -> str:
    """Time of checking against decoding, over all stems."""
    audio, decode, check = (sum(getattr(cost, name) for cost in costs) for name in ("audio", "decode", "check"))
    milliseconds = sorted(1e3 * cost.check for cost in costs)
    return (
        f"Checking {len(costs)} good stems of about {audio / len(costs):.0f} s took {check / decode:.2f} of the time"
        f" of decoding them: median {milliseconds[len(costs) // 2]:.1f} ms, highest {milliseconds[-1]:.1f} ms a stem."
    )


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


if __name__ == "__main__":
    sys.exit(main())
