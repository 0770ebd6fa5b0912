from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from scoresep.audio.spectrogram import istft, level_of, stft
from scoresep.errors import AlreadyExists, Damaged, InvalidValue, Mismatch, Unwritable
from scoresep.evaluation.metrics import si_sdr
from scoresep.grid import Grid
from scoresep.instruments import Instrument, choose
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings
from scoresep.score.parts import part_from_notes
from scoresep.separation.score_prior import ScorePrior
from scoresep.separation.separate import RESIDUAL, Options, file_names, separate_array, separate_file
from scoresep.separation.writing import choose_format


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


@pytest.mark.parametrize(
    ("rate", "long_window"),
    [(8000, False), (16000, False), (44099, False), (44100, False), (16000, True), (44100, True)],
)
def test_result_does_not_depend_on_the_blocks(model: Model, rate: int, long_window: bool) -> None:
    mixture = noise(rate * 5 + 7, 2)
    whole = stacked(separate_array(mixture, rate, model, Options(long_window=long_window)))
    np.testing.assert_allclose(whole.sum(axis=0), mixture, atol=1e-6)
    for block_seconds in (0.0, 0.4, 1.7):
        options = Options(block_seconds=block_seconds, long_window=long_window)
        blocks = stacked(separate_array(mixture, rate, model, options))
        np.testing.assert_allclose(blocks, whole, atol=1e-6)


def test_a_long_window_takes_a_mask_of_every_other_bin(model: Model) -> None:
    """At the model's rate the masks lie on its frames, and on every second bin of a window twice as long."""
    mixture, grid = noise(30000), model.grid
    seen: list[np.ndarray] = []
    stems = stacked(separate_array(mixture, grid.sample_rate, model, Options(long_window=True), seen))
    masks = np.concatenate(seen, axis=2).transpose(0, 2, 1)
    finer = np.repeat(masks, 2, axis=2)[:, :, :-1]
    finer[:, :, 1::2] = (masks[:, :, :-1] + masks[:, :, 1:]) / 2
    spectrum = stft(mixture, 2 * grid.n_fft, grid.hop)
    same = slice(0, len(mixture) - grid.n_fft)
    for stem, mask in zip(stems, finer, strict=True):
        direct = istft(spectrum * mask, len(mixture), 2 * grid.n_fft, grid.hop)
        np.testing.assert_allclose(stem[same], direct[same], atol=1e-5)


def test_at_the_models_rate_a_stem_is_the_masked_spectrogram(model: Model) -> None:
    mixture = noise(30000)
    grid = model.grid
    spectrum = stft(mixture, grid.n_fft, grid.hop)
    relative = np.abs(spectrum) / np.float32(level_of(mixture))
    with torch.inference_mode():
        masks = model.separator(torch.from_numpy(relative.T[None].copy()))[0].numpy()
    seen: list[np.ndarray] = []
    stems = stacked(separate_array(mixture, grid.sample_rate, model, Options(block_seconds=0.5), seen))
    np.testing.assert_allclose(np.concatenate(seen, axis=2), masks, atol=1e-5)
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


def test_empty_array(model: Model, refused: Any) -> None:
    with refused(InvalidValue):
        separate_array(np.zeros(0), 44100, model)


