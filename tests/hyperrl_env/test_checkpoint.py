"""The file format: exact, whole or not at all, and hard to harm."""

import hashlib
import io
import json
import math
import os
import pickle
import random
import resource
import signal
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hyperrl_env import CheckpointError
from hyperrl_env.saving.checkpoint import read_checkpoint, write_checkpoint

MEMBERS = ["arrays.safetensors", "manifest.json", "state.json"]


def identical(a, b):
    """Same types all the way down, same bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and identical(a.detach().numpy(), b.detach().numpy())
    if isinstance(a, np.ndarray) and a.size > 1 and a.strides != b.strides:
        return False
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or a.hex() == b.hex()
    return a == b


DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
ARRAYS = hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
STATES = st.recursive(
    PLAIN | ARRAYS | ARRAYS.filter(lambda a: a.dtype.str[1:] not in ("u2", "u4", "u8")).map(torch.from_numpy),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(state=STATES)
def test_a_state_comes_back_exactly(state, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any"
    write_checkpoint(path, state)
    assert identical(read_checkpoint(path), state)


def test_what_states_are_made_of_comes_back_exactly(tmp_path):
    state = {
        "generators": [np.random.default_rng(0).bit_generator.state, list(random.getstate()[1])],
        "floats": [math.inf, -math.inf, math.nan, -0.0, 5e-324, 0.1],
        "scalars": [np.float64(0.1), np.float32(0.1), np.int64(-1), np.bool_(True), np.float32(np.nan)],
        # Sums over another layout round otherwise.
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "three axes": np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
        "tensors": [torch.tensor(3.0), torch.arange(4).view(2, 2).T, torch.zeros(0, 3)],
        3: {"moments": (1, 2.5, None)},
        "lone surrogate": "\udc80",
    }
    write_checkpoint(tmp_path / "state", state)
    found = read_checkpoint(tmp_path / "state")
    assert identical(found, state)
    # Others go on with what was read, so they have to be able to write to it.
    found["transposed"][:] = 0
    found["tensors"][0].add_(1)


@pytest.mark.parametrize(
    "odd", [object(), {1, 2}, np.array(["text"]), np.array([object()]), 1j, {1.5: 0}, {True: 0}, lambda: 0]
)
def test_what_cannot_be_held_is_named(odd, tmp_path):
    with pytest.raises(TypeError, match=r"state\['here'\]\[0\]"):
        write_checkpoint(tmp_path / "state", {"here": [odd]})
    assert list(tmp_path.iterdir()) == []


def test_equal_states_give_equal_files(tmp_path):
    for name in "ab":
        write_checkpoint(tmp_path / name, {"x": np.arange(3)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ---------------------------------------------------------------------- bad files


def archive(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def members_of(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "saved"
    write_checkpoint(path, {"weights": np.arange(5.0), "n": 3})
    return path


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        read_checkpoint(tmp_path / "nothing")


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="directory"):
        read_checkpoint(tmp_path)
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="directory"):
        write_checkpoint(tmp_path / "folder", {})


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch /tmp/hyperrl-bomb-went-off",))


def bomb_files(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(pickle.dumps(Bomb()))
    torch_file = tmp_path / "torch"
    torch.save(Bomb(), torch_file)
    hidden = tmp_path / "hidden"
    archive(hidden, {"manifest.json": pickle.dumps(Bomb()), "state.json": b"", "arrays.safetensors": b""})
    return {"pickle": plain, "data.pkl": torch_file, "not JSON": hidden}


def test_a_pickle_in_disguise_is_refused_and_not_run(tmp_path):
    for message, path in bomb_files(tmp_path).items():
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(path)
    assert not os.path.exists("/tmp/hyperrl-bomb-went-off")


def test_a_path_that_escapes_is_refused_and_not_written(saved, tmp_path):
    evil = tmp_path / "evil"
    archive(evil, {**members_of(saved), "../outside": b"x"})
    with pytest.raises(CheckpointError, match="outside"):
        read_checkpoint(evil)
    archive(evil, {("../state.json" if n == "state.json" else n): c for n, c in members_of(saved).items()})
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        read_checkpoint(evil)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil", "saved"]


def rewritten(saved, target, change):
    """The checkpoint with its content changed and every checksum right again."""
    members = members_of(saved)
    change(members)
    manifest = json.loads(members["manifest.json"])
    for name in manifest["sha256"]:
        manifest["sha256"][name] = hashlib.sha256(members[name]).hexdigest()
    archive(target, {**members, "manifest.json": json.dumps(manifest)})


@pytest.mark.parametrize(
    ("structure", "arrays"),
    [
        (b"[", None),
        (b'{"array": [7]}', None),
        (b'{"array": [0, 1]}', None),
        (b'{"array": [0, 0, 0]}', None),
        (b'{"array": []}', None),
        (b'{"array": 0}', None),
        (b'{"array": 0, "n": 1}', None),
        (b'{"surprise": 0}', None),
        (b'{"scalar": ["O", 1]}', None),
        (b'{"scalar": ["<i1", 1000]}', None),
        (b'{"float": "much"}', None),
        (b'{"dict": [[[1], 2]]}', None),
        (b'{"dict": 3}', None),
        (b"[" * 100_000 + b"]" * 100_000, None),
        (None, b""),
        (None, b"\x00" * 8),
        (None, b"\xff" * 64),
    ],
)
def test_content_that_no_state_has_is_refused_even_with_right_checksums(structure, arrays, saved, tmp_path):
    def change(members):
        members["state.json"] = structure or members["state.json"]
        members["arrays.safetensors"] = members["arrays.safetensors"] if arrays is None else arrays

    rewritten(saved, tmp_path / "evil", change)
    with pytest.raises(CheckpointError, match="evil"):
        read_checkpoint(tmp_path / "evil")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", 2, "version 2, and only version 1 can be read"),
        ("version", None, "version None"),
        ("format", "another", "not a checkpoint"),
        ("sha256", {}, "checksum"),
        ("sha256", None, "checksum"),
    ],
)
def test_another_manifest(field, value, message, saved, tmp_path):
    members = members_of(saved)
    manifest = {**json.loads(members["manifest.json"]), field: value}
    archive(tmp_path / "other", {**members, "manifest.json": json.dumps(manifest)})
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "other")


def test_a_compressed_bomb_is_not_unpacked(saved, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {**members_of(saved), "state.json": b" " * 10_000_000}.items():
            file.writestr(name, content)
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(tmp_path / "bomb")


# ---------------------------------------------------------------------- whole or not at all


@pytest.fixture
def small_disk():
    """No file may grow beyond 64 KiB, whatever the disk has."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_where_the_file_system_refuses_the_file_before_is_intact(saved, small_disk):
    before = saved.read_bytes()
    with pytest.raises(CheckpointError, match=r"saved could not be written \(File too large\).*intact"):
        write_checkpoint(saved, {"large": np.zeros(100_000)})
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["saved"]


