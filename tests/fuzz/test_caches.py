"""Caches from strangers: they lead to no other file, take no more memory than they have bytes, and end in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from scoresep.cache.reader import Cache, check_cache
from scoresep.cache.schema import DATASET_SPAN
from scoresep.errors import ScoresepError
from scoresep.losses.batch import TEACHER
from scoresep.training.clip_dataset import ShardClips

pytestmark = pytest.mark.robustness

ENDLESS = 10**12
SECRET = b"root:x:0:0:root:/root:/bin/bash\n" * 4000
"""What a cache may be after: it lies in the cache's folder here, and anywhere on a real machine."""


def shard(index: Path) -> Path:
    return index.with_name(f"{index.stem}.shards") / "shard-00000.h5"


def use(index: Path) -> None:
    """All that is done with a cache: evaluation, training and `scoresep doctor` read it."""
    cache = Cache(index)
    assert all(str(name).encode() for name in cache.tracks["id"])
    for row in range(min(len(cache.tracks), 2)):
        for read in (cache.magnitude, cache.roll, cache.onset, cache.harmonic, cache.mixture, cache.stems, cache.notes):
            assert SECRET[:8] not in np.ascontiguousarray(read(row)).tobytes()
        cache.factors(row)
    check_cache(cache)
    clips = ShardClips(cache, 32, ["magnitude", "roll", "stems", TEACHER], stemmed=(0, 1))
    for row in range(min(len(cache.tracks), 2)):
        clips([(row, 0), (row, max(int(cache.tracks["frames"][row]) - 40, 0))])


def refused(index: Path, fuzz, case: str) -> str:
    """The cache is refused, in one line and with little memory; the line."""
    with fuzz.limits(case), pytest.raises(ScoresepError) as fault:
        use(index)
    line, cause = str(fault.value), fault.value.__cause__
    assert "\n" not in line and ("cache.h5" in line or "shard-" in line), line
    assert not isinstance(cause, MemoryError) and "allocate" not in str(cause), "it was asked for the memory"
    return line


def test_a_whole_one_is_used(cache_copy, fuzz):
    with fuzz.limits("whole"):
        use(cache_copy)
    assert check_cache(Cache(cache_copy)) == []


# A dataset, of the index or of a shard, that is not what it seems

Forge = Callable[[h5py.File, str, Path], None]


def endless(file: h5py.File, name: str, secret: Path) -> None:
    """10^12 rows of a value that is nowhere stored."""
    old = file[name]
    shape, dtype = (ENDLESS, *old.shape[1:]), old.dtype
    del file[name]
    text = {} if dtype.kind == "O" else {"fillvalue": 1}
    file.create_dataset(name, shape, dtype, chunks=(1 << 16, *shape[1:]), maxshape=(None, *shape[1:]), **text)


def endless_in_one(file: h5py.File, name: str, secret: Path) -> None:
    """The same without chunks."""
    shape, dtype = (ENDLESS // 1000, *file[name].shape[1:]), file[name].dtype
    del file[name]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    place, _, leaf = name.rpartition("/")
    group = file[place] if place else file
    h5py.h5d.create(
        group.id, leaf.encode(), h5py.h5t.py_create(dtype, logical=True), h5py.h5s.create_simple(shape), plist
    )


def packed(file: h5py.File, name: str, secret: Path) -> None:
    """A thousand times what is stored."""
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    file.create_dataset(name, (1 << 26, *shape[1:]), dtype, chunks=(1 << 20, *shape[1:]), compression="gzip")


def external_link(file: h5py.File, name: str, secret: Path) -> None:
    """The dataset of another file."""
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        file.copy(name, other, "x")
    del file[name]
    file[name] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "x")


def soft_link(file: h5py.File, name: str, secret: Path) -> None:
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


def external_storage(file: h5py.File, name: str, secret: Path) -> None:
    """The bytes of another file, whatever it is."""
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    dtype = np.dtype("uint64") if dtype.kind == "O" else dtype
    file.create_dataset(name, shape, dtype, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File, name: str, secret: Path) -> None:
    """A dataset that is put together from another file's."""
    shape, dtype = file[name].shape, file[name].dtype
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        file.copy(name, other, "x")
    del file[name]
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "x", shape)
    file.create_virtual_dataset(name, layout)


def group(file: h5py.File, name: str, secret: Path) -> None:
    del file[name]
    file.create_group(name)


def other_type(file: h5py.File, name: str, secret: Path) -> None:
    shape = file[name].shape
    del file[name]
    file[name] = np.zeros(shape, dtype="V7")