def write_song(path: Path, samples: np.ndarray, rate: int = 16000, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def read_stems(files: Sequence[Path]) -> np.ndarray:
    return np.stack([soundfile.read(path, dtype="float32")[0] for path in files])


def test_files_hold_the_same_as_the_arrays(model: Model, tmp_path: Path) -> None:
    mixture = noise(60000, 2)
    song = write_song(tmp_path / "song.wav", mixture, 44100)
    written = separate_file(song, model, tmp_path / "out" / "song", Options(block_seconds=0.5))
    assert written.files == [tmp_path / "out" / "song" / f"{name}.wav" for name in model.names]
    assert written.gain == 1.0
    expected = separate_array(mixture, 44100, model)
    for path, stem in zip(written.files, expected.values(), strict=True):
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == 44100
        np.testing.assert_allclose(samples, stem, atol=1e-6)
    assert {path.name for path in (tmp_path / "out" / "song").iterdir()} == {path.name for path in written.files}


@pytest.mark.parametrize(("suffix", "rate", "channels"), [("flac", 44100, 2), ("ogg", 22050, 1), ("mp3", 48000, 2)])
def test_chunks_of_any_file_give_what_the_whole_gives(
    model: Model, tmp_path: Path, suffix: str, rate: int, channels: int
) -> None:
    song = tmp_path / f"song.{suffix}"
    soundfile.write(song, noise(4 * rate, channels), rate)
    whole, _ = soundfile.read(song, dtype="float32", always_2d=True)
    written = separate_file(song, model, tmp_path / "out", Options(block_seconds=0.0))
    expected = stacked(separate_array(whole, rate, model, Options(block_seconds=1000.0)))
    np.testing.assert_allclose(read_stems(written.files), expected.squeeze(), atol=1e-4)


def test_independent_masks_leave_a_residual(sigmoid_model: Model, tmp_path: Path) -> None:
    mixture = noise(30000)
    song = write_song(tmp_path / "song.wav", mixture)
    written = separate_file(song, sigmoid_model, tmp_path / "out")
    assert [path.stem for path in written.files] == [*sigmoid_model.names, RESIDUAL]
    np.testing.assert_allclose(read_stems(written.files).sum(axis=0), mixture, atol=1e-7)


def test_a_choice_of_instruments_leaves_the_others_in_the_residual(model: Model) -> None:
    mixture = noise(30000, 2)
    every = separate_array(mixture, 44100, model)
    chosen = separate_array(mixture, 44100, model, Options(instruments=("bass", "piano")))
    assert list(chosen) == ["bass", "piano", RESIDUAL]
    for name in ("bass", "piano"):
        np.testing.assert_allclose(chosen[name], every[name], atol=1e-6)
    np.testing.assert_allclose(chosen[RESIDUAL], every["guitar"], atol=1e-6)
    assert list(separate_array(mixture, 44100, model, Options(instruments=model.names[::-1]))) == [*model.names[::-1]]


def test_an_instrument_that_the_model_does_not_know(model: Model, refused: Any) -> None:
    with refused(InvalidValue) as info:
        separate_array(noise(100), 16000, model, Options(instruments=("pinao",)))
    assert "'piano'" in info.value.remedy


@pytest.mark.parametrize("name", ["../piano", "a/b", ".hidden", RESIDUAL])
def test_names_of_a_strangers_checkpoint_never_become_paths(name: str, refused: Any) -> None:
    instruments = (Instrument(name), *choose(["guitar", "bass"]))
    model = Model(Grid(), instruments, Architecture.both(TCNSettings(16, 32, 3, 1)), "softmax")
    with refused(Mismatch):
        file_names(model)


def rounded(song: Path, bits: int, gain: float = 1.0) -> np.ndarray:
    """The samples of a file as integers of so many bits: int64, halves upwards. float64 holds 32 bits exactly."""
    return np.floor(soundfile.read(song)[0] * gain * 2.0 ** (bits - 1) + 0.5).astype(np.int64)


def sum_of_stems(files: Sequence[Path], bits: int) -> np.ndarray:
    assert {soundfile.info(path).subtype for path in files} == {f"PCM_{bits}"}
    return sum(soundfile.read(path, dtype="int32")[0].astype(np.int64) >> 32 - bits for path in files)


@pytest.mark.parametrize(("name", "bits"), [("wav", "16"), ("wav", "24"), ("flac", "16"), ("flac", "24")])
@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_32"), ("flac", "PCM_24"), ("aiff", "PCM_24"), ("wav", "FLOAT")],
)
def test_integer_stems_add_up_to_the_last_bit(
    model: Model, sigmoid_model: Model, tmp_path: Path, name: str, bits: str, suffix: str, subtype: str
) -> None:
    """To the input, or where that has more bits to the input rounded."""
    song = write_song(tmp_path / f"song.{suffix}", 3 * noise(40000, 2), 44100, subtype)
    for number, (used, options) in enumerate(((model, Options()), (sigmoid_model, Options()), (model, ONE))):
        written = separate_file(song, used, tmp_path / str(number), options, choose_format(name, bits))
        assert written.gain == 1.0
        np.testing.assert_array_equal(sum_of_stems(written.files, int(bits)), rounded(song, int(bits)))