def test_a_disk_that_fails_when_it_is_flushed(saved, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    before = saved.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write_checkpoint(saved, {})
    assert saved.read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no folder .*nowhere to write state to"):
        write_checkpoint(tmp_path / "nowhere" / "state", {})


# ---------------------------------------------------------------------- mutations


def mutated(original, rng):
    """One of: bits flipped, a cut, two parts swapped, a part overwritten, something added."""
    data = bytearray(original)
    kind, a, b = rng.choice(["flip", "cut", "swap", "overwrite", "add"]), *rng.choices(range(len(data)), k=2)
    if kind == "flip":
        for i in rng.choices(range(len(data)), k=rng.randint(1, 8)):
            data[i] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[min(a, b) : max(a, b)]
    elif kind == "swap":
        n = rng.randint(1, 64)
        data[a : a + n], data[b : b + n] = data[b : b + n], data[a : a + n]
    elif kind == "overwrite":
        data[a : a + rng.randint(1, 32)] = rng.randbytes(rng.randint(1, 32))
    else:
        data[a:a] = rng.randbytes(rng.randint(1, 32))
    return bytes(data)


def changed_somewhere(node, rng):
    """The JSON with one field changed."""
    if isinstance(node, dict | list) and node and rng.random() < 0.9:
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        copy = dict(node) if isinstance(node, dict) else list(node)
        if rng.random() < 0.1:
            del copy[key]
        else:
            copy[key] = changed_somewhere(node[key], rng)
        return copy
    return rng.choice([None, True, -1, 10**30, 0.5, "", "../../etc/passwd", [], {}, [[]], {"array": [0]}])


def with_json_changed(original, rng):
    members = members_of(io.BytesIO(original))
    name = rng.choice(["manifest.json", "state.json"])
    members[name] = json.dumps(changed_somewhere(json.loads(members[name]), rng)).encode()
    target = io.BytesIO()
    archive(target, members)
    return target.getvalue()


@pytest.mark.parametrize("mutation", [mutated, with_json_changed])
def test_a_thousand_mutations_are_refused_or_change_nothing(mutation, make_env, tmp_path):
    env = make_env("PPO")
    env.reset(seed=0)
    env.step(env.default_action)
    path = tmp_path / "saved"
    env.save(path)
    original, rng = path.read_bytes(), random.Random(0)
    state = read_checkpoint(path)
    accepted = 0
    for _ in range(1_000):
        path.write_bytes(mutation(original, rng))
        try:
            found = read_checkpoint(path)
        except CheckpointError:
            continue
        accepted += 1
        assert identical(found, state)
    # Dates and the like are in no checksum; nearly all else is.
    assert accepted < 150
