"""Resuming a run: bit for bit, and only with its own settings."""

import contextlib
import dataclasses
import itertools
import json
import os
import resource
import shutil
import signal
import types

import numpy as np
import pytest
from comparing import assert_same_run
from conftest import TINY

from a2c_jax import experiment
from a2c_jax.experiment import files
from a2c_jax.experiment.cli import flags as parsing, main as cli
from a2c_jax.experiment.run import checkpoints, engine, train as run_training
from a2c_jax.experiment.run.engine import train_in_chunks
from a2c_jax.experiment.run.folder import read_run_config
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.run.train import WriteError, prepare


def edit_config(folder, settings=(), **changes):
    content = json.loads((folder / "config.json").read_text())
    content["settings"].update(settings)
    (folder / "config.json").write_text(json.dumps({**content, **changes}))


@contextlib.contextmanager
def no_file_over(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module", autouse=True)
def chunks_of_ten():
    """Chunks of at most ten updates."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(engine, "_most_updates", lambda job: 10)
        monkeypatch.setattr(engine, "_GROWTH", 10)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run of 60 updates."""
    rates = {"learning_rate": 1e-3, "final_learning_rate": 1e-3}
    settings = {**TINY, **rates, "total_steps": 2400, "evaluate_every": 20, "evaluate_episodes": 1}
    out = tmp_path_factory.mktemp("whole") / "run"
    return experiment.train_run(**settings, checkpoint_every=1, out=out)


@pytest.fixture(scope="module")
def stopped(whole, tmp_path_factory):
    """A run that was killed before its first checkpoint and began anew, on a full disk.

    Returns its folder, with checkpoints of 11 and 20 of its 30 updates, and the error.
    """
    folder = tmp_path_factory.mktemp("stopped") / "run"
    (folder / "metrics").mkdir(parents=True)
    for name in ("config.json", "log.jsonl", "metrics/1.npz"):
        shutil.copy(whole.folder / name, folder / name)
    edit_config(folder, {"total_steps": 1200})
    with pytest.raises(ValueError, match="which has no checkpoint yet; wait"):
        experiment.load_run(folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        write, calls = checkpoints.write_together, itertools.count()

        def fails_in_the_end(*args):
            # Of a metrics' file and a checkpoint at 1, 11, 20 and 30 updates, the eighth.
            with no_file_over(1000) if next(calls) == 7 else contextlib.nullcontext():
                write(*args)

        monkeypatch.setattr(checkpoints, "write_together", fails_in_the_end)
        with pytest.raises(WriteError) as error:
            experiment.resume_run(folder)
    return folder, str(error.value)


@pytest.fixture
def stopped_copy(stopped, tmp_path):
    return shutil.copytree(stopped[0], tmp_path / "stopped copy")


@pytest.fixture
def refused_resume(refused):
    """Resumes a run, which has to be refused and to change no file; returns the line of stderr."""

    def content(folder):
        paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
        return {path: path.read_bytes() for path in paths}

    def refuse(folder, *flags):
        before = content(folder)
        error = refused("train", "--resume", folder, *flags)
        assert content(folder) == before
        return error

    return refuse


def test_a_disk_that_gives_out_ends_the_run_with_what_was_saved(stopped):
    folder, error = stopped
    assert "the run could not be written ([Errno 27] File too large" in error
    assert "saved up to update 20: make room or give permission, then resume with" in error
    assert error.endswith(f"--resume {folder}.")
    assert experiment.load_run(folder).summary["num_updates"] == 20


def test_a_run_resumed_and_raised_is_the_whole_run_bit_for_bit(whole, stopped_copy):
    out, places = stopped_copy, stopped_copy / "checkpoints"
    # A save that was interrupted.
    shutil.copy(places / "20.npz", places / ".30.npz.part")
    assert experiment.resume_run(out).summary["finished"] is True
    assert {path.name for path in places.iterdir()} == {"21.npz", "30.npz"}
    # total_steps raised and then lowered, and a setting that may change.
    edit_config(out, {"total_steps": 80_000_000}, checkpoint_every=3)
    last = experiment.resume_run(out, 2400)
    assert {path.name for path in places.iterdir()} == {"50.npz", "60.npz"}
    assert last.evaluations.updates.tolist() == [20, 30, 40, 60]
    evaluations = (np.delete(field, 1, axis=-1) for field in last.evaluations)
    assert_same_run(last._replace(evaluations=type(last.evaluations)(*evaluations)), whole)
    assert_same_run(out, last)
    log = (out / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in log] == list(range(1, 61))
    resumed = json.loads((out / "config.json").read_text())["about"]["resumed"]
    assert [one["num_updates"] for one in resumed] == [0, 20, 30]
    stored = np.load(out / "evaluations.npz")["returns"]
    np.testing.assert_array_equal(stored, last.evaluations.returns)


def test_evaluations_on_the_way_leave_training_as_it_is(whole):
    plain = train_in_chunks(whole.job._replace(num_updates=20))
    np.testing.assert_array_equal(whole.metrics.value_loss[:, :20], plain.metrics.value_loss)


def test_a_finished_run_resumed_writes_its_results_again(tiny_copy, tiny_run, capsys):
    (tiny_copy / "summary.json").unlink()
    flags = ["--num-seeds", "2", "--hidden-sizes", "4", "--seed", "0", "--total-steps", "800"]
    assert cli.main(["train", "--resume", str(tiny_copy), *flags]) == 0, "its own settings repeated"
    told = " ".join(capsys.readouterr().out.split())
    assert "is finished: 800 of 800 steps. Raise --total-steps to continue." in told
    assert_same_run(tiny_copy, tiny_run)
    assert json.loads((tiny_copy / "summary.json").read_text())["num_updates"] == 20


@pytest.mark.parametrize("falls", ["final_learning_rate", "final_entropy_coef", None])
def test_the_batch_size_is_kept_and_a_schedule_that_changes_is_told(tiny_copy, falls):
    shutil.rmtree(tiny_copy / "checkpoints")  # of other settings
    settings = {"learning_rate": 1.0, "final_learning_rate": 1.0, "entropy_coef": 0.1}
    settings |= {falls: 0.0} if falls else {}
    edit_config(tiny_copy, settings, about={}, batch_size=4)
    config = read_run_config(tiny_copy, "resume")
    longer = dataclasses.replace(config.settings, total_steps=880)
    with contextlib.ExitStack() as stack:
        job = prepare(dataclasses.replace(config, settings=longer, resume=tiny_copy), stack).job
    assert ("From here schedules follow the new length" in job.notices[-1]) == bool(falls)
    assert job.layout.batch_size == 4


def test_a_checkpoint_that_would_fill_the_memory_is_refused(tiny_copy, refused_resume):
    arrays = files.read_npz(tiny_copy / "checkpoints" / "20.npz")
    arrays["state.update"] = np.zeros(50_000_000, np.float32)  # half a megabyte on disk
    file = {"20.npz": files.npz_writer(arrays, compress=True)}
    files.write_together(tiny_copy / "checkpoints", file)
    assert "its arrays would take 200," in refused_resume(tiny_copy)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--learning-rate 0.1 --seed 4", "but seed is 4 and was 0, learning_rate is 0.1 and was"),
        ("--evaluate-every 20", "evaluate_every is 20 and was 10; leave that out, or"),
        ("--total-steps 760", "760, but the run has done 800 steps; give at least that many"),
    ],
)
def test_other_settings_are_refused_and_named(tiny_copy, refused_resume, flags, sentence):
    assert sentence in refused_resume(tiny_copy, *flags.split())


