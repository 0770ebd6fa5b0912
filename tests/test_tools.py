"""The benchmarks run: on next to nothing, for their results rather than their times."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

pytestmark = pytest.mark.integration
TOOLS = Path(__file__).parents[1] / "tools"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("bench_prepare.py --tracks 1 --seconds 4 --repeats 1", ["prepare / floor", "usual / prepare", "score check"]),
        ("bench_masks.py --repeats 1", ["times as long"]),
        ("bench_factorise.py --seconds 4 --repeats 1", ["times real time"]),
        ("bench_losses.py --clips 2 --frames 8 --repeats 1", ["clip", "harmonic", "stem", "teacher", "times as long"]),
        ("bench_factorise.py --seconds 4 --repeats 1 --device cpu --songs 2", ["batched on cpu"]),
        ("bench_render.py --songs 1 --seconds 3 --parts 3", ["times real time on a core", "chain: amplifier", "FLAC"]),
        ("bench_separate.py --minutes 0.02 --config mini --open-unmix-minutes=", ["| separate | 0.02 |"]),
    ],
)
def test_a_benchmark_runs(tmp_path, line, words):
    ended = run(tmp_path, line)
    assert ended.returncode == 0, ended.stderr
    assert all(word in ended.stdout for word in words), ended.stdout


def test_the_studio_is_timed(tmp_path, make):
    soundfile.write(tmp_path / "a.wav", make.play([(0.0, 1.0, 60), (1.0, 2.0, 64)], 3.0), make.rate)
    ended = run(tmp_path, "bench_studio.py a.wav --seconds 4 --span 1")
    assert ended.returncode == 0, ended.stderr
    assert all(word in ended.stdout for word in ("first sound", "stems and notes", "again, 1 s", "again, all"))


def test_steps_are_timed(tmp_path, cache):
    small = "network.channels=8 network.hidden=8 network.blocks=1 data.batch_size=4 data.clip_frames=16"
    settings = " ".join(f"--set {setting}" for setting in (*small.split(), "supervision=score+teacher"))
    ended = run(tmp_path, f"bench_train.py {cache.path} --stages 1,2 --rounds 1 --steps 10 --threads 1 {settings}")
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if line.startswith("stage ")]
    assert len(lines) == 2 and all("ratio" in line and "waiting" in line for line in lines)


def test_reading_is_timed(tmp_path, cache, corpus):
    ended = run(tmp_path, f"bench_stream.py {cache.path} --corpus {corpus} --frames 16 --batch 4 --threads 1")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert sum(line.startswith("(b)") and "of (a)" in line for line in lines) == 4
    assert sum(line.startswith("(b)") and "times (c)" in line for line in lines) == 4


def test_a_shared_machine_is_timed(tmp_path, cache):
    line = f"bench_shared.py {cache.path} --stages 1 --steps 1 --seconds 0.5 --threads 1 --repeats 1"
    ended = run(tmp_path, line)
    assert ended.returncode == 0, ended.stderr
    rows = [row.strip("| ").split(" | ") for row in ended.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [
        [job, waiting] for job in ("stage 1", "separate") for waiting in ("spinning", "scoresep")
    ]
    assert all(float(cell) > 0 for row in rows for cell in row[3:])


def test_use_is_measured(tmp_path, cache, make):
    make.checkpoint(tmp_path / "ckpt.pt", cache, loud=8)
    ended = run(tmp_path, "measure_use.py ckpt.pt --tracks 1")
    assert ended.returncode == 0, ended.stderr
    rows = [line.strip("| ").split(" | ") for line in ended.stdout.splitlines() if line.startswith("| ")]
    means = {name: cells[-1] for name, *cells in rows}
    assert float(means["the score's mask"]) > float(means["the separator"])  # whose weights are random
    assert {
        "refined (`--refine`)",
        "with score (`--score`)",
        "mixture",
        "mixture, tuned anew",
        "separated",
        "separated, tuned anew",
    } <= means.keys()
    assert all(len(row) == 5 for row in rows)


def run(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    tool, *arguments = shlex.split(line)
    return subprocess.run(
        [sys.executable, TOOLS / tool, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_networks_are_compared(tmp_path, cache):
    small = "data.clip_frames=16 data.batch_size=4 data.validation_clips=4 transcriptor.channels=8"
    line = f"compare_networks.py {cache.path} --out there --minutes 0.005 --then 'echo {{ckpt}}'"
    more = " ".join(f"--set {setting}" for setting in small.split())
    ended = run(tmp_path, f"{line} {more} --row 'small:separator.network=unet separator.channels=8'")
    assert ended.returncode == 0, ended.stderr
    head, _, row = ended.stdout.splitlines()[-3:]
    assert "multiply-adds" in head and "guitar" in head and row.startswith("| small |")
    assert len(row.split("|")) == len(head.split("|"))
    assert (tmp_path / "there" / "table-stage2-0.md").read_text().splitlines()[-1] == row
    assert "small: there/small-0.pt" in ended.stderr


def test_what_it_helps_to_say_who_plays_is_measured(tmp_path, cache, make):
    make.checkpoint(tmp_path / "c.pt", cache)
    for item, names in (("one", ("guitar", "bass", "other")), ("two", ("piano", "bass"))):
        for number, name in enumerate(names):
            path = tmp_path / "real" / "set" / item / f"{name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, make.tone(40 + 12 * number, 1.0), 16000)
    ended = run(tmp_path, "measure_presence.py real --ckpt c.pt")
    assert ended.returncode == 0, ended.stderr
    rows = [line.split(" | ")[:2] for line in ended.stdout.splitlines() if line.startswith("| ")]
    assert rows[1:] == [["| guitar", "1"], ["| bass", "1"]] and "two" not in ended.stdout


def test_grids_are_measured(tmp_path, cache, corpus):
    small = "network.channels=8 network.hidden=8 network.blocks=1 data.batch_size=4 data.clip_frames=16"
    settings = " ".join(f"--set {setting}" for setting in (*small.split(), "bandwidth=4000"))
    grids = "--grids 9000/1024/256,16000/2048/512"
    ended = run(tmp_path, f"measure_grids.py {corpus} {grids} --cache {cache.path} {settings}")
    assert ended.returncode == 0, ended.stderr
    narrow, wide, steps = ended.stdout.splitlines()
    means = [float(line.partition("Hz alone ")[2].split()[0]) for line in (narrow, wide)]
    assert means[1] > means[0] + 1 and narrow.startswith("9000 Hz, window 1024, hop 256: piano ")
    assert "s a step of stage 1" in steps and str(cache.grid) in steps
