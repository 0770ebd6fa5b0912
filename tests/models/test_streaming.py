from collections.abc import Iterator

import numpy as np
import pytest
import torch

from scoresep.audio.loading import resample
from scoresep.audio.source import ArraySource
from scoresep.audio.spectrogram import QUIETEST, level_of, stft
from scoresep.grid import Grid
from scoresep.models.model import Model
from scoresep.models.streaming import (
    block_frames,
    level_of_source,
    magnitudes,
    model_audio,
    model_samples,
    network_blocks,
    resampled,
)

GRID = Grid()


def noise(samples: int) -> np.ndarray:
    return (np.random.default_rng(1).standard_normal(samples) * 0.1).astype(np.float32)


def pieces(samples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (samples[first : first + size] for first in range(0, len(samples), size))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44099, 44100, 48000])
@pytest.mark.parametrize("samples", [1, 2, 100, 30011])
def test_resampling_in_pieces_equals_resampling_the_whole(rate: int, samples: int) -> None:
    signal = noise(samples)
    length = -(-samples * 16000 // rate)
    streamed = np.concatenate(list(resampled(pieces(signal, 1000), rate, 16000, length)))
    assert len(streamed) == length
    np.testing.assert_allclose(streamed, resample(signal, rate, 16000), atol=1e-7)


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 2047, 2048, 20000])
@pytest.mark.parametrize("size", [1, 700, 100000])
def test_magnitudes_in_pieces_equal_the_whole(samples: int, size: int) -> None:
    if size == 1 and samples > 3000:
        pytest.skip("slow, and no other case than the shorter ones")
    signal = noise(samples)
    streamed = np.concatenate(list(magnitudes(pieces(signal, size), GRID, samples)))
    np.testing.assert_allclose(streamed, np.abs(stft(signal, GRID.n_fft, GRID.hop)), atol=1e-7)


def test_level_is_that_of_the_mono_signal_at_the_models_rate() -> None:
    stereo = np.stack([noise(50000), 0.5 * noise(50000)], axis=1)
    heard = resample(stereo.mean(axis=1), 44100, 16000)
    assert level_of_source(ArraySource(stereo, 44100), GRID) == pytest.approx(level_of(heard), rel=1e-6)


def test_level_of_silence() -> None:
    assert level_of_source(ArraySource(np.zeros(100), 44100), GRID) == QUIETEST


@pytest.mark.parametrize("block", [1, 5, 40, 1000])
def test_blocks_of_a_network_equal_the_whole(model: Model, block: int) -> None:
    magnitude = np.abs(stft(noise(40000), GRID.n_fft, GRID.hop)) / np.float32(0.1)
    frames = len(magnitude)
    with torch.inference_mode():
        whole = model.separator(torch.from_numpy(magnitude.T[None].copy()))[0].numpy()

    def network(x: torch.Tensor) -> torch.Tensor:
        return model.separator(x)[0]

    context = model.separator.context
    blocks = list(network_blocks(pieces(magnitude, 7), network, context, block, frames, torch.device("cpu")))
    np.testing.assert_array_equal(np.concatenate([own for own, _ in blocks]), magnitude)
    np.testing.assert_allclose(np.concatenate([out for _, out in blocks], axis=-1), whole, atol=1e-5)


def test_too_little_context_would_show(model: Model) -> None:
    """Guards the test above: with one frame less on either side, blocks differ from the whole."""
    magnitude = np.abs(stft(noise(40000), GRID.n_fft, GRID.hop)) / np.float32(0.1)

    def masks(context: int, block: int) -> np.ndarray:
        blocks = network_blocks(
            iter([magnitude]), lambda x: model.separator(x)[0], context, block, len(magnitude), torch.device("cpu")
        )
        return np.concatenate([out for _, out in blocks], axis=-1)

    whole = masks(model.separator.context, 1000)
    assert np.abs(masks(model.separator.context - 1, 5) - whole).max() > 1e-4


def test_lengths_follow_the_grid() -> None:
    source = ArraySource(noise(44101), 44100)
    assert model_samples(source, GRID) == 16001
    assert sum(map(len, model_audio(source, source.chunks(), GRID))) == 16001


def test_block_is_never_shorter_than_the_context() -> None:
    assert block_frames(1.0, GRID, 10) == 31
    assert block_frames(1.0, GRID, 400) == 400
    assert block_frames(0.0, GRID, 0) == 1
