"""Datasets and texts of HDF5 files from strangers: only what lies in the file itself.
HDF5 can name other files (external and soft links, virtual datasets, external storage), promise rows that were never
written (a file of a kilobyte says it has 10^12), and name the same bytes many times. None of it is in a cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

TEXT_BYTES = 2**28
"""Memory that texts which are read at a time may take, if each is as long as the file."""
NOT_OURS = "which no cache of scoresep has"


def plain_dataset(
    file: h5py.File, name: str, shape: Sequence[int] = (), dtype: str | np.dtype | None = None
) -> h5py.Dataset:
    """Dataset `name`, group/name included, all of whose bytes are in the file.

    Args:
        shape: its other axes.
        dtype: its type; None for texts.

    Raises:
        KeyError: there is none.
        ValueError: it lies elsewhere, is packed, of another shape or type, or larger than its bytes.
    """
    place: Any = file
    for part in name.split("/"):
        if not isinstance(place, h5py.Group) or part not in place:
            raise KeyError(f"there is no '{name}'")
        if not isinstance(place.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"'{name}' is a link, {NOT_OURS}")
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        raise ValueError(f"'{name}' is no dataset")
    if place.is_virtual or place.external is not None:
        raise ValueError(f"'{name}' lies in other files, {NOT_OURS}")
    if place.id.get_create_plist().get_nfilters():
        raise ValueError(f"'{name}' is packed, {NOT_OURS}")
    if len(place.shape) != 1 + len(shape) or place.shape[1:] != tuple(shape):
        raise ValueError(f"'{name}' has the shape {place.shape}")
    text = h5py.check_string_dtype(place.dtype)
    if (text is None or text.length is not None) if dtype is None else place.dtype != np.dtype(dtype):
        raise ValueError(f"'{name}' is of type {place.dtype}")
    size, stored = place.size * place.dtype.itemsize, place.id.get_storage_size()
    if not size <= stored <= file.id.get_filesize():
        raise ValueError(f"'{name}' says it has {size} bytes, of which {stored} are stored")
    return place


def texts(file: h5py.File, name: str) -> np.ndarray:
    """A dataset of texts: object (K,).

    Raises:
        KeyError, ValueError: see `plain_dataset`; or they are longer together than the file, so that they share bytes.
    """
    dataset, left = plain_dataset(file, name), file.id.get_filesize()
    step, found = max(1, TEXT_BYTES // left), np.empty(len(dataset), dtype=object)
    for first in range(0, len(dataset), step):
        part = dataset[first : first + step]
        left -= sum(map(len, part))
        if left < 0:
            raise ValueError(f"the texts of '{name}' are longer than the file, {NOT_OURS}")
        found[first : first + step] = [text.decode() for text in part]
    return found


def text_attribute(file: h5py.File, name: str) -> str:
    """One text of the file's attributes.

    Raises:
        KeyError: there is none.
        ValueError: it is no text, or longer than the file.
    """
    attribute = file.attrs.get_id(name)
    if attribute.shape != () or h5py.check_string_dtype(attribute.dtype) is None:
        raise ValueError(f"attribute '{name}' is no text")
    if attribute.dtype.itemsize > file.id.get_filesize():
        raise ValueError(f"attribute '{name}' is longer than the file")
    value = file.attrs[name]
    return value if isinstance(value, str) else value.decode()


def numbers(file: h5py.File, name: str, dtype: str, shape: Sequence[int] = ()) -> np.ndarray:
    """All of a dataset of numbers, see `plain_dataset`."""
    return plain_dataset(file, name, shape, dtype)[()]
