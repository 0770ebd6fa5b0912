"""The command for a GPU, in small on the CPU: what comes back, what a fault leaves, what travels."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools" / "gpu.py"
ABOUT = ("machine", "peak bfloat16", "stage 3, float32", "clips/s", "transcribe, 0.05 minutes", "train", "evaluate")


def tool(name: str):
    """A module of the tools."""
    if str(TOOL.parent) not in sys.path:
        sys.path.append(str(TOOL.parent))
    spec = importlib.util.spec_from_file_location(name, TOOL.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def minutes() -> float:
    """Two, on a machine that has nothing else to do."""
    return 2.0 * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def songs(folder: Path, make) -> Path:
    for number in range(5):
        pitches = (60 + number, 64, 67 + number)
        notes = [(0.5 * k, 0.5 * k + 0.4, pitches[k % 3] - 24 * (number % 2)) for k in range(12)]
        make.midi(folder / f"{number}.mid", notes, program=(0, 25, 33)[number % 3])
    return folder


@pytest.mark.slow
def test_all_phases_in_small(tmp_path, make):
    songs(tmp_path / "pack" / "midi", make)
    line = [sys.executable, TOOL, "run", "--minutes", f"{minutes():.1f}", "--device", "cpu"]
    line += ["--pack", tmp_path / "pack", "--out", tmp_path / "out", "--work", tmp_path / "work"]
    ended = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    phases = summary["phases"]
    assert {name: found["status"] for name, found in phases.items()} == dict.fromkeys(phases, "done"), ended.stdout
    assert ended.returncode == 0 and len(phases) == 10
    for name, found in phases.items():
        assert json.loads((tmp_path / "out" / f"{name}.json").read_text()) == found["figures"] != {}
    table = (tmp_path / "out" / "table.md").read_text()
    assert all(f"| {figure} |" in table for figure in ABOUT) and table.strip() in ended.stdout
    assert all(found["passed"] and "error" not in found for found in phases["checks"]["figures"].values())
    assert phases["corpus"]["figures"]["render"]["tracks"] == 5
    packed = tmp_path / "out" / "model.pt.gz"
    (tmp_path / "model.pt").write_bytes(gzip.decompress(packed.read_bytes()))
    checkpoint = load_checkpoint(tmp_path / "model.pt")
    assert isinstance(checkpoint.model, Model) and checkpoint.stage == 3 and checkpoint.complete
    assert checkpoint.steps == phases["training"]["figures"]["model"]["steps"] > 0
    assert (tmp_path / "out" / "metrics.json").exists()


def test_what_fails_is_written_down_and_the_next_phase_runs(tmp_path):
    """Without wheels, songs or a cache."""
    line = [sys.executable, TOOL, "run", "--minutes", "2", "--device", "cpu", "--only", "training,evaluation"]
    line += ["--pack", tmp_path / "none", "--out", tmp_path / "out", "--work", tmp_path / "work"]
    ended = subprocess.run(line, capture_output=True, text=True)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    phases = json.loads((tmp_path / "out" / "summary.json").read_text())["phases"]
    assert phases.keys() == {"training", "evaluation"}
    assert all(found["status"] == "failed (1)" and found["said"] for found in phases.values())
    assert "see corpus.txt" in phases["training"]["figures"]["train"]["error"]
    assert "no checkpoint" in phases["evaluation"]["figures"]["evaluate"]["error"]


def test_a_phase_whose_time_is_over_is_ended_with_its_children(tmp_path):
    script = f"sleep 60 & echo $! > {tmp_path}/child; trap '' TERM; wait; sleep 60"
    child = subprocess.Popen(["bash", "-c", script], start_new_session=True)
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        time.sleep(0.01)
    gpu = tool("gpu")
    gpu.GRACE = 0.2
    assert gpu.ended(child, time.monotonic() + 0.1) == "out of time"
    status = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    assert child.returncode is not None
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] in "ZX"


@pytest.fixture
def findings(tmp_path):
    return tool("gpu_work").Findings(tmp_path / "phase.json", 60.0)


def test_figures_are_on_disk_as_they_come(findings):
    assert findings.add("first", lambda: {"ms": 1.5}) == {"ms": 1.5}
    assert json.loads(findings.path.read_text()) == {"first": {"ms": 1.5}}
    assert findings.add("second", lambda: {}["missing"]) == {} and findings.faults == 1
    found = json.loads(findings.path.read_text())
    assert found["first"] == {"ms": 1.5} and "KeyError: 'missing'" in found["second"]["error"]
    findings.until = 0.0
    findings.add("third", lambda: pytest.fail("there is no time"))
    assert "no time" in json.loads(findings.path.read_text())["third"]["error"]


def test_verdicts_of_tests(tmp_path, findings):
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef test_good(): pass\ndef test_bad(): assert 1 == 2\n"
        "@pytest.mark.skip(reason='no such thing')\ndef test_left(): pass\n"
    )
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_some.py", "--junitxml=report.xml"]
    subprocess.run(line, cwd=tmp_path, capture_output=True)
    found = tool("gpu_phases").verdicts(tmp_path / "report.xml")
    assert (found["passed"], found["skipped"], found["test_left"]) == (1, 1, "no such thing")
    assert "test_bad" in found["error"] and "assert 1 == 2" in found["error"]


def test_the_model_fits_what_may_be_sent(tmp_path, make, cache):
    phases, out = tool("gpu_phases"), tmp_path / "out"
    out.mkdir()
    make.checkpoint(tmp_path / "ckpt.pt", cache)
    given = phases.argparse.Namespace(work=tmp_path, out=out)
    whole = phases.exported(given)
    phases.MOST_BYTES = 0.9e6 * whole["MB"]
    found = phases.exported(given)
    assert whole["bits"] == 8 and found["bits"] < 8 and found["MB"] < 0.9 * whole["MB"]
    (tmp_path / "back.pt").write_bytes(gzip.decompress((out / "model.pt.gz").read_bytes()))
    before, after = (load_checkpoint(tmp_path / name).model for name in ("ckpt.pt", "back.pt"))
    x = torch.rand(1, cache.grid.bins, 20)
    with torch.no_grad():
        assert (before.separator(x) - after.separator(x)).abs().max() < 0.1


def test_what_is_missing_there():
    """The closure of what is needed without that of what is there; never the large ones that nothing asks for."""
    pack = tool("gpu_pack")
    needed = pack.missing()
    assert {"soundfile", "cffi", "tensorboard", "protobuf", "pytest", "pluggy", "pretty-midi", "museval"} <= needed
    assert not needed & {"torch", "numpy", "scoresep", "pandas", "grpcio", "jinja2", "pillow", "packaging", "pygments"}
    assert needed <= pack.pinned().keys()


def test_too_much_to_travel_is_refused(tmp_path, make, monkeypatch, capsys):
    pack, gpu = tool("gpu_pack"), tool("gpu")
    monkeypatch.setattr(pack, "fetch_wheels", lambda folder, wanted: (folder / "a.whl").write_bytes(b"12345"))
    songs(tmp_path / "midi", make)
    given = gpu.argparse.Namespace(out=tmp_path / "pack", midi=tmp_path / "midi", soundfont=[], songs=3)
    assert gpu.pack(given) == 0
    assert len(list((tmp_path / "pack" / "midi").glob("*.mid"))) == 3
    assert (tmp_path / "pack" / "wheels" / "a.whl").exists()
    monkeypatch.setattr(pack, "MOST_BYTES", 1000)
    assert gpu.pack(given) == 1 and "fewer --songs" in capsys.readouterr().err
    given.midi = tmp_path / "none"
    shutil.rmtree(tmp_path / "pack")
    assert gpu.pack(given) == 2 and "none: no such file or folder" in capsys.readouterr().err


def test_a_pack_that_cannot_be_made_leaves_the_last_one(tmp_path, make, monkeypatch, capsys):
    pack, gpu = tool("gpu_pack"), tool("gpu")
    (tmp_path / "pack" / "wheels").mkdir(parents=True)
    (tmp_path / "pack" / "wheels" / "last.whl").touch()
    (tmp_path / "empty").mkdir()
    songs(tmp_path / "midi", make)

    def refused(word: str, midi: str, count: int | None = None) -> None:
        given = gpu.argparse.Namespace(out=tmp_path / "pack", midi=tmp_path / midi, soundfont=[], songs=count)
        assert gpu.pack(given) == 2 and word in capsys.readouterr().err
        assert (tmp_path / "pack" / "wheels" / "last.whl").exists()

    refused("no songs", "empty")
    refused("--songs above 0", "midi", 0)
    monkeypatch.setattr(pack, "wheels_wanted", lambda: ["no-such-package-of-ours==0"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    refused("pip could not", "midi")
    monkeypatch.undo()
    monkeypatch.setattr(pack, "THERE", ("a-package-that-is-not-here",))
    refused("project's environment", "midi")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--only", "steps,foo"), ("--minutes", "0"), ("--minutes", "nan"), ("--device", "gpu"), ("--out", "file/out")],
)
def test_options_are_looked_at_before_a_minute_is_spent(tmp_path, option, value):
    (tmp_path / "file").touch()
    line = [sys.executable, TOOL, "run", "--out", "out", option, value]
    ended = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2 and option in ended.stderr and "Traceback" not in ended.stderr
    assert not ended.stdout


def test_a_phase_without_figures_says_why_in_the_table():
    found = {"status": "failed (1)", "seconds": 1.0, "figures": {}, "said": ["Traceback", "ImportError: no a | b"]}
    assert "| | it said | ImportError: no a / b |" in tool("gpu").table({"phases": {"stream": found}})
