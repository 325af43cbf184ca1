"""Resuming a run: bit for bit, and only with its own settings."""

import contextlib
import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from comparing import assert_same_run

from a2c_jax import experiment
from a2c_jax.experiment import files
from a2c_jax.experiment.cli import flags as parsing, main as cli
from a2c_jax.experiment.run import checkpoints, train as run_training
from a2c_jax.experiment.run.checkpoints import Checkpoint
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.run.prepare import prepare
from a2c_jax.experiment.run.train import WriteError

CONSTANT = {"learning_rate": 1e-3, "final_learning_rate": 1e-3}
SMALL = {"num_seeds": 3, "hidden_sizes": (8,), "total_steps": 800, **CONSTANT}
FLAGS = ["--hidden-sizes", "8", "--learning-rate", "1e-3", "--final-learning-rate", "1e-3"]


def configure(out, **changes):
    return experiment.configure(**{**SMALL, **changes}, out=out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run of 60 updates, evaluated on the way."""
    out = tmp_path_factory.mktemp("whole") / "run"
    config = configure(out, total_steps=2400, evaluate_every=20, evaluate_episodes=2)
    return experiment.train_run(config)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run with two checkpoints, after 10 and 20 updates."""
    folder = tmp_path_factory.mktemp("saved") / "run"
    experiment.train_run(configure(folder, total_steps=400))
    experiment.resume_run(folder, 800)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(saved, folder)
    return folder


def test_a_run_raised_again_and_again_is_the_whole_run_bit_for_bit(whole, tmp_path):
    out = tmp_path / "run"
    first = configure(out, total_steps=400, evaluate_every=20, evaluate_episodes=2)
    assert experiment.train_run(first).summary["num_updates"] == 10
    assert experiment.resume_run(out, 800).summary["num_updates"] == 20
    last = experiment.resume_run(out, 2400)
    assert last.evaluations.updates.tolist() == [10, 20, 40, 60]
    evaluations = type(last.evaluations)(*(field[..., 1:] for field in last.evaluations))
    assert_same_run(last._replace(evaluations=evaluations), whole)
    assert_same_run(out, last)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == list(range(1, 61))
    resumed = json.loads((out / "config.json").read_text())["about"]["resumed"]
    assert [one["num_updates"] for one in resumed] == [10, 20]
    with np.load(out / "evaluations.npz") as stored:
        np.testing.assert_array_equal(stored["returns"], last.evaluations.returns)


def test_evaluations_on_the_way_leave_training_as_it_is(whole, saved):
    plain = experiment.load_run(saved)
    np.testing.assert_array_equal(whole.metrics.value_loss[:, :20], plain.metrics.value_loss)
    assert whole.evaluations.updates.tolist() == [20, 40, 60]
    assert whole.evaluations.returns.shape == (3, 3)
    log = (whole.folder / "log.jsonl").read_text().splitlines()
    told = [value for line in log if (value := json.loads(line).get("evaluation_return"))]
    np.testing.assert_allclose(told, whole.evaluations.returns.mean(axis=0), rtol=1e-6)


def test_a_finished_run_resumed_writes_its_results_again(copy, saved, capsys):
    (copy / "summary.json").unlink()
    flags = ["--num-seeds", "3", "--seed", "0", "--learning-rate", "1e-3", "--total-steps", "800"]
    assert cli.main(["train", "--resume", str(copy), *flags]) == 0, "its own settings repeated"
    assert "is finished: 800 of 800 steps. Raise --total-steps to continue." in " ".join(
        capsys.readouterr().out.split()
    )
    assert_same_run(copy, saved)
    assert json.loads((copy / "summary.json").read_text())["num_updates"] == 20
    config = experiment.configure(**SMALL, resume=copy)
    assert experiment.train_run(config).summary["num_updates"] == 20


@pytest.mark.parametrize("setting", ["final_learning_rate", "final_entropy_coef"])
def test_a_schedule_that_changes_with_the_length_is_told(copy, setting):
    shutil.rmtree(copy / "checkpoints")  # which are of constant settings
    falling = {"entropy_coef": 0.01, setting: 0.0}
    edit_config(copy, settings=falling)
    config = experiment.configure(**{**SMALL, **falling, "total_steps": 880}, resume=copy)
    with contextlib.ExitStack() as stack:
        *_, notice = prepare(config, stack).job.notices
    assert "From here schedules follow the new length" in notice


def test_a_run_without_a_checkpoint_begins_anew(copy, saved):
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(ValueError, match="which has no checkpoint yet; wait"):
        experiment.load_run(copy)
    assert_same_run(experiment.resume_run(copy), saved)


def test_an_interrupted_save_is_cleared_away_and_the_rest_goes_on_as_it_was_told(
    copy, saved, whole
):
    shutil.copytree(copy / "checkpoints" / "20", copy / "checkpoints" / "30.orbax-checkpoint-tmp")
    with (copy / "metrics.npy").open("ab") as file:
        file.write(b"more")
    assert_same_run(experiment.resume_run(copy), saved)
    # A raise that is taken back.
    edit_config(copy, settings={"total_steps": 80_000_000}, tensorboard=True, checkpoint_every=3)
    run = experiment.resume_run(copy, 1200)
    assert {path.name for path in (copy / "checkpoints").iterdir()} == {"20", "30"}
    np.testing.assert_array_equal(run.metrics.value_loss, whole.metrics.value_loss[:, :30])
    assert run.summary["finished"] is True
    assert (run.config.tensorboard, run.config.checkpoint_every) == (True, 3)
    assert (copy / "tensorboard").is_dir()


def test_a_first_checkpoint_that_cannot_be_read_back_ends_training(tmp_path, monkeypatch):
    whole = checkpoints.save

    def save_badly(place, number, checkpoint):
        whole(place, number, checkpoint)
        shutil.rmtree(place / str(number) / "state")

    monkeypatch.setattr(checkpoints, "save", save_badly)
    with pytest.raises(WriteError, match="the first checkpoint cannot be read back: it is damaged"):
        experiment.train_run(configure(tmp_path / "run"))


def test_a_checkpoint_that_would_fill_the_memory_is_refused(copy, capsys):
    place = copy / "checkpoints"
    arrays, about = checkpoints.load(place, 20)
    name = next(name for name in arrays if "kernel" in name)
    shutil.rmtree(place / "20")
    zeros = np.zeros(50_000_000, np.float32)  # half a megabyte on disk
    checkpoints.save(place, 20, Checkpoint({**arrays, name: zeros}, about))
    assert "its arrays would take 200," in refusal(copy, capsys)


def refusal(folder, capsys, *flags):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert cli.main(["train", "--resume", str(folder), *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {**after, folder / ".lock": b""} == {**before, folder / ".lock": b""}
    return error


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--learning-rate", "0.1", "--seed", "4"],
            "but seed is 4 and was 0, learning_rate is 0.1 and was 0.001; leave that out, or",
        ),
        (["--env", "Acrobot-v1"], "env is 'CartPole-v1', not 'Acrobot-v1'"),
        (["--num-seeds", "4"], "num_seeds is 4 and was 3; leave"),
        (["--evaluate-every", "10"], "evaluate_every is 10 and was None"),
        (["--out", "elsewhere"], "and was None; leave that out"),
        (
            ["--total-steps", "760"],
            "total_steps is 760, but the run has done 800 steps; give at least 880",
        ),
        (["--total-steps", "840"], "total_steps is 840, but the run has done 800 steps"),
        (["--total-steps", "0"], "total_steps is 0; give"),
    ],
)
def test_other_settings_are_refused_and_named(copy, capsys, flags, sentence):
    assert sentence in refusal(copy, capsys, *flags)


