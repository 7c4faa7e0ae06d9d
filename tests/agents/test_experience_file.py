"""Files of experience: bad ones are told apart, and so is another file than a run began with."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agents.experience import Experience
from agents.experience_file import (
    experience_path,
    load_experience,
    read_experience,
    sha256_of,
    write_experience,
)


@pytest.fixture
def file(past_run, tmp_path):
    path = tmp_path / "some.parquet"
    write_experience(Experience("PPO", [past_run("a"), past_run("b", 2.0)]), path)
    return path


def test_what_is_not_offered_stays_away(past_run, tmp_path):
    path = tmp_path / "some.parquet"
    write_experience(Experience("PPO", [past_run(learning_rate=[0, 1, 1, 1, np.nan])]), path)
    assert list(read_experience(path).runs[0].changes) == ["learning_rate"]


def test_an_empty_a_damaged_and_a_missing_file(file, tmp_path):
    content = bytearray(file.read_bytes())
    damaged = tmp_path / "damaged.parquet"
    for wrong in (b"", content[:100], content[: len(content) // 2]):
        damaged.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"damaged.parquet is empty or damaged"):
            read_experience(damaged)
    with pytest.raises(ValueError, match=r"missing\.parquet cannot be read"):
        read_experience(tmp_path / "missing.parquet")
    with pytest.raises(ValueError, match="cannot be read"):
        read_experience(tmp_path)


def test_a_byte_that_has_changed_is_found_or_does_not_matter(file, tmp_path):
    content, damaged, found = file.read_bytes(), tmp_path / "damaged.parquet", 0
    for place in range(0, len(content), 61):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            read = read_experience(damaged)
        except ValueError:
            found += 1
        else:
            write_experience(read, tmp_path / "again.parquet")
            assert (tmp_path / "again.parquet").read_bytes() == content, place
    assert found > 10


def rewritten(file, **metadata):
    table = pq.read_table(file)
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    pq.write_table(table.replace_schema_metadata({**about, **metadata}), file)


@pytest.mark.parametrize("missing", [None, [0.0, None, 1.0]])
def test_numbers_that_are_missing_are_damage(file, missing):
    table = pq.read_table(file)
    place = table.schema.get_field_index("change.learning_rate")
    column = pa.array([missing, *table.column(place).to_pylist()[1:]], table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), column), file)
    with pytest.raises(ValueError, match="is empty or damaged: numbers are missing"):
        read_experience(file)


def test_columns_of_a_run_that_differ_in_length_are_damage(file):
    table = pq.read_table(file)
    place = table.schema.get_field_index("change.learning_rate")
    first, *others = table.column(place).to_pylist()
    column = pa.array([first[:-1], *others], table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), column), file)
    with pytest.raises(ValueError, match="is empty or damaged: the columns of a run differ in length"):
        read_experience(file)


def test_another_version_and_other_tables(file):
    rewritten(file, version="7", hyperrl="9.9")
    with pytest.raises(ValueError, match=r"version 7 of Hyper-RL 9\.9.*build it anew"):
        read_experience(file)
    rewritten(file, format="something else")
    with pytest.raises(ValueError, match="is not an experience: `hyperrl experience build"):
        read_experience(file)


def test_other_diagnostics(file):
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["diagnostic.progress"]), file)
    with pytest.raises(ValueError, match="build it anew"):
        read_experience(file)


def test_no_runs(tmp_path):
    write_experience(Experience("PPO", []), tmp_path / "none.parquet")
    with pytest.raises(ValueError, match="without runs"):
        read_experience(tmp_path / "none.parquet")


def test_a_file_that_has_changed(file, past_run):
    digest = sha256_of(file)
    assert len(load_experience(str(file), digest).runs) == 2
    write_experience(Experience("PPO", [past_run("c")]), file)
    assert len(load_experience(str(file)).runs) == 1
    with pytest.raises(ValueError, match="not the one that this run began with"):
        load_experience(str(file), digest)


def test_what_does_not_ship_is_told():
    with pytest.raises(ValueError, match=r"No experience ships for ACKTR.*hyperrl experience build"):
        experience_path("ACKTR")