def test_a_checkpoint_whose_arrays_do_not_fit_is_refused(tiny_run, monkeypatch):
    # As if another version made another state out of the same settings.
    monkeypatch.setattr(checkpoints, "differences", lambda theirs, ours: {})
    for hidden_sizes, sentence in (
        ((9,), r"network or environment: agent.params.* is float32 of"),
        ((4, 4), r"network or optimizer: either it or the run lacks"),
    ):
        other = dataclasses.replace(tiny_run.config.settings, hidden_sizes=hidden_sizes)
        with pytest.raises(ValueError, match=f"it is of another {sentence}"):
            experiment.load_run(tiny_run.folder, tiny_run.config.with_settings(other))


def test_a_damaged_checkpoint_names_the_older_one_and_it_loads(stopped_copy, whole, refused_resume):
    newest = stopped_copy / "checkpoints" / "20.npz"
    os.truncate(newest, newest.stat().st_size - 100)
    error = refused_resume(stopped_copy)
    assert "checkpoints/20.npz' cannot be used: it is damaged or cut short" in error
    assert error.endswith("move that file away to resume from checkpoint 11, which loads.\n")
    shutil.move(newest, stopped_copy.with_name("moved away"))
    loss = experiment.load_run(stopped_copy).metrics.value_loss
    np.testing.assert_array_equal(loss, whole.metrics.value_loss[:, :11])
    (stopped_copy / "metrics" / "11.npz").write_bytes(b"short")
    assert "of metrics/11.npz, it is damaged or cut short" in refused_resume(stopped_copy)


def test_a_checkpoint_under_another_name_and_metrics_of_another_run_are_found(
    stopped_copy, refused_resume
):
    places, metrics = stopped_copy / "checkpoints", stopped_copy / "metrics"
    shutil.copy(places / "20.npz", places / "30.npz")
    assert "it is checkpoint 20 under another name; move that" in refused_resume(stopped_copy)
    (places / "30.npz").unlink()
    arrays = files.read_npz(metrics / "11.npz")
    arrays["entropy"][0, 0] += 1e-3
    files.write_together(metrics, {"11.npz": files.npz_writer(arrays)})
    assert "of metrics/11.npz, it is of another run; no older" in refused_resume(stopped_copy)


