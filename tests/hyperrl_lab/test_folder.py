"""A run's folder holds the run's files; whatever else is there stays as it is, byte for byte."""

import json
import os
import zipfile

import pytest

from hyperrl_env.saving.checkpoint import write_checkpoint
from hyperrl_lab import checkpoints as checkpoints_module
from hyperrl_lab.checkpoints import CHECKPOINTS, Checkpoints
from hyperrl_lab.cli import main
from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config
from hyperrl_lab.folder import RECORD_FILE, RunFolder
from hyperrl_lab.lock import HOLDER_FILE, LOCK_FILE
from hyperrl_lab.run import TrainingRun

EVENTS = "events.out.tfevents.1700000000.elsewhere.1.0"


def tree(folder):
    """Everything below a folder: contents of files, targets of links, folders."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


def put(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the user's {name}")


def train(config, folder, until=10**9, **kwargs):
    run = TrainingRun(config, folder, **kwargs)
    return run.train(stop=lambda: run.progress.hyper_steps >= until, pictures=False)


# ---------------------------------------------------------------------- a new run


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["checkpoints/other.pt", EVENTS], f"'checkpoints', '{EVENTS}'"),
        (["model.zip", "progress.csv"], "'model.zip', 'progress.csv'"),
        (["a", "b", "c", "d", "e"], "'a', 'b', 'c' and 2 more"),
        ([CONFIG_FILE], "'config.json'"),
        ([RECORD_FILE], "'files.json'"),
        (["checkpoints/step-000000000001.zip"], "'checkpoints'"),
        (["notes", ".gitkeep"], "it holds 'notes'."),
    ],
)
def test_a_folder_that_holds_anything_is_refused(names, said, small_arguments, tmp_path, capsys):
    put(tmp_path, names)
    before = tree(tmp_path)
    assert main(["train", *small_arguments, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path} is not empty: it holds ")
    assert said in error
    assert "Give a new or an empty folder" in error
    assert error.count("\n") == 1
    assert tree(tmp_path) == before


def test_a_link_is_something_too(small, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.zip").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match=r"is not empty: it holds 'model\.zip'"):
        TrainingRun(small["ppo"], tmp_path / "out")


def test_what_comes_while_the_environment_is_made_is_noticed(small, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "hyperrl_lab.run.resolve_id", lambda id_: put(tmp_path / "out", ["model.zip"]) or f"{id_}"
    )
    with pytest.raises(FileExistsError, match="is not empty"):
        TrainingRun(small["ppo"], tmp_path / "out")
    assert tree(tmp_path / "out") == {"model.zip": b"the user's model.zip"}


def test_a_file_is_no_folder(small_arguments, tmp_path, capsys):
    put(tmp_path, ["out"])
    assert main(["train", *small_arguments, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'out'} is not a folder.\n"


@pytest.mark.parametrize(
    "hidden", [[], [".gitkeep"], [".lock", ".git/HEAD", ".model.zip"], [LOCK_FILE, HOLDER_FILE]]
)
def test_an_empty_folder_will_do_and_hidden_files_stay(hidden, small, tmp_path):
    """Those of a lock are the project's own: a killed process leaves them."""
    put(tmp_path, hidden)
    before = {name: value for name, value in tree(tmp_path).items() if "hyperrl" not in name}
    train(small["ppo"], tmp_path)
    after = tree(tmp_path)
    assert {name: value for name, value in after.items() if name.startswith(".")} == before
    assert {CONFIG_FILE, "summary.json", "model.zip"} <= set(after)


# ---------------------------------------------------------------------- while it trains, and afterwards

FOREIGN = [
    *("checkpoints/other.pt", "checkpoints/step-old.zip", "checkpoints/step-1.zip", "checkpoints/sub/a.zip"),
    *("checkpoints/.step-000000000002.123.zip", "checkpoints/.other.0123456789abcdef.zip"),
    *(EVENTS, f"{EVENTS}.v2", "notes.txt", "model.bak.zip", ".other.0123456789abcdef.zip"),
]


