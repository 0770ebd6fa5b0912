"""A separator as an ONNX file gives what torch gives, in whole and by the script that needs no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from scoresep.errors import Failed, Unavailable
from scoresep.export import to_onnx
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models.base import Separator
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.scnet import SCNetSettings
from scoresep.models.tcn import TCNSettings
from scoresep.models.unet import UNetSettings
from scoresep.separation.separate import Options, separate_array

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

pytestmark = pytest.mark.integration
TCN = TCNSettings(8, 16, 2, 1)
CASES = {
    "tcn": (TCNSettings(8, 16, 4, 1), "softmax", True),
    "unet": (UNetSettings(4, 4, 2, 8, 16, 2), "sigmoid", False),
    "scnet": (SCNetSettings(4, 2, 8, 16, 2), "softmax", False),
    "narrow": (TCNSettings(8, 16, 4, 1), "softmax", True),
}


def made(case: str) -> Model:
    settings, mask, conditioned = CASES[case]
    torch.manual_seed(0)
    instruments = choose(["piano", "guitar", "bass"])
    grid, band = (Grid(22050, 2048, 512), 8000.0) if case == "narrow" else (Grid(), 0.0)
    model = Model(grid, instruments, Architecture(TCN, settings), mask, conditioned=conditioned, bandwidth=band).eval()
    with torch.no_grad():  # masks near 1/3 would show little
        for name, value in model.separator.named_parameters():
            if name.startswith("head") or name == "offset":
                value.mul_(3)
    return model


def noise(samples: int, channels: int) -> np.ndarray:
    return (np.random.default_rng(2).standard_normal((samples, channels)) * 0.1).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def test_it_separates_as_torch_does(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from scoresep.export import run_onnx

    model = made(case)
    separator = run_onnx.Separator(to_onnx.export_onnx(model, tmp_path / "m.onnx"))
    assert separator.about["instruments"] == ["piano", "guitar", "bass"]
    for samples in (1, 511, 512, 5000, 70000):
        mixture = noise(samples, 2)
        for block, present in ((1000, ()), (13, ()), (1000, ("guitar", "bass"))):
            monkeypatch.setattr(run_onnx, "BLOCK", block)
            expected = separate_array(mixture, model.grid.sample_rate, model, Options(present=present))
            found = separator.separate(mixture, present)
            assert list(found) == list(expected)
            for name, stem in expected.items():
                assert found[name].shape == stem.shape
                np.testing.assert_allclose(found[name], stem, atol=1e-4)


def test_the_command_and_the_script(command: Any, tmp_path: Path, monkeypatch: Any, make: Any, cache: Any) -> None:
    monkeypatch.chdir(tmp_path)
    make.checkpoint(tmp_path / "c.pt", cache)
    status, out, _ = command("scoresep export c.pt --onnx m.onnx")
    assert status == 0 and "m.onnx" in out
    status, _, err = command("scoresep export c.pt --onnx m.onnx")
    assert status == 2 and "m.onnx" in err and "--force" in err
    status, _, err = command("scoresep export c.pt --onnx c.pt --force")
    assert status == 2 and "the checkpoint itself" in err
    assert "scoresep[onnx]" in command("scoresep export --help")[1]
    soundfile.write("song.wav", noise(20000, 2), 16000, subtype="FLOAT")
    soundfile.write("fast.wav", noise(20000, 2), 44100)
    script = Path("there.py")  # alone, where scoresep cannot be imported
    script.write_text(Path(to_onnx.__file__).with_name("run_onnx.py").read_text(encoding="utf-8"), encoding="utf-8")

    def run(line: str) -> subprocess.CompletedProcess[str]:
        code = (
            f"import runpy, sys; sys.modules.update(dict.fromkeys(['torch', 'scoresep'])); sys.argv = {line.split()}; "
        )
        code += "runpy.run_path(sys.argv[0], run_name='__main__')"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    ended = run("there.py m.onnx song.wav --present bass,guitar")
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in Path("stems").iterdir()) == ["bass.wav", "guitar.wav"]
    assert command("scoresep separate song.wav --ckpt c.pt --out ours --present bass,guitar")[0] == 0
    for name in ("bass", "guitar"):
        ours, theirs = (soundfile.read(Path(folder) / f"{name}.wav")[0] for folder in ("ours/song", "stems"))
        np.testing.assert_allclose(theirs, ours, atol=1e-4)
    for line, words in (
        ("m.onnx fast.wav", "44100"),
        ("m.onnx song.wav --present pinao", "pinao"),
        ("m.onnx none.wav", "none.wav: not readable"),
        ("song.wav song.wav", "song.wav: not an ONNX file"),
    ):
        ended = run(f"there.py {line} --out none")
        assert ended.returncode and words in ended.stderr and "Traceback" not in ended.stderr


class Strange(Separator):
    """A network that cannot be traced: it looks at its input's values."""

    def logits(self, magnitude: torch.Tensor) -> torch.Tensor:
        if float(magnitude.sum()) > 1:
            magnitude = magnitude + 1
        return magnitude[:, None].expand(-1, self.instruments, -1, -1)


def test_what_cannot_be_exported(tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("tcn")
    model.separator = Strange(model.grid.bins, 3, 0, "softmax")
    monkeypatch.setattr(Model, "device", torch.device("cpu"))
    with refused(Failed, tmp_path / "m.onnx"):
        to_onnx.export_onnx(model, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with refused(Unavailable) as info:
        to_onnx.export_onnx(made("tcn"), tmp_path / "m.onnx")
    assert "scoresep[onnx]" in info.value.remedy
