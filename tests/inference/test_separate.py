from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from scoresep.errors import ScoresepError
from scoresep.features.level import level_of
from scoresep.features.spectrogram import istft, stft
from scoresep.inference import separate
from scoresep.inference.separate import RESIDUAL, result_names, separate_array, separate_file
from scoresep.training.checkpoint import Model


def noise(*shape: int) -> np.ndarray:
    return (np.random.default_rng(2).standard_normal(shape) * 0.1).astype(np.float32)


def stacked(stems: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack(list(stems.values()))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44099, 44100, 48000])
@pytest.mark.parametrize("shape", [(1,), (100, 1), (511,), (512,), (513, 2), (70001,), (50000, 3)])
def test_stems_add_up_to_the_input(model: Model, rate: int, shape: tuple[int, ...]) -> None:
    mixture = noise(*shape)
    stems = separate_array(mixture, rate, model)
    assert list(stems) == list(model.names)
    assert all(stem.shape == shape and stem.dtype == np.float32 for stem in stems.values())
    np.testing.assert_allclose(stacked(stems).sum(axis=0), mixture, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 16000, 44099, 44100])
def test_result_does_not_depend_on_the_blocks(model: Model, rate: int) -> None:
    mixture = noise(rate * 5 + 7, 2)
    whole = stacked(separate_array(mixture, rate, model))
    for block_seconds in (0.0, 0.4, 1.7):
        blocks = stacked(separate_array(mixture, rate, model, block_seconds=block_seconds))
        np.testing.assert_allclose(blocks, whole, atol=1e-6)


def test_at_the_models_rate_a_stem_is_the_masked_spectrogram(model: Model) -> None:
    mixture = noise(30000)
    grid = model.grid
    spectrum = stft(mixture, grid.n_fft, grid.hop)
    relative = np.abs(spectrum) / np.float32(level_of(mixture))
    with torch.inference_mode():
        masks = model.separator(torch.from_numpy(relative.T[None].copy()))[0].numpy()
    stems = stacked(separate_array(mixture, grid.sample_rate, model))
    for stem, mask in zip(stems, masks, strict=True):
        direct = istft(spectrum * mask.T, len(mixture), grid.n_fft, grid.hop)
        same = slice(0, len(mixture) - grid.n_fft // 2)  # the stream has frames beyond the end that `stft` has not
        np.testing.assert_allclose(stem[same], direct[same], atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_constant_masks_scale_the_input(constant_model: Callable[..., Model], rate: int) -> None:
    mixture = noise(20000, 2)
    shares = (0.5, 0.3, 0.2)
    for share, stem in zip(shares, separate_array(mixture, rate, constant_model(shares)).values(), strict=True):
        np.testing.assert_allclose(stem, share * mixture, atol=1e-6)


def test_stems_scale_with_the_input(model: Model) -> None:
    mixture = noise(20000)
    loud, soft = (stacked(separate_array(gain * mixture, 16000, model)) for gain in (1.0, 0.01))
    np.testing.assert_allclose(soft, 0.01 * loud, atol=1e-6)


def test_silence_gives_silence(model: Model) -> None:
    stems = stacked(separate_array(np.zeros((3000, 2)), 44100, model))
    assert not stems.any()


def test_channels_keep_their_place(model: Model) -> None:
    """A silent channel stays silent: masks are shared, sound is not."""
    mixture = noise(20000, 2)
    mixture[:, 1] = 0
    stems = stacked(separate_array(mixture, 44100, model))
    assert not stems[:, :, 1].any()
    assert stems[:, :, 0].any(axis=1).all()


def test_empty_array(model: Model) -> None:
    with pytest.raises(ScoresepError, match="the audio is empty"):
        separate_array(np.zeros(0), 44100, model)


def test_files_hold_the_same_as_the_arrays(model: Model, tmp_path: Path) -> None:
    mixture = noise(60000, 2)
    song = tmp_path / "song.wav"
    soundfile.write(song, mixture, 44100, subtype="FLOAT")
    written = separate_file(song, model, tmp_path / "out", block_seconds=0.5)
    assert written == [tmp_path / "out" / "song" / f"{name}.wav" for name in model.names]
    expected = separate_array(mixture, 44100, model)
    for path, stem in zip(written, expected.values(), strict=True):
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == 44100
        np.testing.assert_allclose(samples, stem, atol=1e-6)
    assert sorted(path.name for path in (tmp_path / "out" / "song").iterdir()) == sorted(p.name for p in written)


def test_independent_masks_leave_a_residual(sigmoid_model: Model, model: Model, tmp_path: Path) -> None:
    mixture = noise(30000)
    song = tmp_path / "song.wav"
    soundfile.write(song, mixture, 16000, subtype="FLOAT")
    written = separate_file(song, sigmoid_model, tmp_path)
    assert [path.stem for path in written] == [*sigmoid_model.names, RESIDUAL]
    total = sum(soundfile.read(path, dtype="float32")[0] for path in written)
    np.testing.assert_allclose(total, mixture, atol=1e-6)
    separate_file(song, model, tmp_path)  # and a later run that needs none takes the old one away
    assert not (tmp_path / "song" / f"{RESIDUAL}.wav").exists()


def test_progress_ends_at_the_end(model: Model, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(80000), 16000)
    seen: list[tuple[float, float]] = []
    separate_file(song, model, tmp_path, block_seconds=1.0, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert seen[-1] == (5.0, 5.0)


def test_bad_audio_leaves_nothing_behind(model: Model, tmp_path: Path) -> None:
    song = tmp_path / "cut.flac"
    soundfile.write(song, noise(50000), 16000)
    song.write_bytes(song.read_bytes()[: song.stat().st_size // 2])
    with pytest.raises(ScoresepError, match=r"cut\.flac"):
        separate_file(song, model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_stop_leaves_no_stem_behind(model: Model, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(50000), 16000)

    def stop(_done: float, _total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separate_file(song, model, tmp_path / "out", progress=stop)
    assert not list((tmp_path / "out").rglob("*.wav"))


def test_output_that_cannot_be_written(model: Model, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(5000), 16000)
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(ScoresepError, match=r"out.* cannot be written"):
        separate_file(song, model, tmp_path / "out")


def test_long_stems_become_rf64(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separate, "LARGEST_WAV", 1000)
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(5000), 16000)
    assert {soundfile.info(path).format for path in separate_file(song, model, tmp_path)} == {"RF64"}


def test_names_of_results() -> None:
    assert result_names(["a/one.wav", "b/two.flac"]) == ["one", "two"]
    with pytest.raises(ScoresepError, match=r"a/one\.wav and b/One\.flac would both be written as 'One'"):
        result_names(["a/one.wav", "b/One.flac"])
