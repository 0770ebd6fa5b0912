"""`scoresep evaluate` as users type it: one checkpoint, two, stopped runs, what goes wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import pytest

from scoresep.cache.reader import Cache
from scoresep.cli.evaluate import distinct_names
from scoresep.evaluation import track_records


@pytest.fixture
def here(tmp_path: Path, cache: Cache, make, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two random checkpoints of the small cache."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("ckpt", "new")):
        make.checkpoint(tmp_path / f"{name}.pt", cache, seed)
    return tmp_path


def test_one_checkpoint(command, here: Path) -> None:
    status, out, err = command("scoresep evaluate")
    assert (status, err) == (0, "")
    assert "this model" in out and "figures: metrics.json" in out and "BSS" not in out
    assert json.loads((here / "metrics.json").read_text())["about"]["checkpoint"]["path"] == "ckpt.pt"
    assert not (here / "metrics.parts").exists()
    assert "holds the result for ckpt.pt" in command("scoresep evaluate ckpt.pt")[1]


def test_refined(command, here: Path) -> None:
    command("scoresep evaluate --references none")
    status, out, err = command("scoresep evaluate --references none --refine")
    assert (status, err) == (0, "") and "holds the result" not in out and "(--refine)" in out
    assert json.loads((here / "metrics.json").read_text())["about"]["settings"]["refine"]
    assert "holds the result" in command("scoresep evaluate --references none --refine")[1]


def test_bss_details_and_references(command, here: Path) -> None:
    status, out, _ = command("scoresep evaluate ckpt.pt --bss --details --references mixture --split validation")
    assert status == 0
    assert "mixture SIR" in out and "frame acc." in out and "of none" in out and "oracle" not in out
    assert (
        json.loads((here / "metrics.json").read_text())["summary"]["overall"]["separation"]["dropped_windows_counts"][0]
        == 3
    )
    status, out, _ = command("scoresep evaluate ckpt.pt --references none")
    assert status == 0 and "this model" in out and "oracle" not in out


def test_two_checkpoints(command, here: Path) -> None:
    status, out, err = command("scoresep evaluate ckpt.pt new.pt --split train --out results/x.json")
    assert (status, err) == (0, "")
    assert "b - a" in out and "Wilcoxon" in out and "comparison: results/x-comparison.json" in out
    names = {path.name for path in (here / "results").iterdir()}
    assert names == {"x-ckpt.json", "x-new.json", "x-comparison.json"}
    result = json.loads((here / "results" / "x-comparison.json").read_text())["figures"]["si_sdr"]["mean"]
    values = [json.loads((here / "results" / f"x-{name}.json").read_text())["tracks"] for name in ("ckpt", "new")]
    assert result["n"] == len(values[0]) == 3
    assert result["difference"] == pytest.approx(result["b"] - result["a"])


def test_checkpoints_of_one_name(command, here: Path) -> None:
    for folder, source in (("a", "ckpt.pt"), ("b", "new.pt")):
        (here / folder).mkdir()
        shutil.copy(here / source, here / folder / "ckpt.pt")
    assert command("scoresep evaluate a/ckpt.pt b/ckpt.pt")[0] == 0
    assert (here / "metrics-a-ckpt.json").exists() and (here / "metrics-b-ckpt.json").exists()


def test_three_checkpoints_and_unknown_references_are_refused(command, here: Path) -> None:
    for line, words in (
        ("scoresep evaluate ckpt.pt new.pt ckpt.pt", "3 checkpoints"),
        ("scoresep evaluate ckpt.pt --references oracle", "oracle_mask"),
    ):
        status, _, err = command(line)
        assert status == 2 and len(err.splitlines()) == 1 and words in err
    assert not (here / "metrics.json").exists()


def test_a_stopped_command_goes_on(command, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, rows = track_records.evaluate_track, []

    def stopped(cache, row, *rest):
        if len(rows) == 2:
            raise KeyboardInterrupt
        rows.append(row)
        return real(cache, row, *rest)

    monkeypatch.setattr(track_records, "evaluate_track", stopped)
    status, _, err = command("scoresep evaluate ckpt.pt --split train")
    assert status == 130 and "the same command goes on" in err
    assert len(list((here / "metrics.parts").rglob("*.json"))) == 2 and not (here / "metrics.json").exists()
    monkeypatch.setattr(
        track_records, "evaluate_track", lambda cache, row, *rest: rows.append(row) or real(cache, row, *rest)
    )
    assert command("scoresep evaluate ckpt.pt --split train")[0] == 0
    assert len(rows) == 3 == len(set(rows))
    assert not (here / "metrics.parts").exists()


def test_what_cannot_end_well_is_refused_before_the_work(
    command, here: Path, make, cache_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("a track is evaluated")

    monkeypatch.setattr(track_records, "run_tasks", never)
    monkeypatch.setattr("scoresep.evaluation.evaluate.run_tasks", never)
    (here / "folder").mkdir()
    with h5py.File(cache_copy, "a") as file:
        file.attrs["digest"] = "another"
    make.checkpoint(here / "other.pt", Cache(cache_copy))
    for options, words in (
        ("ckpt.pt --plot a.xyz", ["a.xyz", ".png"]),
        ("ckpt.pt --plot folder", ["folder", "give"]),
        ("ckpt.pt --plot ckpt.pt/a.png", ["ckpt.pt"]),
        ("ckpt.pt --out folder", ["folder", "give"]),
        ("ckpt.pt --out new.pt", ["new.pt", "--out"]),
        ("ckpt.pt new.pt --out ckpt.pt/a.json", ["ckpt.pt"]),
        ("ckpt.pt none.pt", ["none.pt"]),
        ("ckpt.pt other.pt", ["other.pt", "--cache"]),
        ("ckpt.pt new.pt --split tset", ["tset", "test"]),
    ):
        status, out, err = command(f"scoresep evaluate {options}")
        assert (status, out) == (2, "") and len(err.splitlines()) == 1, (options, err)
        assert all(word in err for word in words), (options, err)
    assert not (here / "metrics.json").exists() and not (here / "metrics.parts").exists()


def test_names() -> None:
    assert distinct_names([Path("x/a.pt"), Path("y/b.pt")]) == ["a", "b"]
    assert distinct_names([Path("/x/ckpt.pt"), Path("/y/ckpt.pt")]) == ["x-ckpt", "y-ckpt"]
    assert distinct_names([Path("/x/q/ckpt.pt"), Path("/y/q/ckpt.pt")]) == ["1-ckpt", "2-ckpt"]


def test_a_file_of_an_older_version_is_made_anew(command, here: Path) -> None:
    """`evaluate` replaces it, `report` refuses it by name; so does a file that someone changed."""
    command("scoresep evaluate --references none")
    result = json.loads((here / "metrics.json").read_text())
    for change in ({"version": 1}, {"tracks": [{"track": "a"}]}, {"about": []}):
        (here / "metrics.json").write_text(json.dumps(result | change))
        status, _, err = command("scoresep report metrics.json")
        assert status == 2 and len(err.splitlines()) == 1 and "metrics.json" in err and "--force" in err
        status, out, _ = command("scoresep evaluate --references none")
        assert status == 0 and "holds the result" not in out
        assert json.loads((here / "metrics.json").read_text()) == result