def test_a_run_of_the_version_before_is_named(tiny_copy, refused_resume):
    edit_config(tiny_copy, format=5, algorithm=None)
    error = refused_resume(tiny_copy)
    assert "format is 5, but this version of a2c_jax reads only 6, and runs of another" in error


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"format": 5, "pres', "is damaged or not JSON"),
        ("[]", "which is not a JSON object"),
        ('{"format": 99}', "format is 99, but this version of a2c_jax reads only 6"),
        ('{"learning_rate": 1}', "There is no setting 'learning_rate'"),
        ('{"settings": []}', "settings is []; give a table, not a list."),
        ('{"settings": {"discount": "a"}}', "discount is 'a'; give a number, not a name."),
        ('{"settings": {"optimizer": "mine"}}', "There is no optimizer 'mine'; choose one of"),
        ('{"about": {"lengths": 5}}', "is damaged under 'about' (Expected `array`, got `int`"),
        # Of another run than the checkpoint is.
        ({"max_episode_steps": 77}, "it is of another run: max_episode_steps is 500, and"),
        ({"seeds": [0, 5]}, "it is of another run: seeds is [0, 1], and the run's is [0, 5]"),
        ({"settings": {"hidden_sizes": [8]}}, "of another run: hidden_sizes is [4], and the"),
        (
            {"settings": {"discount": 0.5}},
            "it is of another run: discount is 0.99, and the run's is 0.5; no older one loads; "
            "train again, with --config",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(tiny_copy, refused_resume, content, sentence):
    if isinstance(content, str):
        (tiny_copy / "config.json").write_text(content)
    else:
        edit_config(tiny_copy, **content)
    assert sentence in refused_resume(tiny_copy)


def test_a_folder_without_a_run_is_refused(tmp_path, refused_resume, refused):
    assert "which holds no run (no config.json)" in refused_resume(tmp_path)
    for name in ("nowhere", "x" * 300):
        refused("train", "--resume", tmp_path / name)


def test_a_run_at_which_another_process_works_is_refused(tiny_copy, refused_resume, refused):
    (tiny_copy / ".lock").touch()  # left by a killed process, which holds no lock
    with files.locked(tiny_copy, "out"):
        assert "in which another process is writing" in refused_resume(tiny_copy)
        refused("evaluate", tiny_copy)


def test_a_configuration_file_s_seeds_give_way_to_those_that_are_given(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"seeds": [4, 9]}))
    cases = {"": (4, 9), "--num-seeds 2": (0, 1), "--num-seeds 2 --seed 7": (7, 8)}
    for flags, seeds in cases.items():
        words = ["--config", str(path), *flags.split()]
        assert make_job(parsing.parse_train(words)).seeds == seeds
        assert make_job(parsing.parse_sweep(words)[1]).seeds == seeds


def test_a_failed_write_is_told_with_what_was_saved(tiny_copy, tmp_path, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_training, "write_results", full)
    assert cli.main(["train", "--resume", str(tiny_copy)]) == 1
    assert "No space left on device); it is saved up to update 20" in capsys.readouterr().err
    monkeypatch.setattr(run_training, "open_loggers", full)
    with pytest.raises(WriteError, match="nothing of it was saved yet"):
        experiment.train_run(out=tmp_path / "other")


def test_sigterm_before_training_leaves_only_files_of_others(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"

    def train(*args, **kwargs):
        (out / "notes.txt").write_text("mine")
        return types.SimpleNamespace(num_updates=0)

    at_once = contextlib.nullcontext(lambda: signal.SIGTERM)
    monkeypatch.setattr(run_training, "deferred_interrupt", lambda *_: at_once)
    monkeypatch.setattr(run_training, "train_in_chunks", train)
    assert cli.main(["train", "--out", str(out)]) == 143, "it has its own exit code"
    assert "nothing was written" in capsys.readouterr().err
    assert [path.name for path in out.iterdir() if path.name != ".lock"] == ["notes.txt"]


def test_a_name_is_that_of_a_folder_under_runs(tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    for name in ("../up", "a/b", ".hidden", "", "a\\b", "C:x"):
        assert f"name is {name!r}; give a plain file name" in refused("train", "--name", name)
    assert "not both" in refused("train", "--name", "a", "--out", "b")
    assert not list(tmp_path.iterdir())
    with contextlib.ExitStack() as stack:
        folder = prepare(experiment.configure(name="evening"), stack).folder
        assert folder.resolve() == tmp_path / "runs" / "evening"
        (folder / "notes.txt").write_text("mine")
    assert "which is not empty" in refused("train", "--name", "evening")
