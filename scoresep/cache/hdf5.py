"""HDF5 files: written on a disk that may be full, read from strangers.

HDF5 can name other files (external and soft links, virtual datasets, external storage), promise rows that were never
written (a file of a kilobyte claims 10^12), and refer to the same bytes many times. None of it is in a cache, and the
readers here refuse it with a ValueError before they take the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scoresep.files import Sink, replacing

TEXT_BYTES = 2**28
"""Memory that texts which are read at a time may take, if each is as long as the file."""
FOREIGN = "which no cache of scoresep has"


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Sink]]:
    """Yield an empty HDF5 file, renamed to `path` when the block ends well, and what it writes to.

    Raises:
        Unwritable: it could not be written; `Sink.check` tells in between.
    """
    with replacing(path) as temporary, Sink(temporary, path) as sink, h5py.File(sink, "w", libver="latest") as file:
        yield file, sink


def plain_dataset(
    file: h5py.File, name: str, shape: Sequence[int] = (), dtype: str | np.dtype[Any] | None = None
) -> h5py.Dataset:
    """Dataset `name` (group/name), all of whose bytes are in the file.

    Args:
        shape: its other axes.
        dtype: its type; None for texts.

    Raises:
        KeyError: there is none.
        ValueError: it lies elsewhere, is packed, of another shape or type, or larger than its bytes.
    """
    item: Any = file
    for part in name.split("/"):
        if not isinstance(item, h5py.Group) or part not in item:
            raise KeyError(f"there is no '{name}'")
        if not isinstance(item.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"'{name}' is a link, {FOREIGN}")
        item = item[part]
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"'{name}' is not a dataset")
    if item.is_virtual or item.external is not None or item.id.get_create_plist().get_nfilters():
        raise ValueError(f"'{name}' lies in other files or is packed, {FOREIGN}")
    text = h5py.check_string_dtype(item.dtype)
    fits = text is not None and text.length is None if dtype is None else item.dtype == np.dtype(dtype)
    if not fits or len(item.shape) != 1 + len(shape) or item.shape[1:] != tuple(shape):
        raise ValueError(f"'{name}' is of type {item.dtype} and shape {item.shape}")
    size, stored = item.size * item.dtype.itemsize, item.id.get_storage_size()
    if not size <= stored <= file.id.get_filesize():
        raise ValueError(f"'{name}' claims {size} bytes, of which {stored} are stored")
    return item


def numbers(file: h5py.File, name: str, dtype: str, shape: Sequence[int] = ()) -> np.ndarray:
    """All of a dataset of numbers; raises as `plain_dataset` does."""
    values: np.ndarray = plain_dataset(file, name, shape, dtype)[()]
    return values


def texts(file: h5py.File, name: str) -> np.ndarray:
    """A dataset of texts: object (K,).

    Raises:
        KeyError, ValueError: see `plain_dataset`; or they are longer together than the file, so that they share bytes.
    """
    dataset, left = plain_dataset(file, name), file.id.get_filesize()
    step, values = max(1, TEXT_BYTES // left), np.empty(len(dataset), dtype=object)
    for first in range(0, len(dataset), step):
        part = dataset[first : first + step]
        left -= sum(map(len, part))
        if left < 0:
            raise ValueError(f"the texts of '{name}' are longer than the file, {FOREIGN}")
        values[first : first + step] = [text.decode() for text in part]
    return values


def text_attribute(file: h5py.File, name: str) -> str:
    """One text of the file's attributes.

    Raises:
        KeyError: there is none.
        ValueError: it is no text, or longer than the file.
    """
    attribute = file.attrs.get_id(name)
    if attribute.shape != () or h5py.check_string_dtype(attribute.dtype) is None:
        raise ValueError(f"attribute '{name}' is not a text")
    if attribute.dtype.itemsize > file.id.get_filesize():
        raise ValueError(f"attribute '{name}' is longer than the file")
    value = file.attrs[name]
    return value if isinstance(value, str) else bytes(value).decode()
