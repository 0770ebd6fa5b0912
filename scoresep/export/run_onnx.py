#!/usr/bin/env python3
"""Separate a recording with an ONNX file that `scoresep export` made. Needs numpy, soundfile and onnxruntime alone.

    python -m scoresep.export.run_onnx model.onnx song.wav --out stems [--present guitar,bass]

This file can be copied to wherever it is needed. The recording must have the model's sample rate (16000 Hz unless its
corpus was prepared with another); stems are 32-bit float WAV, and equal those of `scoresep separate` to 1e-4. If masks
do not add up by themselves (sigmoid), there is a `residual`, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

QUIETEST = 1e-5
"""Level of silence."""
BLOCK = 1000
"""Frames that go through the network at a time, its context aside."""


class Separator:
    """An ONNX file, ready for music.

    Attributes:
        about: sample_rate, n_fft, hop, context, mask, instruments.
    """

    def __init__(self, path: str | Path) -> None:
        import onnxruntime  # here: --help needs it not

        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.about: dict[str, Any] = json.loads(self._session.get_modelmeta().custom_metadata_map["scoresep"])

    def masks(self, magnitude: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Relative magnitudes float32 (T, F) and who plays, bool (N,) -> masks float32 (N, T, F), block by block."""
        context, parts = self.about["context"], []
        for start in range(0, len(magnitude), BLOCK):
            first = max(start - context, 0)
            window = magnitude[first : start + BLOCK + context]
            inputs = {"magnitude": np.ascontiguousarray(window.T[None]), "present": present}
            found = self._session.run(["masks"], inputs)[0][0].transpose(0, 2, 1)
            parts.append(found[:, start - first : min(start + BLOCK, len(magnitude)) - first])
        return np.concatenate(parts, axis=1)

    def separate(self, audio: np.ndarray, present: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Audio (L, C) at the model's rate to stems, name -> float32 (L, C), of those present (by default of all)."""
        names, n_fft, hop = self.about["instruments"], self.about["n_fft"], self.about["hop"]
        playing = np.isin(names, list(present) or names)
        mono = audio.astype(np.float32).mean(axis=1)
        level = max(float(np.sqrt(np.mean(np.square(mono, dtype=np.float64)))), QUIETEST)
        magnitude = np.abs(spectrum(mono, len(mono) // hop + 1, n_fft, hop)) / np.float32(level)
        masks = self.masks(magnitude.astype(np.float32), playing)[playing]
        frames = -(-(len(mono) + n_fft // 2) // hop)  # those that begin before the end: the last masks serve them
        masks = np.concatenate([masks, np.repeat(masks[:, -1:], max(frames - masks.shape[1], 0), axis=1)], axis=1)
        spectra = [spectrum(channel, frames, n_fft, hop) for channel in audio.T.astype(np.float32)]
        stems = {
            name: np.stack([inverse(shares[:frames] * each, len(mono), n_fft, hop) for each in spectra], axis=1)
            for name, shares in zip(np.array(names)[playing].tolist(), masks, strict=True)
        }
        if self.about["mask"] != "softmax":
            stems["residual"] = (audio - sum(stems.values())).astype(np.float32)
        return stems


def hann(n_fft: int) -> np.ndarray:
    """Periodic Hann window, float64 (n_fft,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def spectrum(samples: np.ndarray, frames: int, n_fft: int, hop: int) -> np.ndarray:
    """Frames centred on multiples of the hop, zeros beyond both ends, a sine's peak its amplitude: complex (T, F)."""
    padded = np.pad(samples, (n_fft // 2, n_fft + frames * hop))
    cut = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop][:frames]
    window = hann(n_fft)
    return np.fft.rfft(cut * (window * 2 / window.sum()), axis=1)


def inverse(spectra: np.ndarray, samples: int, n_fft: int, hop: int) -> np.ndarray:
    """Weighted overlap-add of (T, F): float32 (samples,)."""
    window = hann(n_fft)
    sound, weight = (np.zeros(n_fft + len(spectra) * hop) for _ in range(2))
    for place, frame in enumerate(np.fft.irfft(spectra, n_fft, axis=1) * (window * window.sum() / 2)):
        here = slice(place * hop, place * hop + n_fft)
        sound[here] += frame
        weight[here] += window**2
    whole = slice(n_fft // 2, n_fft // 2 + samples)
    return (sound[whole] / np.maximum(weight[whole], 1e-8)).astype(np.float32)


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model", type=Path)
    options.add_argument("audio", type=Path)
    options.add_argument("--out", type=Path, default=Path("stems"))
    options.add_argument("--present", default="", help="by comma, those that play, if you know")
    given = options.parse_args()
    try:
        separator = Separator(given.model)
    except Exception as fault:  # of any type, the runtime's own among them
        sys.exit(f"error: {given.model}: not an ONNX file of scoresep ({fault}); make one with `scoresep export`")
    try:
        audio, rate = soundfile.read(given.audio, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as fault:
        sys.exit(f"error: {given.audio}: not readable audio ({fault}); give a WAV or FLAC file")
    present = [name.strip() for name in given.present.split(",") if name.strip()]
    if unknown := set(present) - set(separator.about["instruments"]):
        sys.exit(f"error: unknown instrument {', '.join(unknown)}; known: {', '.join(separator.about['instruments'])}")
    if rate != separator.about["sample_rate"] or not len(audio):
        wanted = separator.about["sample_rate"]
        sys.exit(f"error: {given.audio}: {len(audio)} samples at {rate} Hz; give a recording of {wanted} Hz")
    given.out.mkdir(parents=True, exist_ok=True)
    for name, stem in separator.separate(audio, present).items():
        soundfile.write(given.out / f"{name}.wav", stem, rate, subtype="FLOAT")
        print(given.out / f"{name}.wav")


if __name__ == "__main__":
    main()
