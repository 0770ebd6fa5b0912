"""Other ways to align a score, which stand beside scoresep's: chroma-DTW of librosa, and synctoolbox."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path

import numpy as np
from alignment_cases import RATE, Case

from scoresep.alignment.path import mean_by
from scoresep.score.reading import Score


def warped(score: Score, times: np.ndarray, moments: np.ndarray) -> list[list[np.ndarray]]:
    """For each part of the score, for each of its notes, the moment at which a path between score times and moments of
    the recording places it."""
    return [[np.array([at]) for at in np.interp(part.onset, times, moments)] for part in score.parts]


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


class Synctoolbox:
    """MrMsDTW on chroma and DLNCO at 50 Hz, by synctoolbox in another environment, whose interpreter is given."""

    def __init__(self, python: str, folder: Path) -> None:
        self._job, self._out = folder / "job.pickle", folder / "path.npy"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([python, "-c", SYNCTOOLBOX], text=True, bufsize=1, **pipes)

    def __call__(self, case: Case) -> list[list[np.ndarray]]:
        begin, end = (int(second * RATE) for second in case.music)
        rows = [
            (float(on), float(off), int(pitch) + case.transposition, velocity / 127, "piano")
            for part in case.score.parts
            if not part.is_drum
            for on, off, pitch, velocity in zip(part.onset, part.offset, part.pitch, part.velocity, strict=True)
        ]
        seconds = max(row[1] for row in rows)
        self._job.write_bytes(pickle.dumps((case.samples[begin:end], sorted(rows), seconds, str(self._out))))
        self._process.stdin.write(f"{self._job}\n")
        if not self._process.stdout.readline().endswith("ok\n"):  # it prints dots, too
            raise SystemExit("synctoolbox has failed")
        path = np.load(self._out)
        return warped(case.score, path[0], path[1] + case.music[0])
