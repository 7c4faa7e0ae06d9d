"""Checkpoints: nested state in a file, exactly, whole or not at all, and never pickle.

A *state* is a nested structure of dicts, lists, tuples, None, truth values, numbers, strings, bytes,
NumPy arrays and scalars, and Torch tensors. Its file is an uncompressed zip archive of

| member | holds |
|---|---|
| `manifest.json` | format, version, SHA-256 of the other two; the archive's CRC-32 guards it |
| `state.json` | the structure and everything in it that is not an array |
| `arrays.safetensors` | the arrays and tensors |
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from hyperrl_env.saving.files import whole_file

State = Any

FORMAT, VERSION = "hyperrl-checkpoint", 1
MANIFEST, STRUCTURE, ARRAYS = "manifest.json", "state.json", "arrays.safetensors"

_IMMUTABLE = frozenset((type(None), bool, int, float, str, bytes))


class CheckpointError(Exception):
    """A checkpoint or snapshot that cannot be used, or a checkpoint that cannot be written; says why."""


# ---------------------------------------------------------------------- files


def write_checkpoint(path: str | os.PathLike[str], state: State) -> None:
    """Writes a state to a file, whole or not at all.

    It is written under a temporary name, flushed to the disk and renamed: at any moment `path` holds
    what it held before or all of this state.

    Raises:
        CheckpointError: The file system refused; what `path` held is as it was.
        TypeError: The state holds what no checkpoint can, as the message says.
    """
    path = Path(path)
    arrays: list[NDArray[Any]] = []
    structure = json.dumps(_pack(state, arrays, "state")).encode()
    tensors = safetensors.numpy.save({str(i): array for i, array in enumerate(arrays)})
    members = {STRUCTURE: structure, ARRAYS: tensors}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    manifest = json.dumps({"format": FORMAT, "version": VERSION, "sha256": digests}).encode()
    try:
        with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, content in {MANIFEST: manifest, **members}.items():
                # Without a date: equal states give equal files.
                archive.writestr(zipfile.ZipInfo(name), content)
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written ({error.strerror or error}); what was there before is intact."
        ) from error


def read_checkpoint(path: str | os.PathLike[str]) -> State:
    """Reads a state that `write_checkpoint` wrote; nothing in the file is executed or unpickled.

    Raises:
        CheckpointError: The file is missing, damaged, of another version, or not a checkpoint at all.
    """
    path = Path(path)
    members = _members(path)
    manifest = _parsed(path, MANIFEST, members[MANIFEST])
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a checkpoint: its manifest does not name the format {FORMAT!r}."
        )
    if manifest.get("version") != VERSION:
        raise CheckpointError(
            f"{path} is a checkpoint of version {manifest.get('version')!r}, and only version {VERSION} "
            "can be read."
        )
    for name in (STRUCTURE, ARRAYS):
        digests = manifest.get("sha256")
        digest = hashlib.sha256(members[name]).hexdigest()
        if not isinstance(digests, dict) or digests.get(name) != digest:
            raise CheckpointError(f"{path} is damaged: the checksum of its {name} is wrong.")
    structure = _parsed(path, STRUCTURE, members[STRUCTURE])
    try:
        arrays = safetensors.numpy.load(members[ARRAYS])
        # A copy of each: they are views of the file's bytes, which nothing may write to.
        return _unpack(structure, {name: np.array(array) for name, array in arrays.items()})
    except (
        safetensors.SafetensorError,
        LookupError,
        TypeError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:
        raise CheckpointError(f"{path} does not hold a state: {error!r}.") from error


def _members(path: Path) -> dict[str, bytes]:
    """The archive's members, checked as far as the archive itself allows."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not zipfile.is_zipfile(file):
                file.seek(0)
                raise CheckpointError(f"{path} is not a checkpoint: {_what_else(file.read(2))}.")
            with zipfile.ZipFile(file) as archive:
                names = sorted(archive.namelist())
                if names != sorted((MANIFEST, STRUCTURE, ARRAYS)):
                    raise CheckpointError(
                        f"{path} is not a checkpoint: it holds {names}, not {[MANIFEST, STRUCTURE, ARRAYS]}."
                    )
                if any(m.compress_type != zipfile.ZIP_STORED or m.file_size > size for m in archive.filelist):
                    raise CheckpointError(f"{path} is damaged: its directory of members is wrong.")
                return {name: archive.read(name) for name in names}
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except CheckpointError:
        raise
    # The archive's bytes can be anything, and zipfile has no one error for what they can do to it.
    except Exception as error:
        raise CheckpointError(f"{path} is damaged: {error!r}.") from error


