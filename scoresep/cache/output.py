"""Making an HDF5 file on a disk that may be full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from scoresep.files import Sink, new_sink, replacing


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Sink]]:
    """Yield an empty HDF5 file, which comes to lie at `path` when the block ends well, and what it writes to.

    Raises:
        Unwritable: it could not be written; ask the sink in between to know early.
    """
    with replacing(path) as temporary, new_sink(temporary, path) as sink, h5py.File(sink, "w", libver="latest") as file:
        yield file, sink