def other_axes(file: h5py.File, name: str, secret: Path) -> None:
    values = file[name][()]
    del file[name]
    file.create_dataset(name, data=values[..., None], dtype=h5py.string_dtype() if values.dtype == object else None)


def missing(file: h5py.File, name: str, secret: Path) -> None:
    del file[name]


FORGES: tuple[Forge, ...] = (
    *(endless, endless_in_one, packed, external_link, soft_link, external_storage, virtual, group, other_type),
    *(other_axes, missing),
)
INDEX_NAMES = ("tracks/id", "tracks/frames", "tracks/active", "findings/detail", "excluded/deliberate")
SHARD_NAMES = ("magnitude", "roll", "mixture", "notes", "component", "activation_end")


@pytest.mark.parametrize("name", INDEX_NAMES)
@pytest.mark.parametrize("forge", FORGES)
def test_a_column_of_an_index_that_is_not_what_it_seems_is_refused(cache_copy, fuzz, forge, name):
    secret = cache_copy.with_name("secret")
    secret.write_bytes(SECRET)
    with h5py.File(cache_copy, "a") as file:
        forge(file, name, secret)
    assert "cache.h5: not a readable cache" in refused(cache_copy, fuzz, f"{forge.__name__} {name}")


@pytest.mark.parametrize("name", SHARD_NAMES)
@pytest.mark.parametrize("forge", FORGES)
def test_a_dataset_of_a_shard_that_is_not_what_it_seems_is_refused(cache_copy, fuzz, forge, name):
    secret = cache_copy.with_name("secret")
    secret.write_bytes(SECRET)
    with h5py.File(shard(cache_copy), "a") as file:
        forge(file, name, secret)
    assert "shard-00000.h5: not a readable shard" in refused(cache_copy, fuzz, f"{forge.__name__} {name}")
    with fuzz.limits(f"doctor {forge.__name__} {name}"):
        assert "shard-00000.h5" in check_cache(Cache(cache_copy))[0]
    if name in ("magnitude", "roll", "component", "activation_end"):
        clips = ShardClips(Cache(cache_copy), 32, ["magnitude", "roll", TEACHER])
        with fuzz.limits(f"train {forge.__name__} {name}"), pytest.raises(ScoresepError, match="shard-00000"):
            clips([(0, 0)])


def test_a_group_of_the_index_that_lies_in_another_file_is_refused(cache_copy, fuzz):
    shutil.copy(cache_copy, cache_copy.with_name("other.h5"))
    with h5py.File(cache_copy, "a") as file:
        del file["tracks"]
        file["tracks"] = h5py.ExternalLink("other.h5", "/tracks")
    assert "is a link" in refused(cache_copy, fuzz, "group")


def test_one_text_named_a_million_times_is_refused(cache_copy, fuzz):
    """A megabyte of text, and references to it: HDF5 gives a copy for each."""
    with h5py.File(cache_copy, "a") as file:
        count = len(file["tracks/uuid"])
        del file["tracks/uuid"]
        texts = np.array(["x" * (1 << 20)] + [""] * 3999, dtype=object)
        column = file.create_dataset("tracks/uuid", data=texts, dtype=h5py.string_dtype())
        place = column.id.get_offset()
    data = bytearray(cache_copy.read_bytes())
    data[place : place + 4000 * 16] = bytes(data[place : place + 16]) * 4000
    cache_copy.write_bytes(data)
    assert count < 4000 and "longer than the file" in refused(cache_copy, fuzz, "references")


# Attributes


def test_attributes_of_any_size_and_type_are_refused(cache_copy, fuzz):
    whole = cache_copy.read_bytes()
    values = [np.arange(8000), 7, "{", "[" * 100_000, "[]", "null", np.bytes_(b"\xff\xfe"), h5py.Empty("f8")]
    for name in ("format", "version", "about", "digest", "leaks"):
        for number, value in enumerate(values):
            if isinstance(value, str) and (name == "digest" or (name == "leaks" and value == "[]")):
                continue  # as it may be
            with h5py.File(cache_copy, "a", libver="latest") as file:
                file.attrs[name] = value
            refused(cache_copy, fuzz, f"{name} {number}")
            cache_copy.write_bytes(whole)