def test_a_configuration_file_s_seeds_give_way_to_those_that_are_given(saved, tmp_path):
    config = str(saved / "config.json")
    assert parsing.parse_train(["--config", config]).num_seeds == 3
    told = parsing.parse_train(["--config", config, "--num-seeds", "5", "--seed", "7"])
    assert make_job(told).seeds == (7, 8, 9, 10, 11)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"seeds": [4, 9]}))
    assert make_job(parsing.parse_train(["--config", str(path)])).seeds == (4, 9)
    told = parsing.parse_train(["--config", str(path), "--num-seeds", "2"])
    assert make_job(told).seeds == (0, 1)
    _, shared = parsing.parse_sweep(["--config", str(path), "--num-seeds", "2"])
    assert make_job(shared).seeds == (0, 1)


def test_sigterm_before_anything_is_trained_has_its_own_exit_code(tmp_path, monkeypatch, capsys):
    at_once = contextlib.nullcontext(lambda: signal.SIGTERM)
    monkeypatch.setattr(run_training, "deferred_interrupt", lambda **_: at_once)
    assert (
        cli.main(["train", *FLAGS, "--total-steps", "800", "--out", str(tmp_path / "run")]) == 143
    )
    assert "nothing was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def edit_config(folder, **changes):
    content = json.loads((folder / "config.json").read_text())
    content["settings"].update(changes.pop("settings", {}))
    (folder / "config.json").write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {
                "env": "Acrobot-v1",
                "max_episode_steps": 500,
                "settings": {"observation_scale": []},
            },
            "it is of another environment: env is 'C",
        ),
        ({"settings": {"hidden_sizes": [4]}}, "of another network: hidden_sizes is [8], and the"),
        (
            {"seeds": [0, 1, 5]},
            "it is of other seeds: seeds is [0, 1, 2], and the run's is [0, 1, 5]",
        ),
        (
            {"settings": {"discount": 0.5}},
            "it is of other settings: discount is 0.99, and the run's",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(copy, capsys, changes, sentence):
    edit_config(copy, **changes)
    error = refusal(copy, capsys)
    assert sentence in error
    assert "; no older one loads; train again, with --config" in error


def test_a_setting_that_an_older_checkpoint_does_not_know_is_no_other():
    run_training.saving._check_identity({"discount": 0.9}, {"discount": 0.9, "new": 0.0})
    with pytest.raises(ValueError, match=r"of other settings: new is 1\.0, and the run's is 0\.0"):
        run_training.saving._check_identity({"new": 1.0}, {"new": 0.0})


def test_a_checkpoint_whose_arrays_do_not_fit_is_refused(saved, copy, monkeypatch):
    # As if another version made another state out of the same settings.
    config = experiment.load_run(saved).config
    other = dataclasses.replace(config.settings, hidden_sizes=(9,))
    monkeypatch.setattr(run_training.saving, "_check_identity", lambda found, expected: None)
    with pytest.raises(
        ValueError, match=r"of another network or environment: agent.params.* is float32 of"
    ):
        experiment.load_run(copy, config.with_settings(other))
    other = dataclasses.replace(config.settings, hidden_sizes=(8, 8))
    with pytest.raises(ValueError, match=r"network or optimizer: either it or the run lacks"):
        experiment.load_run(copy, config.with_settings(other))


def largest_file(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=os.path.getsize)


def test_a_damaged_checkpoint_names_the_older_one_and_it_loads(copy, saved, capsys):
    newest, metrics = copy / "checkpoints" / "20", copy / "metrics.npy"
    path = max((path for path in newest.rglob("*") if path.is_file()), key=os.path.getsize)
    data, whole = bytearray(path.read_bytes()), metrics.read_bytes()
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "it is damaged" in refusal(copy, capsys)
    path.write_bytes(data[:-100])
    error = refusal(copy, capsys)
    assert "checkpoints/20' cannot be used: it is damaged or cut short" in error
    assert error.endswith("move that folder away to resume from checkpoint 10, which loads.\n")
    metrics.write_bytes(b"short")
    assert "no older one loads" in refusal(copy, capsys)
    metrics.write_bytes(whole)
    shutil.move(newest, copy.with_name("moved away"))
    assert_same_run(experiment.resume_run(copy), saved)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"format": 3, "pres', "is damaged or not JSON"),
        ("[]", "which is not a JSON object"),
        ('{"format": 99}', "format is 99, but this version of a2c_jax reads only 5"),
        ('{"preset": "x"}', "There is no preset 'x'"),
        ('{"learning_rate": 1}', "There is no setting 'learning_rate'"),
        ('{"settings": {"discount": "a"}}', "discount is 'a'; expected `float`, got `str`."),
        (
            '{"settings": {"optimizer": {"name": "mine"}}}',
            "resume or load the run from Python with the settings",
        ),
        ('{"settings": []}', "settings is []; expected `object`, got `array`."),
        ('{"preset": 5}', "preset is 5; expected `str | null`, got `int`."),
        (
            '{"algorithm": "q-actor-critic", "settings": {"expected": 1}}',
            "expected is 1; expected `bool`, got `int`.",
        ),
        ('{"settings": {"expected": true}}', "There is no setting 'expected'"),
        ('{"about": {"lengths": 5}}', "is damaged under 'about' (Expected `array`, got `int`"),
        ('{"about": null}', "is damaged under 'about'"),
        ("[" * 100_000, "is damaged or not JSON"),
        ('{"seeds": [0, 1.5]}', "seeds is [0, 1.5]; expected `int`, got `float`"),
    ],
)
def test_a_configuration_that_is_no_good_is_refused(copy, capsys, text, sentence):
    (copy / "config.json").write_text(text)
    assert sentence in refusal(copy, capsys)


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert "which holds no run (no config.json)" in refusal(tmp_path, capsys)
    for name in ("nowhere", "x" * 300):
        assert cli.main(["train", "--resume", str(tmp_path / name)]) == 2