def _what_else(start: bytes) -> str:
    if not start:
        return "it is empty"
    if start[:1] == b"\x80":
        return "it looks like pickle, which is never loaded"
    return "it is not a whole zip archive; it may have been cut or belong to another program"


def _parsed(path: Path, name: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: its {name} is not JSON: {error}.") from error


# ---------------------------------------------------------------------- states


def copied(state: State) -> State:
    """A copy that shares no memory with the state."""
    kind = type(state)
    # Most leaves by far are numbers.
    if kind in _IMMUTABLE:
        return state
    if kind is dict:
        return {key: copied(value) for key, value in state.items()}
    if kind is list or kind is tuple:
        return kind([copied(item) for item in state])
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    if isinstance(state, np.ndarray):
        return state.copy(order="K")
    if isinstance(state, Mapping):
        return copied(dict(state))
    return state


def _pack(state: State, arrays: list[NDArray[Any]], where: str) -> Any:
    """The state as JSON; what JSON lacks is an object of one key that says what it is."""
    if state is None or isinstance(state, bool | str):
        return state
    # NumPy's float64 is a float too.
    if isinstance(state, np.generic):
        return {"scalar": [_checked(state.dtype, where).str, _pack(state.item(), arrays, where)]}
    if isinstance(state, int):
        return int(state)
    if isinstance(state, float):
        return float(state) if math.isfinite(state) else {"float": str(float(state))}
    if isinstance(state, list):
        return [_pack(item, arrays, f"{where}[{i}]") for i, item in enumerate(state)]
    if isinstance(state, tuple):
        return {"tuple": _pack(list(state), arrays, where)}
    if isinstance(state, Mapping):
        return {"dict": [[_key(k, where), _pack(v, arrays, f"{where}[{k!r}]")] for k, v in state.items()]}
    if isinstance(state, torch.Tensor):
        kind, array = "tensor", state.detach().cpu().numpy()
    elif isinstance(state, np.ndarray):
        kind, array = "array", state
    elif isinstance(state, bytes):
        kind, array = "bytes", np.frombuffer(state, np.uint8)
    else:
        raise TypeError(f"{where} is of {type(state)}, which a checkpoint cannot hold.")
    _checked(array.dtype, where)
    # The layout in memory is kept: products of the same numbers laid out otherwise round otherwise.
    axes = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    laid_out = array.transpose(axes)
    if array.flags.c_contiguous or not laid_out.flags.c_contiguous:
        laid_out, axes = np.asarray(array, order="C"), []
    arrays.append(laid_out)
    return {kind: [len(arrays) - 1, *axes]}


def _key(key: object, where: str) -> str | int:
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise TypeError(f"{where} has the key {key!r}: keys must be strings or whole numbers.")
    return key


def _checked(dtype: np.dtype[Any], where: str) -> np.dtype[Any]:
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or not dtype.isnative:
        raise TypeError(f"{where} is of dtype {dtype}, which a checkpoint cannot hold.")
    return dtype


def _unpack(node: Any, arrays: Mapping[str, NDArray[Any]]) -> State:
    """Inverse of `_pack`."""
    if isinstance(node, list):
        return [_unpack(item, arrays) for item in node]
    if not isinstance(node, dict):
        return node
    [(kind, content)] = node.items()
    if kind == "float":
        return float(content)
    if kind == "scalar":
        return _checked(np.dtype(content[0]), "state").type(_unpack(content[1], arrays))
    if kind == "tuple":
        return tuple(_unpack(content, arrays))
    if kind == "dict":
        return {_key(key, "state"): _unpack(value, arrays) for key, value in content}
    index, *axes = content
    array = arrays[str(index)]
    if axes:
        if sorted(axes) != list(range(array.ndim)):
            raise ValueError(f"an array of {array.ndim} axes cannot have them in the order {axes}")
        array = array.transpose(np.argsort(axes))
    if kind == "tensor":
        return torch.from_numpy(array)
    if kind == "array":
        return array
    if kind == "bytes":
        return array.tobytes()
    raise ValueError(f"unknown kind {kind!r}")