ONE = Options(instruments=("bass",))
REFINED = Options(refine=True)


@pytest.mark.parametrize("options", [ONE, REFINED], ids=["one", "refined"])
@pytest.mark.parametrize("bits", ["16", "24"])
def test_integer_stems_add_up_however_they_are_made(model: Model, tmp_path: Path, options: Options, bits: str) -> None:
    song = write_song(tmp_path / "song.flac", noise(48000), 16000, "PCM_24")
    written = separate_file(song, model, tmp_path / "out", options, choose_format("flac", bits))
    np.testing.assert_array_equal(sum_of_stems(written.files, int(bits)), rounded(song, int(bits)))


@pytest.mark.parametrize("shares", [(1 - 2e-7, 1e-7, 1e-7), (0.6, 0.3, 0.1)])
def test_a_recording_at_full_scale_needs_no_gain(
    constant_model: Callable[..., Model], tmp_path: Path, shares: tuple[float, ...]
) -> None:
    loud = np.repeat(np.where(np.random.default_rng(3).random(1500) < 0.5, -(1 << 31), (1 << 31) - 256), 16)
    song = write_song(tmp_path / "song.wav", loud.astype(np.int32), 16000, "PCM_24")
    written = separate_file(song, constant_model(shares), tmp_path / "out", form=choose_format("wav", "24"))
    assert written.gain == 1.0
    np.testing.assert_array_equal(sum_of_stems(written.files, 24), loud >> 8)