def add_foreign(folder, outside):
    put(folder, FOREIGN)
    put(outside, ["target.zip", "folder/step-000000000000.zip"])
    (folder / CHECKPOINTS / "step-999999999999.zip").symlink_to(outside / "target.zip")
    (folder / CHECKPOINTS / "linked").symlink_to(outside / "folder")
    (folder / f"{EVENTS}.link").symlink_to(outside / "target.zip")
    links = ["checkpoints/step-999999999999.zip", "checkpoints/linked", f"{EVENTS}.link"]
    return {name: tree(folder)[name] for name in [*FOREIGN, *links]}, tree(outside)


def test_foreign_files_stay_while_a_run_trains_is_cut_and_resumed(small, tmp_path):
    folder, outside = tmp_path / "run", tmp_path / "outside"
    foreign, beyond = {}, {}

    def add(progress):
        if progress.hyper_steps == 2:
            foreign.update(add_foreign(folder, outside)[0])
            beyond.update(tree(outside))

    run = TrainingRun(small["ppo"], folder, checkpoint_minutes=0)
    run.train(on_step=add, stop=lambda: run.progress.hyper_steps >= 4, pictures=False)
    assert foreign.items() <= tree(folder).items()
    for until in (6, 10**9):
        train(read_config(folder / CONFIG_FILE)[0], folder, until, resume=True, checkpoint_minutes=0)
        assert foreign.items() <= tree(folder).items()
    assert tree(outside) == beyond
    assert json.loads((folder / "summary.json").read_text())["status"] == "finished"
    names = [path.name for path in Checkpoints(folder, 0).paths()]
    assert names == ["step-000000000010.zip", "step-000000000009.zip"]


def test_foreign_files_stay_where_a_run_was_cut_before_its_first_checkpoint(small, tmp_path):
    folder = tmp_path / "run"
    TrainingRun(small["ppo"], folder).close()
    foreign, _ = add_foreign(folder, tmp_path / "outside")
    train(small["ppo"], folder, resume=True)
    assert foreign.items() <= tree(folder).items()
    assert json.loads((folder / "summary.json").read_text())["status"] == "finished"


RESULTS = [
    *("model.zip", "progress.csv", "actions.parquet", "episodes.parquet", "summary.json", "schedule.png"),
    *("learning_curve.png", "vecnormalize.pkl", "memory.png", "phases.parquet"),
]


@pytest.mark.parametrize("name", RESULTS)
def test_a_foreign_file_with_a_results_name_is_not_overwritten_on_resume(name, small, tmp_path, capsys):
    folder = tmp_path / "run"
    TrainingRun(small["ppo"], folder).close()
    put(folder, [name])
    before = tree(folder)
    assert main(["resume", str(folder)]) == 2
    error = capsys.readouterr().err
    assert f"holds '{name}', which this run did not write" in error
    assert "Move it elsewhere or rename it." in error
    assert tree(folder) == before
    (folder / name).unlink()
    train(small["ppo"], folder, resume=True)


def test_a_foreign_file_with_a_results_name_is_not_overwritten_at_the_end(
    small_arguments, tmp_path, capsys, monkeypatch
):
    """It came while the run trained. Nothing is written then, and nothing lost."""
    write = checkpoints_module.write_checkpoint

    def write_and_put(path, state):
        write(path, state)
        put(tmp_path, ["model.zip"])

    monkeypatch.setattr(checkpoints_module, "write_checkpoint", write_and_put)
    assert main(["train", *small_arguments, "--out", str(tmp_path)]) == 1
    monkeypatch.undo()
    error = capsys.readouterr().err
    assert "'model.zip', which this run did not write" in error
    assert f"`hyperrl resume {tmp_path}`" in error
    assert (tmp_path / "model.zip").read_text() == "the user's model.zip"
    assert not (tmp_path / "summary.json").exists()
    (tmp_path / "model.zip").unlink()
    assert main(["resume", str(tmp_path)]) == 0
    assert zipfile.is_zipfile(tmp_path / "model.zip")