def test_a_run_at_which_another_process_works_is_refused(copy, capsys):
    code = "import sys, filelock as f; a = f.FileLock(sys.argv[1]); a.acquire(); print(1); input()"
    command = [sys.executable, "-c", code, str(copy / ".lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "1\n"
        assert "in which another process is writing" in refusal(copy, capsys)
        assert cli.main(["evaluate", str(copy)]) == 2
        other.send_signal(signal.SIGKILL)  # the system takes the lock back
    capsys.readouterr()
    with files.locked(copy, "out"):
        pass


@contextlib.contextmanager
def no_file_over(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    setting = "jax_persistent_cache_min_compile_time_secs"
    seconds = getattr(jax.config, setting)
    jax.config.update(setting, 1e9)  # the cache of compiled programs is no part of the run
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        jax.config.update(setting, seconds)


def test_a_disk_that_gives_out_ends_the_run_with_what_was_saved(tmp_path, capsys):
    """The metrics' file, of 576 bytes for each update, grows too large after some saves."""
    folder = tmp_path / "run"
    flags = ["--num-seeds", "16", "--total-steps", "5600", "--evaluate-every", "20",
             "--evaluate-episodes", "2", "--checkpoint-every", "1"]  # fmt: skip
    with no_file_over(64 * 1024):
        assert cli.main(["train", *FLAGS, *flags, "--out", str(folder)]) == 1
    error = capsys.readouterr().err
    assert "the run could not be written ([Errno 27] File too large" in error
    assert "saved up to update 100: make room or give permission, then" in error
    assert f"--resume {folder}" in error
    assert experiment.load_run(folder).summary["num_updates"] == 100
    assert experiment.resume_run(folder).summary["num_updates"] == 140


def test_any_write_that_fails_is_told_and_leaves_what_was_saved(copy, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_training, "write_results", full)
    with pytest.raises(WriteError, match=r"No space left on device\); it is saved up to update 20"):
        experiment.resume_run(copy)
    monkeypatch.undo()
    monkeypatch.setattr(run_training, "open_loggers", full)
    with pytest.raises(WriteError, match="nothing of it was saved yet"):
        experiment.train_run(configure(tmp_path / "other"))


def test_files_of_others_stay_when_a_run_leaves_nothing(tmp_path, monkeypatch):
    out = tmp_path / "run"

    def stopped(*args, **kwargs):
        (out / "notes.txt").write_text("mine")
        raise KeyboardInterrupt

    monkeypatch.setattr(run_training, "train_in_chunks", stopped)
    with pytest.raises(KeyboardInterrupt):
        experiment.train_run(configure(out))
    assert [path.name for path in out.iterdir() if path.name != ".lock"] == ["notes.txt"]


def test_a_batch_size_is_kept_when_a_run_is_resumed(copy, monkeypatch):
    edit_config(copy, about={}, batch_size=4)
    sizes = []
    stop = run_training.prepare

    def look(config, stack):
        prepared = stop(config, stack)
        sizes.append(prepared.job.layout.batch_size)
        raise KeyboardInterrupt

    monkeypatch.setattr(run_training, "prepare", look)
    monkeypatch.setattr(run_training.saving, "_check_identity", lambda found, expected: None)
    with pytest.raises(KeyboardInterrupt):
        experiment.resume_run(copy)
    assert sizes == [4]


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "a\\b", "C:x"])
def test_names_stay_in_their_folder(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--name", name]) == 2
    assert f"name is {name!r}; give a plain file name" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_name_makes_a_folder_under_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as stack:
        config = dataclasses.replace(configure(None), name="evening")
        folder = prepare(config, stack).folder
        assert folder.resolve() == tmp_path / "runs" / "evening"
        (folder / "notes.txt").write_text("mine")
    assert cli.main(["train", "--name", "evening"]) == 2
    assert "which is not empty" in capsys.readouterr().err
    assert cli.main(["train", "--name", "a", "--out", "b"]) == 2
    assert "not both" in capsys.readouterr().err
