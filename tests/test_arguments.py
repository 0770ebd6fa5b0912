"""What programs hand in: read in the obvious way, or refused in one line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest
import torch

import scoresep
from scoresep.arguments import as_audio, as_names, as_rate
from scoresep.errors import InvalidValue, ScoresepError, Unavailable, Unwritable
from scoresep.instruments import choose
from scoresep.machine import choose_device
from scoresep.models.model import Model
from scoresep.pretrained import Pretrained
from scoresep.separation.separate import Options, separate_file
from scoresep.transcription.transcribe import transcribe_file

STEREO = (np.random.default_rng(3).standard_normal((300, 2)) * 0.1).astype(np.float32)
NOTE = [0.1, 0.2, 60, 80]
INF, NAN = float("inf"), float("nan")


@pytest.fixture
def loaded(model: Model, monkeypatch: pytest.MonkeyPatch) -> Pretrained:
    """A model whose networks must not run."""

    def never(*arguments: Any) -> None:
        raise AssertionError("a network runs")

    for network in model.networks.values():
        monkeypatch.setattr(network, "forward", never)
    return Pretrained(model)


def refused(call: Callable[[], Any], *words: str, kind: type[ScoresepError] = InvalidValue) -> None:
    """The call raises an error of a kind, one short line that names these things and a remedy."""
    with pytest.raises(kind) as caught:
        call()
    fault, said = caught.value, str(caught.value)
    assert type(fault) is kind and fault.remedy, repr(fault)
    assert "\n" not in said and len(said) < 400, said
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    "audio",
    [
        STEREO.astype(np.float64),
        STEREO.astype(np.longdouble),
        STEREO.astype(">f4"),
        np.asfortranarray(STEREO),
        np.ma.masked_array(STEREO),
        STEREO.tolist(),
        memoryview(STEREO),
        torch.tensor(STEREO),
        torch.tensor(STEREO.astype(np.float64), requires_grad=True),
        torch.tensor(STEREO.T.copy()).T,
    ],
)
def test_audio_of_any_kind_of_array_is_the_same(audio: Any) -> None:
    found = as_audio(audio)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, STEREO)


def test_halves_are_read_as_they_are() -> None:
    for half in (STEREO.astype(np.float16), torch.tensor(STEREO).bfloat16()):
        np.testing.assert_allclose(as_audio(half), STEREO, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 2), (2, 2), (1, 8), (9, 9), (64, 64), (1000, 64)])
def test_short_audio_and_many_channels_are_samples_first(shape: tuple[int, ...]) -> None:
    assert as_audio(np.zeros(shape)).shape == (shape[0], shape[1] if len(shape) > 1 else 1)


def test_a_read_only_slice_is_read_and_left_alone(model: Model) -> None:
    audio = STEREO[::-2, ::-1]
    audio.flags.writeable = False
    stems = Pretrained(model).separate(audio, 44100)
    np.testing.assert_allclose(sum(stems.values()), audio, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 9), (2, 4410), (1, 88200), (6, 44100), (64, 65), (65, 65), (44100, 65)])
def test_channels_first_are_refused(loaded: Pretrained, shape: tuple[int, ...]) -> None:
    for audio in (np.zeros(shape, np.float32), torch.zeros(shape)):
        for use in (loaded.separate, loaded.transcribe):
            refused(lambda use=use, audio=audio: use(audio, 44100), str(shape))


@pytest.mark.parametrize("shape", [(), (1, 2, 300), (3, 1, 300), (1, 1, 1, 1)])
def test_batches_are_refused(loaded: Pretrained, shape: tuple[int, ...]) -> None:
    refused(lambda: loaded.separate(np.zeros(shape), 44100), str(shape))


@pytest.mark.parametrize("audio", [[], np.zeros(0), np.zeros((0, 2)), np.zeros((2, 0))])
def test_no_samples_are_refused(loaded: Pretrained, audio: Any) -> None:
    refused(lambda: loaded.separate(audio, 44100), "empty")


@pytest.mark.parametrize(
    "audio",
    [
        "song.wav",
        b"song.wav",
        Path("song.wav"),
        None,
        {"left": STEREO},
        {0.1, 0.2},
        (value for value in (0.1, 0.2)),
        (STEREO, 44100),
        (torch.tensor(STEREO.T), 44100),
        [[0.1, 0.2], [0.1]],
        [10**400],
        [0.1, None],
        ["0.1", "0.2"],
        STEREO > 0,
        STEREO.astype(object),
        STEREO.astype(complex),
        np.zeros(9, "M8[s]"),
        np.zeros(9, [("left", "f4")]),
        torch.zeros(9, dtype=torch.complex64),
        torch.zeros(9, dtype=torch.bool),
        torch.zeros(9).to_sparse(),
        torch.zeros(9, device="meta"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused(loaded: Pretrained, audio: Any) -> None:
    refused(lambda: loaded.separate(audio, 44100), "the audio")


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_what_is_not_finite_is_refused(loaded: Pretrained, bad: float, kind: type) -> None:
    audio = STEREO.astype(kind)
    audio[7, 1] = bad
    refused(lambda: loaded.separate(audio, 44100), "not numbers")
    refused(lambda: loaded.separate(torch.tensor(audio), 44100), "not numbers")


def test_masked_samples_are_refused(loaded: Pretrained) -> None:
    refused(lambda: loaded.separate(np.ma.masked_greater(STEREO, 0.1), 44100), "masked")


@pytest.mark.parametrize("factor", [1e30, -1e30, 1e300])
def test_what_float32_cannot_hold_is_refused(loaded: Pretrained, factor: float) -> None:
    refused(lambda: loaded.separate(STEREO.astype(np.float64) * factor, 44100), "full scale")


@pytest.mark.parametrize(("kind", "value"), [("i1", 100), ("i2", -32768), ("i4", 2**30), ("i8", -(2**63)), ("i2", 2)])
def test_integers_beyond_full_scale_are_refused(loaded: Pretrained, kind: str, value: int) -> None:
    audio = np.zeros(100, kind)
    audio[50] = value
    refused(lambda: loaded.separate(audio, 44100), audio.dtype.name, str(abs(value)))
    refused(lambda: loaded.separate(torch.tensor(audio), 44100), audio.dtype.name)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_unsigned_integers_are_refused(loaded: Pretrained, kind: str) -> None:
    refused(lambda: loaded.separate(np.full(100, 128, kind), 44100), "uint")


def test_integers_within_full_scale_are_taken() -> None:
    np.testing.assert_array_equal(as_audio(np.array([0, 1, -1], np.int16))[:, 0], [0, 1, -1])


@pytest.mark.parametrize(
    "rate", [44100, 44100.0, np.int32(44100), np.float32(44100), np.array(44100), torch.tensor(44100), Decimal(44100)]
)
def test_a_rate_of_any_kind_of_number_is_the_same(rate: Any) -> None:
    assert as_rate(rate) == 44100 and type(as_rate(rate)) is int


@pytest.mark.parametrize(
    "rate",
    [
        *(0, -1, 1, 999, 10**6, 10**9, 10**400, "44100", b"44100", "", None, True, np.True_, NAN, INF, 44100.5, 44100j),
        *([44100], np.array([44100]), np.array([44100, 2]), {}, STEREO),
    ],
)
def test_what_is_no_rate_is_refused(loaded: Pretrained, rate: Any) -> None:
    refused(lambda: loaded.separate(STEREO, rate), "sample rate")
    refused(lambda: loaded.transcribe(STEREO, rate), "sample rate")


def test_audio_and_rate_that_change_places_are_refused(loaded: Pretrained) -> None:
    refused(lambda: loaded.separate(44100, STEREO), "sample rate")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("bass", ["bass"]),
        ("bass,piano", ["bass", "piano"]),
        ("bass, piano", ["bass", "piano"]),
        (np.array(["bass"]), ["bass"]),
        ((name for name in ("bass", "piano")), ["bass", "piano"]),
        ({"bass": 1}, ["bass"]),
        ("", []),
        (None, []),
        ([], []),
    ],
)
def test_names_of_any_kind(given: Any, names: list[str]) -> None:
    assert list(as_names(given)) == names


def test_one_name_and_a_generator_separate_what_they_say(model: Model) -> None:
    for given in ("bass", (name for name in ["bass", "bass"])):
        assert list(Pretrained(model).separate(STEREO, 16000, instruments=given)) == ["bass", "residual"]


@pytest.mark.parametrize("names", ["bas", "bass,", ",", "Bass", "residual", ["bass", "x"], [""], [["bass"]], [b"bass"]])
def test_unknown_names_are_refused(loaded: Pretrained, names: Any) -> None:
    refused(lambda: loaded.separate(STEREO, 44100, instruments=names), "instrument")


@pytest.mark.parametrize("names", [b"bass", 5, [None], Path("bass"), True])
def test_what_is_no_name_is_refused(loaded: Pretrained, names: Any) -> None:
    refused(lambda: loaded.separate(STEREO, 44100, instruments=names), "instrument")


NO_PATHS = ["", b"a", 5, True, False, {"bass": []}, ["a.mid"], STEREO, "a\0b", Path("a\0b"), Path]
"""What no argument that names a file may be."""


@pytest.mark.parametrize("path", NO_PATHS)
def test_what_is_no_path_is_refused(loaded: Pretrained, model: Model, tmp_path: Path, path: Any) -> None:
    refused(lambda: scoresep.load(path), "the checkpoint")
    refused(lambda: loaded.separate(STEREO, 44100, score=path), "the score")
    refused(lambda: loaded.write_midi(path, {}), "the MIDI file")
    refused(lambda: separate_file(path, model, tmp_path / "stems"), "the audio file")
    refused(lambda: separate_file("a.wav", model, path), "the folder of stems")
    refused(lambda: transcribe_file(path, model, tmp_path / "a.mid"), "the audio file")
    refused(lambda: transcribe_file("a.wav", model, path), "the MIDI file")
    assert not any(tmp_path.iterdir())


def test_a_name_that_is_too_long_is_refused() -> None:
    refused(lambda: scoresep.load("a" * 300), kind=Unavailable)


def test_places_that_are_none_for_a_file_are_refused(loaded: Pretrained, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, "/", "."):
        refused(lambda path=path: loaded.write_midi(path, {}), str(path), kind=Unwritable)
    refused(lambda: loaded.write_midi(tmp_path / "file" / "a.mid", {}), str(tmp_path / "file"), kind=Unwritable)


def test_networks_are_taken_from_what_load_returns(model: Model, tmp_path: Path, make: type) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", make.tone(60, 0.2), 16000)
    written = separate_file(tmp_path / "a.wav", Pretrained(model), tmp_path / "stems")
    assert [path.stem for path in written.files] == ["piano", "guitar", "bass"]
    transcribe_file(tmp_path / "a.wav", Pretrained(model), tmp_path / "new" / "a.mid")
    assert (tmp_path / "new" / "a.mid").exists()
    for wrong in (None, "ckpt.pt"):
        refused(lambda wrong=wrong: separate_file(tmp_path / "a.wav", wrong, tmp_path / "b"))
        refused(lambda wrong=wrong: transcribe_file(tmp_path / "a.wav", wrong, tmp_path / "b.mid"))


@pytest.mark.parametrize("signal", ["", "Mixture", "separate", None, 5, b"mixture", ["mixture"], STEREO])
def test_what_cannot_be_listened_to_is_refused(loaded: Pretrained, signal: Any) -> None:
    refused(lambda: loaded.transcribe(STEREO, 44100, signal=signal))


@pytest.mark.parametrize("refine", ["no", "", 0, 1, None, [True], STEREO])
def test_refine_is_true_or_false(loaded: Pretrained, refine: Any) -> None:
    refused(lambda: loaded.separate(STEREO, 44100, refine=refine), "refine")
    assert Options(refine=np.True_).refine is True


@pytest.mark.parametrize("seconds", [-1, NAN, INF, "30", None, True])
def test_blocks_have_a_length(seconds: Any) -> None:
    refused(lambda: Options(block_seconds=seconds), "block_seconds")


@pytest.mark.parametrize("device", [None, 0, 5, True, b"cpu", ["cpu"], STEREO])
def test_what_is_no_name_of_a_device_is_refused(device: Any) -> None:
    refused(lambda: choose_device(device), "the device")


@pytest.mark.parametrize("device", ["meta", "hpu", "xla", "CPU", "cpu:-1"])
def test_devices_that_cannot_compute_here_are_refused(device: str) -> None:
    refused(lambda: choose_device(device), device, kind=Unavailable)


def test_a_device_by_itself() -> None:
    assert choose_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    "notes",
    [
        None,
        5,
        "x",
        [NOTE],
        np.array([NOTE]),
        {"bass": None},
        {"bass": "abc"},
        {"bass": NOTE},
        {"bass": [NOTE[:3]]},
        {"bass": [[NOTE]]},
        {"bass": [NOTE, [0.1]]},
        {"bass": np.array([NOTE]) + 1j},
        {"bss": [NOTE]},
        {3: [NOTE]},
        *({"bass": [NOTE, [*NOTE[:n], bad, *NOTE[n + 1 :]]]} for n in range(4) for bad in (NAN, INF, -1)),
        {"bass": [[0.2, 0.1, 60, 80]]},
        {"bass": [[0.1, 1e12, 60, 80]]},
        {"bass": [[0.1, 0.2, 60.5, 80]]},
        {"bass": [[0.1, 0.2, 128, 80]]},
        {"bass": [[0.1, 0.2, 60, 0]]},
        {"bass": [[0.1, 0.2, 60, 0.8]]},
        {"bass": [[0.1, 0.2, 60, 128]]},
    ],
)
def test_notes_that_midi_cannot_say_are_refused(loaded: Pretrained, tmp_path: Path, notes: Any) -> None:
    refused(lambda: loaded.write_midi(tmp_path / "a.mid", notes), "notes" if not isinstance(notes, dict) else "of")
    assert not any(tmp_path.iterdir())


def test_which_note_is_wrong_is_said(loaded: Pretrained, tmp_path: Path) -> None:
    refused(lambda: loaded.write_midi(tmp_path / "a.mid", {"bass": [NOTE, [1, 0, 60, 80]]}), "note 1 of bass")


@pytest.mark.parametrize(
    "table", [[NOTE], np.array([NOTE]), torch.tensor([NOTE]), [tuple(NOTE)], np.array([NOTE], "O")]
)
def test_notes_of_any_kind_of_array_are_written(loaded: Pretrained, tmp_path: Path, table: Any) -> None:
    loaded.write_midi(tmp_path / "deep" / "a.mid", {"bass": table, "piano": []})
    parts = {part.name: part.notes for part in pretty_midi.PrettyMIDI(str(tmp_path / "deep" / "a.mid")).instruments}
    (note,) = parts["bass"]
    assert (note.pitch, note.velocity) == (60, 80) and note.start == pytest.approx(0.1, abs=1e-3)


def test_notes_without_a_length_are_written_with_one(loaded: Pretrained, tmp_path: Path) -> None:
    onsets = np.arange(64) / 7
    loaded.write_midi(tmp_path / "a.mid", {"bass": [[onset, onset, 60, 80] for onset in onsets]})
    (part,) = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid")).instruments
    np.testing.assert_allclose([note.start for note in part.notes], onsets, atol=1e-3)
    assert all(0 < note.end - note.start < 0.004 for note in part.notes)


def test_messages_do_not_print_what_is_long() -> None:
    refused(lambda: as_rate("4" * 10**6), "...")
    refused(lambda: as_names([list(range(10**5))]), "of type list")


def test_all_instruments_can_be_chosen_by_one_string() -> None:
    assert re.split(", *", "piano, guitar") == [one.name for one in choose(as_names("piano, guitar"))]