def test_with_a_gain_the_sum_is_the_input_with_that_gain(constant_model: Callable[..., Model], tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", 20 * noise(20000))
    written = separate_file(song, constant_model((0.6, 0.3, 0.1)), tmp_path / "out", form=choose_format("wav", "24"))
    assert written.gain < 0.9
    np.testing.assert_array_equal(sum_of_stems(written.files, 24), rounded(song, 24, written.gain))


@pytest.mark.parametrize("options", [Options(), ONE], ids=["all", "one"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_float_stems_add_up_but_for_one_rounding(model: Model, tmp_path: Path, options: Options, subtype: str) -> None:
    song = write_song(tmp_path / "song.wav", 3 * noise(40000, 2), 44100, subtype)
    files = separate_file(song, model, tmp_path / "out", options).files
    stems = np.stack([soundfile.read(path)[0] for path in files])
    rounding = np.spacing(np.abs(stems[-1]).astype(np.float32))
    assert (np.abs(stems.sum(axis=0) - soundfile.read(song)[0]) <= rounding).all()


def test_one_gain_for_all_if_anything_would_clip(constant_model: Callable[..., Model], tmp_path: Path) -> None:
    mixture = 20 * noise(20000)
    song = write_song(tmp_path / "song.wav", mixture)
    shares = (0.6, 0.3, 0.1)
    written = separate_file(song, constant_model(shares), tmp_path / "out", form=choose_format("flac", "24"))
    assert written.gain == pytest.approx(1 / (0.6 * np.abs(mixture).max()), rel=1e-5)
    stems = read_stems(written.files)
    assert 0.9999 < np.abs(stems).max() < 1.0
    for share, stem in zip(shares, stems, strict=True):
        np.testing.assert_allclose(stem, written.gain * share * mixture, atol=1e-6)
    np.testing.assert_allclose(stems.sum(axis=0), written.gain * mixture, atol=3e-7)


def test_earlier_stems_give_way_only_by_force(model: Model, tmp_path: Path, refused: Any) -> None:
    song = write_song(tmp_path / "song.wav", noise(5000))
    out = tmp_path / "out"
    before = separate_file(song, model, out, Options(instruments=("bass",)), choose_format("flac"))
    (out / "notes.txt").write_text("mine")
    with refused(AlreadyExists, out / "bass.flac"):
        separate_file(song, model, out)
    assert all(path.exists() for path in before.files) and not (out / "bass.wav").exists()
    separate_file(song, model, out, force=True)
    assert sorted(path.name for path in out.iterdir()) == ["bass.wav", "guitar.wav", "notes.txt", "piano.wav"]


def test_progress_of_every_pass_ends_at_the_end(model: Model, tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", noise(200000))
    seen: dict[str, list[tuple[float, float]]] = {}

    def note(what: str, done: float, total: float) -> None:
        seen.setdefault(what, []).append((done, total))

    separate_file(song, model, tmp_path / "out", Options((), None, 1.0, note), choose_format("flac"))
    assert list(seen) == ["measuring", "separating", "writing"]
    for steps in seen.values():
        assert steps == sorted(steps)
        assert len(steps) > 2
        assert steps[-1] == (12.5, 12.5)


def test_bad_audio_leaves_nothing_behind(model: Model, tmp_path: Path, refused: Any) -> None:
    song = tmp_path / "cut.flac"
    soundfile.write(song, noise(50000), 16000)
    song.write_bytes(song.read_bytes()[: song.stat().st_size // 2])
    with refused(Damaged, song):
        separate_file(song, model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["wav", "flac"])
def test_a_stop_leaves_no_stem_behind(model: Model, tmp_path: Path, name: str) -> None:
    song = write_song(tmp_path / "song.wav", noise(50000))

    def stop(what: str, _done: float, _total: float) -> None:
        if what == "separating":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separate_file(song, model, tmp_path / "out", Options(progress=stop), choose_format(name))
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_written(model: Model, tmp_path: Path, refused: Any) -> None:
    song = write_song(tmp_path / "song.wav", noise(5000))
    (tmp_path / "out").write_text("a file, not a folder")
    with refused(Unwritable, tmp_path / "out" / "piano.wav"):
        separate_file(song, model, tmp_path / "out")


def test_no_stem_takes_the_place_of_the_recording(model: Model, tmp_path: Path, refused: Any) -> None:
    song = write_song(tmp_path / f"{model.names[0]}.wav", noise(5000))
    before = song.read_bytes()
    with refused(AlreadyExists, song):
        separate_file(song, model, tmp_path, force=True)
    assert song.read_bytes() == before and list(tmp_path.iterdir()) == [song]


def test_a_score_changes_who_gets_what_but_not_the_sum(model: Model, make: type) -> None:
    """Two tones; the score says who plays which."""
    mixture = make.play([(0.0, 3.0, 60), (0.0, 3.0, 67)], 3.0).astype(np.float32)
    truth = {"piano": make.play([(0.0, 3.0, 60)], 3.0), "bass": make.play([(0.0, 3.0, 67)], 3.0)}
    parts = [
        part_from_notes([(0.0, 3.0, 60, 90)], program=0),
        part_from_notes([(0.0, 3.0, 67, 90)], program=33),
        part_from_notes([(9.0, 9.5, 60, 90)], program=25),  # the guitar is silent here
    ]
    prior = ScorePrior(parts, model.instruments, model.grid)
    blind = separate_array(mixture, 16000, model)
    guided = separate_array(mixture, 16000, model, Options(score=prior))
    np.testing.assert_allclose(stacked(guided).sum(axis=0), mixture, atol=1e-6)
    for name, stem in truth.items():
        assert si_sdr(stem, guided[name]) > si_sdr(stem, blind[name]) + 10
    blocks = separate_array(mixture, 16000, model, Options(score=prior, block_seconds=0.0))
    np.testing.assert_allclose(stacked(blocks), stacked(guided), atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_who_plays_shares_out_what_the_others_would_get(constant_model: Callable[..., Model], rate: int) -> None:
    mixture, model = noise(20000, 2), constant_model((0.5, 0.3, 0.2))
    stems = separate_array(mixture, rate, model, Options(present=("bass", "guitar")))
    assert list(stems) == ["guitar", "bass"]
    for name, share in (("guitar", 0.6), ("bass", 0.4)):
        np.testing.assert_allclose(stems[name], share * mixture, atol=1e-6)
    np.testing.assert_allclose(stacked(stems).sum(axis=0), mixture, atol=1e-7)


def test_if_all_play_nothing_changes(model: Model) -> None:
    mixture = noise(20000)
    every = separate_array(mixture, 44100, model)
    named = separate_array(mixture, 44100, model, Options(present=model.names[::-1]))
    assert list(named) == list(every)
    np.testing.assert_array_equal(stacked(named), stacked(every))


def test_alone_an_instrument_gets_everything(model: Model) -> None:
    mixture = noise(20000, 2)
    stems = separate_array(mixture, 44100, model, Options(present=("bass",)))
    assert list(stems) == ["bass"]
    np.testing.assert_allclose(stems["bass"], mixture, atol=1e-7)


def test_one_of_those_who_play_leaves_the_others_in_the_residual(constant_model: Callable[..., Model]) -> None:
    mixture, model = noise(20000), constant_model((0.5, 0.3, 0.2))
    stems = separate_array(mixture, 16000, model, Options(instruments=("bass",), present=("guitar", "bass")))
    assert list(stems) == ["bass", RESIDUAL]
    np.testing.assert_allclose(stems["bass"], 0.4 * mixture, atol=1e-6)


def test_independent_masks_leave_what_the_absent_would_get_in_the_residual(sigmoid_model: Model) -> None:
    mixture = noise(20000)
    every = separate_array(mixture, 16000, sigmoid_model)
    stems = separate_array(mixture, 16000, sigmoid_model, Options(present=("guitar", "bass")))
    assert list(stems) == ["guitar", "bass", RESIDUAL]
    for name in ("guitar", "bass"):
        np.testing.assert_array_equal(stems[name], every[name])
    np.testing.assert_allclose(stems[RESIDUAL], mixture - stems["guitar"] - stems["bass"], atol=1e-7)


def test_integer_stems_of_those_who_play_add_up_to_the_last_bit(model: Model, tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", 3 * noise(40000, 2), 44100, "PCM_24")
    options = Options(present=("piano", "bass"))
    written = separate_file(song, model, tmp_path / "out", options, choose_format("flac", "24"))
    assert [path.name for path in written.files] == ["piano.flac", "bass.flac"]
    np.testing.assert_array_equal(sum_of_stems(written.files, 24), rounded(song, 24))


def test_stems_of_those_who_do_not_play_give_way(model: Model, tmp_path: Path) -> None:
    song, out = write_song(tmp_path / "song.wav", noise(5000)), tmp_path / "out"
    separate_file(song, model, out)
    separate_file(song, model, out, Options(present=("guitar",)), force=True)
    assert [path.name for path in out.iterdir()] == ["guitar.wav"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (Options(present=("pinao",)), "'pinao'"),
        (Options(present=("theremin",)), "'theremin'"),
        (Options(instruments=("piano",), present=("bass",)), "piano"),
    ],
)
def test_who_cannot_be_present(model: Model, options: Options, named: str, refused: Any) -> None:
    with refused(InvalidValue) as info:
        separate_array(noise(100), 16000, model, options)
    assert named in str(info.value)


def test_a_score_of_an_absent_instrument_is_refused(model: Model, refused: Any) -> None:
    parts = [part_from_notes([(0.0, 1.0, 60, 90)], program=program) for program in (0, 33)]
    prior = ScorePrior(parts, model.instruments, model.grid)
    with refused(Mismatch) as info:
        separate_array(noise(20000), 16000, model, Options(score=prior, present=("guitar", "bass")))
    assert "piano" in info.value.problem and "bass" not in info.value.problem