@pytest.mark.parametrize("name", ["progress.csv", "model.zip"])
def test_a_link_in_the_place_of_a_result_is_not_followed(name, small, tmp_path):
    folder, target = tmp_path / "run", tmp_path / "target"
    train(small["ppo"], folder, 5)
    (folder / name).rename(target)
    (folder / name).symlink_to(target)
    content = target.read_bytes()
    with pytest.raises(FileExistsError, match="did not write"):
        train(small["ppo"], folder, resume=True)
    assert (folder / name).is_symlink()
    assert target.read_bytes() == content


def test_checkpoints_elsewhere_are_not_touched(small, tmp_path, capsys):
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    train(small["ppo"], folder, 5, checkpoint_minutes=0)
    (folder / CHECKPOINTS).rename(elsewhere)
    (folder / CHECKPOINTS).symlink_to(elsewhere)
    before = tree(elsewhere)
    assert main(["resume", str(folder)]) == 2
    assert "checkpoints is a file or a link, not a folder" in capsys.readouterr().err
    assert tree(elsewhere) == before


def test_a_checkpoint_takes_the_place_of_no_link(tmp_path):
    checkpoints = Checkpoints(tmp_path, 0)
    put(tmp_path, ["target"])
    (tmp_path / CHECKPOINTS).mkdir()
    (tmp_path / CHECKPOINTS / "step-000000000003.zip").symlink_to(tmp_path / "target")
    with pytest.raises(Exception, match=r"step-000000000003\.zip could not be written"):
        checkpoints.write(3, {})
    assert (tmp_path / "target").read_text() == "the user's target"


# ---------------------------------------------------------------------- the record


def test_the_record_names_what_was_written(small, tmp_path):
    train(small["a2c"], tmp_path)
    names = json.loads((tmp_path / RECORD_FILE).read_text())
    events = [path.name for path in tmp_path.glob("events*")]
    results = {"actions.parquet", "episodes.parquet", "phases.parquet", "summary.json"}
    policy = {"model.zip", "policy.zip", "vecnormalize.pkl"}
    assert set(names) == {"progress.csv", *events, *results, *policy}
    assert len(events) == 1


@pytest.mark.parametrize("content", ["", "{}", "[1]", '["../a"]', '["a/b"]'])
def test_a_damaged_record_is_refused(content, small, tmp_path, capsys):
    train(small["ppo"], tmp_path, 5)
    (tmp_path / RECORD_FILE).write_text(content)
    before = tree(tmp_path)
    assert main(["resume", str(tmp_path)]) == 2
    assert "files.json is not the record of a run's files" in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_half_written_results_of_a_killed_process_are_removed(small, tmp_path):
    """And nothing that merely looks like them."""
    train(small["ppo"], tmp_path, 5)
    own = [
        ".model.0123456789abcdef.zip",
        ".config.0123456789abcdef.json",
        "..hyperrl.0123456789abcdef.holder",
    ]
    foreign = [".other.0123456789abcdef.zip", ".model.123.zip", ".model.zip"]
    put(tmp_path, own + foreign)
    train(small["ppo"], tmp_path, resume=True)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == sorted(foreign)


def test_a_name_is_recorded_before_its_file_is_written(tmp_path):
    folder = RunFolder(tmp_path)
    path = folder.claim("a.txt")
    assert not path.exists()
    assert folder.own() == []
    path.touch()
    assert RunFolder(tmp_path).own() == ["a.txt"]
    assert RunFolder(tmp_path).claim("a.txt") == path


def test_a_checkpoint_of_ones_own_does_not_disturb(small, tmp_path):
    """A configuration repeated beside the first run: only its own folder changes."""
    train(small["ppo"], tmp_path / "first")
    write_checkpoint(tmp_path / "mine.zip", {"a": 1})
    before = tree(tmp_path)
    train(RunConfig(**vars(small["ppo"])), tmp_path / "second")
    assert before.items() <= tree(tmp_path).items()