SETTINGS = {
    "no instruments": lambda settings: settings.update(instruments=[]),
    "other instruments": lambda settings: settings.update(instruments=["piano"] * 10**5),
    "a grid of 10^12 Hz": lambda settings: settings["grid"].update(sample_rate=ENDLESS),
    "a window of 10^12": lambda settings: settings["grid"].update(n_fft=ENDLESS, hop=ENDLESS // 4),
    "a hop of 0": lambda settings: settings["grid"].update(hop=0),
    "an unknown setting": lambda settings: settings["harmonic"].update(x=1),
    "a list": lambda settings: settings.update(grid=[]),
    "a name of two lines": lambda settings: settings["groups"]["piano"].update(name="a\nb"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_forged_settings_are_refused(cache_copy, fuzz, case):
    with h5py.File(cache_copy, "a") as file:
        about = json.loads(file.attrs["about"])
        SETTINGS[case](about["settings"])
        file.attrs["about"] = json.dumps(about)
    assert "not a readable cache" in refused(cache_copy, fuzz, case)


# What the index says of the shards

WRONG = {
    **{
        f"{column} of {value}": (column, value)
        for column in ("frames", "samples", "notes", "activations", "templates")
        for value in (-1, 10**6, 1 << 62)
    },
    **{
        f"first_{column} of {value}": (f"first_{column}", value)
        for column in ("frame", "sample", "note", "activation")
        for value in (-1, 10**6, (1 << 63) - 1)
    },
    **{f"shard {value}": ("shard", value) for value in (-1, 10**6)},
    **{
        f"{column} of {value}": (column, value)
        for column in ("level", "scale")
        for value in (0.0, -1.0, np.nan, np.inf)
    },
}


@pytest.mark.parametrize("case", WRONG)
def test_places_beyond_a_shard_are_refused(cache_copy, fuzz, case):
    column, value = WRONG[case]
    with h5py.File(cache_copy, "a") as file:
        file[f"tracks/{column}"][0] = value
    refused(cache_copy, fuzz, case)


@pytest.mark.parametrize(
    ("name", "value"),
    [("template_of", -1), ("template_of", 30_000), ("component", 65_535), ("activation_end", 4_000_000_000)],
)
def test_factors_that_point_beyond_each_other_are_refused(cache_copy, fuzz, name, value):
    """Compiled loops follow them without looking."""
    with h5py.File(shard(cache_copy), "a") as file:
        file[name][:8] = value
    with fuzz.limits(f"{name} {value}"):
        with pytest.raises(ScoresepError, match="factors of Track00001"):
            Cache(cache_copy).factors(0)
        clips = ShardClips(Cache(cache_copy), 32, ["magnitude", TEACHER])
        if name != "template_of":
            with pytest.raises(ScoresepError, match="shard-00000"):
                clips([(0, 0)])


@pytest.mark.parametrize(("column", "value"), [(0, np.nan), (0, -1.0), (1, np.inf), (2, 1e9), (4, 7.0), (4, 0.5)])
def test_impossible_notes_are_refused(cache_copy, fuzz, column, value):
    with h5py.File(shard(cache_copy), "a") as file:
        notes = file["notes"][0]
        notes[column] = value
        file["notes"][0] = notes
    with fuzz.limits("notes"), pytest.raises(ScoresepError, match="notes of Track00001"):
        Cache(cache_copy).notes(0)


# Anything


def test_names_of_tracks_and_shards_do_not_become_paths(cache_copy):
    """Shards are called by their number; a track's name is shown, and nothing else."""
    with h5py.File(cache_copy, "a") as file:
        file["tracks/id"][0] = "../../etc/passwd"
    cache = Cache(cache_copy)
    assert cache.tracks["id"][0] == "../../etc/passwd" and cache.magnitude(0).size
    assert {cache.shard_path(n).parent for n in range(3)} == {cache_copy.with_name("cache.shards").resolve()}


@pytest.mark.parametrize("where", ["index", "shard"])
def test_a_damaged_cache_is_read_or_refused(cache_copy, fuzz, where):
    path = cache_copy if where == "index" else shard(cache_copy)
    seed = path.read_bytes()
    for n in range(fuzz.cases):
        path.write_bytes(fuzz.mutant(seed, fuzz.binary, f"{where}-{n}"))
        with fuzz.limits(f"{where}-{n}"):
            try:
                use(cache_copy)
            except ScoresepError as fault:
                assert "cache.h5" in str(fault) or "shard-0000" in str(fault)


def test_every_dataset_is_looked_at(cache_copy):
    """So that a new one is not forgotten."""
    with h5py.File(shard(cache_copy), "r") as file:
        assert set(file) == set(DATASET_SPAN) - {"weak"}  # of which every byte has a meaning
