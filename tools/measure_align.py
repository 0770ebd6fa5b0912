"""Measure alignment on rendered band music whose performance is known.

    python tools/measure_align.py MIDI_FOLDER --soundfont FluidR3_GM.sf2 [--songs 60] [--python VENV/bin/python]

A SoundFont plays songs whose time was bent: drift of up to a quarter, rubato of up to a tenth on top. The score that is
aligned has lost a tenth of its notes, has a twentieth of notes that nobody plays, another tempo and, half the time,
another key. In three songs of seven a section is repeated or left out, or noise surrounds the music, of which not all
of the score is played. Beside scoresep stand chroma-DTW (librosa) and, with the interpreter of an environment that has
it, synctoolbox; both are told the transposition and where the music begins and ends. Every recording is also given the
score of another song. Prints a table, and writes it as JSON with --out.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import midirenderer
import numpy as np
import soundfile

from scoresep.alignment.align import Alignment, align, summary
from scoresep.alignment.path import mean_by
from scoresep.audio.loading import resample
from scoresep.errors import ScoresepError
from scoresep.rendering.song import tidied
from scoresep.score.midi_writing import midi_bytes
from scoresep.score.parts import Part
from scoresep.score.reading import Score, read_score

RATE = 16000
LONGEST = 75.0
"""Seconds of the score of a song."""
FORMS = ("as written", "as written", "as written", "as written", "repeat", "cut", "surrounded")
LOST, ADDED = 0.1, 0.05
"""Shares of notes that the score lacks, and that nobody plays."""
FAILED = 1.0
"""Seconds of median error beyond which a song is lost."""


@dataclass(frozen=True)
class Case:
    """A recording with a score and the truth about the two.

    Attributes:
        name, form: of the song, one of FORMS.
        samples: float32 (L,) at RATE.
        score: what is written.
        truth: for each part of the score, for each of its notes, the seconds at which it is played.
        transposition: semitones from the written to the sounding pitch.
        music: seconds at which the music begins and ends.
        played: the parts as they are played.
    """

    name: str
    form: str
    samples: np.ndarray
    score: Score
    truth: list[list[np.ndarray]]
    transposition: int
    music: tuple[float, float]
    played: list[Part]


def make_case(path: Path, soundfont: bytes, form: str, seed: int) -> Case | None:
    """A song of a MIDI file in a given form; None if there is too little in it."""
    rng = np.random.default_rng([seed, len(path.name), *path.name.encode()])
    written = read_score(path)[0]
    lines = written.bar_lines[written.bar_lines <= LONGEST]
    parts = [tidied(part, float(lines[-1])) for part in written.parts]
    parts = [part for part in parts if len(part)]
    if len(lines) < 12 or sum(map(len, parts)) < 100 or all(part.is_drum for part in parts):
        return None
    sections = sections_of(form, lines, rng)
    played, owner = performed(parts, sections)
    music = max(part.offset.max() for part in played)
    warp = time_warp(float(music) + 1.0, rng)
    before = float(rng.uniform(2, 12)) if form == "surrounded" else float(rng.uniform(0, 1))
    after = float(rng.uniform(2, 12)) if form == "surrounded" else 1.0
    bent = [replace(p, onset=warp(p.onset) + before, offset=warp(p.offset) + before) for p in played]
    end = max(float(part.offset.max()) for part in bent)
    samples = rendered(bent, end + after, soundfont)
    if form == "surrounded":
        samples = with_noise(samples, before, end + 0.5, rng)
    transposition = int(rng.integers(-6, 7)) if rng.random() < 0.5 else 0
    score, truth = scored(parts, bent, owner, lines, transposition, rng)
    return Case(path.stem, form, samples, score, truth, transposition, (before, end), bent)


def sections_of(form: str, lines: np.ndarray, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The sections of the score that are played, seconds from and to, in order."""
    count, last = len(lines) - 1, float(lines[-1])
    if form in ("repeat", "cut"):
        begin = int(rng.integers(1, max(count // 2, 2)))
        end = min(begin + int(rng.integers(max(count // 6, 2), max(count // 2, 3))), count - 2)
        a, b = float(lines[begin]), float(lines[max(end, begin + 1)])
        return [(0.0, b), (a, last)] if form == "repeat" else [(0.0, a), (b, last)]
    if form == "surrounded":
        return [
            (float(lines[int(rng.integers(0, count // 4))]), float(lines[count - int(rng.integers(0, count // 4))]))
        ]
    return [(0.0, last)]


def performed(parts: Sequence[Part], sections: Sequence[tuple[float, float]]) -> tuple[list[Part], list[np.ndarray]]:
    """The parts with their sections one after the other, and for each note its index in the part."""
    played, owner = [], []
    for part in parts:
        rows, moved, now = [], [], 0.0
        for begin, end in sections:
            inside = np.flatnonzero((part.onset >= begin - 1e-6) & (part.onset < end - 1e-6))
            rows.append(inside)
            moved.append(np.full(len(inside), now - begin))
            now += end - begin
        at, shift = np.concatenate(rows), np.concatenate(moved)
        if not len(at):
            at, shift = np.array([0]), np.zeros(1)
        fields = {"pitch": part.pitch[at], "velocity": part.velocity[at], "bend_time": np.zeros(0), "bend": np.zeros(0)}
        played.append(replace(part, onset=part.onset[at] + shift, offset=part.offset[at] + shift, **fields))
        owner.append(at)
    return played, owner


def time_warp(seconds: float, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """A function from even to played time: drift of up to a quarter, and rubato of up to a tenth on top."""
    at = np.arange(0.0, seconds + 1.0, 0.05)
    drift = sum(rng.normal() * np.sin(2 * np.pi * (at / rng.uniform(20, 60) + rng.random())) for _ in range(3))
    rubato = sum(rng.normal() * np.sin(2 * np.pi * (at / rng.uniform(2, 8) + rng.random())) for _ in range(4))
    pace = np.exp(0.22 * drift / np.abs(drift).max() + 0.09 * rubato / np.abs(rubato).max())
    played = np.append(0.0, np.cumsum(pace)[:-1] * 0.05)
    return lambda values: np.interp(values, at, played)


def rendered(parts: Sequence[Part], seconds: float, soundfont: bytes) -> np.ndarray:
    """The parts as a recording: float32 (L,) at RATE."""
    wave = midirenderer.render_wave_from(soundfont, midi_bytes(parts, seconds, controls=((7, 45), (91, 40))))
    samples, rate = soundfile.read(io.BytesIO(wave), dtype="float32", always_2d=True)
    return resample(samples.mean(axis=1), rate, RATE)


def with_noise(samples: np.ndarray, begin: float, end: float, rng: np.random.Generator) -> np.ndarray:
    """Applause, as bursts of noise, before and after the music."""
    noise = rng.normal(size=len(samples)) * np.repeat(rng.random(len(samples) // 800 + 1), 800)[: len(samples)]
    outside = np.ones(len(samples))
    outside[int(begin * RATE) : int(end * RATE)] = 0.0
    level = 0.5 * float(np.sqrt(np.mean(np.square(samples))))
    return (samples + level * outside * noise).astype(np.float32)


def scored(
    parts: Sequence[Part],
    played: Sequence[Part],
    owner: Sequence[np.ndarray],
    lines: np.ndarray,
    transposition: int,
    rng: np.random.Generator,
) -> tuple[Score, list[list[np.ndarray]]]:
    """The score with notes lost and added, in another tempo and key, and when its notes are played."""
    tempo = float(rng.uniform(0.8, 1.25))
    written, truth = [], []
    for part, performance, of in zip(parts, played, owner, strict=True):
        kept = np.flatnonzero(rng.random(len(part)) > LOST)
        more = rng.integers(0, len(part), round(ADDED * len(part)))
        length = part.offset[more] - part.onset[more]
        onset = np.append(part.onset[kept], rng.uniform(0, lines[-1] - 1, len(more)))
        offset = np.append(part.offset[kept], onset[len(kept) :] + length)
        pitch = np.append(
            part.pitch[kept], part.pitch[more] if part.is_drum else part.pitch[more] + rng.integers(-7, 8, len(more))
        )
        velocity = np.append(part.velocity[kept], part.velocity[more])
        when = [performance.onset[of == k] for k in kept] + [np.zeros(0)] * len(more)
        order = np.argsort(onset, kind="stable")
        moved = pitch if part.is_drum else pitch - transposition
        written.append(
            replace(
                part,
                onset=tempo * onset[order],
                offset=tempo * offset[order],
                pitch=np.clip(moved[order], 0, 127),
                velocity=velocity[order],
                bend_time=np.zeros(0),
                bend=np.zeros(0),
            )
        )
        truth.append([when[k] for k in order])
    return Score(written, tempo * lines), truth


# Errors


def errors_of(case: Case, found: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Seconds by which each note that is played is off.

    What counts is the moment found for this very note; where none is near, as the score has the same section several
    times and another copy of it was placed there, the nearest of its part and pitch.
    """
    errors = []
    for part, truth, moments in zip(case.score.parts, case.truth, found, strict=True):
        of_pitch: dict[int, np.ndarray] = {}
        for pitch in np.unique(part.pitch).tolist():
            of_pitch[pitch] = np.concatenate([moments[k] for k in np.flatnonzero(part.pitch == pitch)])
        for pitch, true, own in zip(part.pitch.tolist(), truth, moments, strict=True):
            for at in true:
                error = distance(own, at)
                errors.append(error if error < FAILED else distance(of_pitch[pitch], at))
    return np.array(errors)


def distance(moments: np.ndarray, at: float) -> float:
    """Seconds from a moment to the nearest of some, at most `FAILED`."""
    return min(float(np.abs(moments - at).min()), FAILED) if len(moments) else FAILED


def moments_of(alignment: Alignment, score: Score) -> list[list[np.ndarray]]:
    """For each part of the score, for each of its notes, the moments at which an alignment places it."""
    moments: list[list[list[float]]] = [[[] for _ in range(len(part))] for part in score.parts]
    notes = alignment.notes
    for part, index, onset in zip(notes.part.tolist(), notes.index.tolist(), notes.onset.tolist(), strict=True):
        moments[part][index].append(onset)
    return [[np.array(each) for each in part] for part in moments]


def warped(score: Score, times: np.ndarray, moments: np.ndarray) -> list[list[np.ndarray]]:
    """The same of a path between score times and moments of the recording."""
    return [[np.array([at]) for at in np.interp(part.onset, times, moments)] for part in score.parts]


# Other ways


def chroma_dtw(case: Case) -> list[list[np.ndarray]]:
    """DTW on chroma at 50 Hz, of the music without what surrounds it: librosa's defaults."""
    import librosa

    hop = RATE // 50
    begin, end = (int(second * RATE) for second in case.music)
    heard = librosa.feature.chroma_stft(y=case.samples[begin:end], sr=RATE, n_fft=4096, hop_length=hop)
    seconds = max(float(part.offset.max()) for part in case.score.parts)
    written = np.full((12, int(seconds * 50) + 1), 1e-3)
    for part in case.score.parts:
        if not part.is_drum:
            for on, off, pitch in zip(part.onset, part.offset, part.pitch, strict=True):
                written[(pitch + case.transposition) % 12, int(on * 50) : max(int(off * 50), int(on * 50) + 1)] += 1
    _, path = librosa.sequence.dtw(written, heard + 1e-3, metric="cosine")
    return warped(case.score, *mean_by(path[::-1, 0] / 50, path[::-1, 1] / 50 + case.music[0]))


SYNCTOOLBOX = """
import pickle, sys
import numpy as np, pandas as pd
from synctoolbox.dtw.mrmsdtw import sync_via_mrmsdtw
from synctoolbox.dtw.utils import make_path_strictly_monotonic
from synctoolbox.feature.chroma import pitch_to_chroma, quantize_chroma
from synctoolbox.feature.csv_tools import df_to_pitch_features, df_to_pitch_onset_features
from synctoolbox.feature.dlnco import pitch_onset_features_to_DLNCO
from synctoolbox.feature.pitch import audio_to_pitch_features
from synctoolbox.feature.pitch_onset import audio_to_pitch_onset_features
import librosa
for line in sys.stdin:
    samples, rows, seconds, out = pickle.load(open(line.strip(), "rb"))
    y = librosa.resample(samples, orig_sr=16000, target_sr=22050)
    audio_f = audio_to_pitch_features(f_audio=y, Fs=22050, tuning_offset=0, feature_rate=50)
    audio_c = quantize_chroma(pitch_to_chroma(f_pitch=audio_f))
    onset = audio_to_pitch_onset_features(f_audio=y, Fs=22050, tuning_offset=0)
    audio_d = pitch_onset_features_to_DLNCO(f_peaks=onset, feature_rate=50, feature_sequence_length=audio_c.shape[1])
    df = pd.DataFrame(rows, columns=["start", "end", "pitch", "velocity", "instrument"])
    df["duration"] = df.end - df.start
    score_f = df_to_pitch_features(df, feature_rate=50)
    score_c = quantize_chroma(pitch_to_chroma(f_pitch=score_f))
    score_o = df_to_pitch_onset_features(df)
    length = score_c.shape[1]
    score_d = pitch_onset_features_to_DLNCO(f_peaks=score_o, feature_rate=50, feature_sequence_length=length)
    wp = sync_via_mrmsdtw(
        f_chroma1=score_c, f_onset1=score_d, f_chroma2=audio_c, f_onset2=audio_d, input_feature_rate=50,
        step_weights=np.array([1.5, 1.5, 2.0]), threshold_rec=10**6, verbose=False)
    np.save(out, make_path_strictly_monotonic(wp) / 50)
    print("ok", flush=True)
"""


def synctoolbox(python: str, case: Case, folder: Path) -> list[list[np.ndarray]]:
    """MrMsDTW on chroma and DLNCO at 50 Hz, by synctoolbox in another environment."""
    begin, end = (int(second * RATE) for second in case.music)
    rows = [
        (float(on), float(off), int(pitch) + case.transposition, velocity / 127, "piano")
        for part in case.score.parts
        if not part.is_drum
        for on, off, pitch, velocity in zip(part.onset, part.offset, part.pitch, part.velocity, strict=True)
    ]
    job, out = folder / "job.pickle", folder / "path.npy"
    seconds = max(row[1] for row in rows)
    job.write_bytes(pickle.dumps((case.samples[begin:end], sorted(rows), seconds, str(out))))
    subprocess.run([python, "-c", SYNCTOOLBOX], input=f"{job}\n", text=True, check=True, capture_output=True)
    path = np.load(out)
    return warped(case.score, path[0], path[1] + case.music[0])


# The table


def shares(errors: Sequence[np.ndarray]) -> dict[str, float]:
    """Medians over songs and shares of notes, in ms and percent."""
    medians = np.array([np.median(each) for each in errors])
    every = np.concatenate(list(errors))
    within = {f"within {ms} ms": 100 * float((every <= ms / 1000).mean()) for ms in (25, 50, 100)}
    return {
        "songs": len(errors),
        "lost": int((medians >= FAILED / 2).sum()),
        "median": 1000 * float(np.median(every)),
        "median of medians": 1000 * float(np.median(medians)),
        **within,
    }


@dataclass
class Found:
    """What came of the songs so far: errors by way and song, forms, bars (trusted, in place), and who was refused."""

    errors: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)
    bars: list[tuple[bool, bool]] = field(default_factory=list)
    right_refused: list[bool] = field(default_factory=list)
    wrong_refused: list[bool] = field(default_factory=list)
    seconds: float = 0.0
    taken: float = 0.0


def main() -> int:
    """Make songs, align them, print the table, also when stopped (Ctrl-C)."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("midi", type=Path)
    options.add_argument("--soundfont", type=Path, required=True)
    options.add_argument("--songs", type=int, default=60)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--python", default="", help="of an environment with synctoolbox")
    options.add_argument("--baselines", type=int, default=1000, help="songs that the others align")
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    found = Found()
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        others = {"chroma-DTW": chroma_dtw}
        if given.python:
            others["synctoolbox"] = lambda case: synctoolbox(given.python, case, Path(folder))
        before: Case | None = None
        for case in cases(given.midi, given.soundfont.read_bytes(), given.songs, given.seed):
            measure(case, before, found)
            for name, way in others.items():
                if len(found.forms) <= given.baselines:
                    found.errors.setdefault(name, {})[case.name] = errors_of(case, way(case))
            before = case
    report(found, given.out)
    return 0


def cases(folder: Path, soundfont: bytes, songs: int, seed: int, forms: Sequence[str] = FORMS) -> Iterator[Case]:
    """So many songs of a folder, drawn by chance, in these forms by turns."""
    files = sorted(folder.rglob("*.mid"))
    made = 0
    for number in np.random.default_rng(seed).permutation(len(files)):
        case = make_case(files[number], soundfont, forms[made % len(forms)], seed) if made < songs else None
        if case:
            made += 1
            yield case


def measure(case: Case, other: Case | None, found: Found) -> None:
    """Align a recording with its own score and with that of another song."""
    found.forms[case.name] = case.form
    began = time.process_time()
    try:
        alignment = align(case.samples, RATE, [case.score])
    except ScoresepError as fault:
        alignment, line = None, f"refused: {fault}"
        errors = np.full(sum(map(len, case.truth)), FAILED)
    else:
        found.taken += time.process_time() - began
        found.seconds += len(case.samples) / RATE
        errors = errors_of(case, moments_of(alignment, case.score))
        found.bars += judged_bars(case, alignment)
        line = f"{1000 * np.median(errors):.0f} ms, {(errors < 0.1).mean():.0%} within 100 ms; {summary(alignment)}"
    found.errors.setdefault("scoresep", {})[case.name] = errors
    found.right_refused.append(alignment is None)
    print(f"{case.name}, {case.form}: {line}", flush=True)
    if other is not None:
        try:
            align(case.samples, RATE, [other.score])
        except ScoresepError:
            found.wrong_refused.append(True)
        else:
            found.wrong_refused.append(False)
            print("  accepted the score of another song", flush=True)


def judged_bars(case: Case, alignment: Alignment) -> list[tuple[bool, bool]]:
    """For each bar of the result: whether it is trusted, and whether its notes are in place (80 % within 100 ms)."""
    notes, judged = alignment.notes, []
    played = [np.concatenate([np.zeros(0), *truth]) for truth in case.truth]
    pitch = [np.repeat(p.pitch, [len(t) for t in truth]) for p, truth in zip(case.score.parts, case.truth, strict=True)]
    off = np.full(len(notes), np.nan)
    for k, (part, index, onset) in enumerate(zip(notes.part, notes.index, notes.onset, strict=True)):
        if len(case.truth[part][index]):
            own = distance(case.truth[part][index], onset)
            same = played[part][pitch[part] == case.score.parts[part].pitch[index]]
            off[k] = own if own < FAILED else distance(same, onset)
    for bar in alignment.bars:
        inside = (notes.onset >= bar.begin) & (notes.onset < bar.end) & ~np.isnan(off)
        if inside.sum() >= 3:
            judged.append((bar.trusted, bool((off[inside] < 0.1).mean() >= 0.8)))
    return judged


def report(found: Found, out: Path | None) -> None:
    """Print what came of it."""
    names = ("number", "lost", "median, ms", "median of medians, ms")
    print("| songs | way | " + " | ".join((*names, "25 ms", "50 ms", "100 ms")) + " |\n|" + "---|" * 9)
    rows = {}
    for title, wanted in (("all", {*FORMS}), ("as written", {"as written"}), ("other forms", {*FORMS[4:]})):
        for way, errors in found.errors.items():
            if chosen := [each for name, each in errors.items() if found.forms[name] in wanted]:
                row = rows[f"{title}, {way}"] = shares(chosen)
                cells = [f"{value:.0f}" for value in list(row.values())[:4]]
                cells += [f"{value:.1f} %" for value in list(row.values())[4:]]
                print(f"| {title} | {way} | {' | '.join(cells)} |")
    trusted, good = np.array(found.bars, dtype=bool).reshape(-1, 2).T
    figures = {
        "wrong scores refused": f"{sum(found.wrong_refused)} of {len(found.wrong_refused)}",
        "right scores refused": f"{sum(found.right_refused)} of {len(found.right_refused)}",
        "bars": len(good),
        "bars out of place": int((~good).sum()),
        "of these not trusted": round(float((~trusted[~good]).mean()), 3) if (~good).any() else None,
        "of the good ones not trusted": round(float((~trusted[good]).mean()), 3) if good.any() else None,
        "times real time": round(found.seconds / max(found.taken, 1e-9), 1),
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    if out:
        out.write_text(json.dumps({"rows": rows, "figures": figures}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
