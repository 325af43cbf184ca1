"""Runs by several processes on loopback: the numbers of one, and nothing lost when one fails."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from comparing import assert_identical

import a2c_jax as a2c
from a2c_jax import experiment
from a2c_jax.experiment import cli, parts, processes
from a2c_jax.experiment.processes import Processes
from a2c_jax.experiment.run_training import WriteError
from a2c_jax.experiment.runs import load_run
from a2c_jax.experiment.shards import cut, find_shards, share_of

LONGEST = 600.0  # seconds that any of these processes may take
# A chunk ends at every evaluation, and every chunk is saved.
SETTINGS = {
    "num_seeds": 5, "hidden_sizes": (8,), "total_steps": 2000, "max_episode_steps": 40,
    "evaluate_every": 20, "evaluate_episodes": 2, "checkpoint_every": 1,
    "learning_rate": 1e-3, "final_learning_rate": 1e-3,
}  # fmt: skip
LONG = 24_000  # steps: time enough to be stopped on the way


def flags(**changes):
    words = []
    for name, value in {**SETTINGS, **changes}.items():
        words += ["--" + name.replace("_", "-"), str(value[0] if name == "hidden_sizes" else value)]
    return words


MAIN = "import sys; from a2c_jax.experiment import cli; sys.exit(cli.main())"


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


class Pair:
    """Two processes of a run, with one and two devices."""

    def __init__(self, folder, *words, each=((), ()), code=("", "")):
        folder.mkdir(exist_ok=True)
        self.logs, self.processes = [folder / "0.txt", folder / "1.txt"], []
        meet = ["--distributed", "--coordinator", f"localhost:{free_port()}"]
        for number in (0, 1):
            command = [
                sys.executable, "-c", code[number] + MAIN, "train", *words, *each[number], *meet,
                "--num-processes", "2", "--process-id", str(number),
            ]  # fmt: skip
            environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(number + 1)}
            with self.logs[number].open("wb") as log:
                self.processes.append(
                    subprocess.Popen(
                        command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder
                    )
                )

    def wait(self):
        try:
            return [process.wait(LONGEST) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()

    @property
    def said(self):
        return [log.read_text() for log in self.logs]


@pytest.fixture(scope="module", autouse=True)
def a_cache_of_their_own(tmp_path_factory):
    """A process that is killed may leave half of what it compiled."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    return experiment.train_run(experiment.configure(**SETTINGS, out=out))


@pytest.fixture(scope="module")
def pair(tmp_path_factory, alone):  # what that has compiled, one of the two need not
    folder = tmp_path_factory.mktemp("pair")
    both = Pair(folder, *flags())
    assert both.wait() == [0, 0], both.said
    (made,) = (folder / "runs").iterdir()  # named by the time of process 0
    return made, both


def assert_same_run(folder, expected):
    with np.load(folder / "metrics.npz") as ours, np.load(expected / "metrics.npz") as theirs:
        assert ours.files == theirs.files
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])
    ours, theirs = load_run(folder), load_run(expected)
    assert_identical(ours.state, theirs.state)
    assert_identical(ours.metrics, theirs.metrics)
    assert_identical(ours.evaluations, theirs.evaluations)
    assert ours.summary["final_returns"] == theirs.summary["final_returns"]
    assert ours.summary["finished"]


def test_two_processes_train_what_one_trains_bit_for_bit(pair, alone):
    folder, _ = pair
    assert_same_run(folder, alone.folder)


def test_what_two_processes_leave_is_an_ordinary_run(pair, alone, tmp_path):
    folder, both = pair
    names = {path.name for path in alone.folder.iterdir()}
    assert {path.name for path in folder.iterdir()} == names
    log = (folder / "log.jsonl").read_text()
    assert log.count('"shard": 0') > 0
    assert log.count('"shard": 1') > 0
    assert "Process 0 of 2 trains 3 of 5 seeds" in both.said[0]
    assert both.said[1] == ""
    copy, expected = tmp_path / "copy", tmp_path / "alone"
    shutil.copytree(folder, copy)
    shutil.copytree(alone.folder, expected)
    for run in (copy, expected):
        assert cli.main(["train", "--resume", str(run), "--total-steps", "3200"]) == 0
    assert_same_run(copy, expected)
    assert cli.main(["evaluate", str(copy), "--num-episodes", "2"]) == 0


def test_an_ordinary_run_is_gone_on_with_in_shards(alone, tmp_path):
    copy, expected = tmp_path / "copy", tmp_path / "alone"
    for run in (copy, expected):
        shutil.copytree(alone.folder, run)
    assert cli.main(["train", "--resume", str(expected), "--total-steps", "3200"]) == 0
    again = ["train", "--resume", str(copy), "--distributed", "--num-processes", "1"]
    found = experiment.runs.saving.restore(copy, alone.job, _identity(copy))
    cut(copy, alone.config, alone.job, 3, 8, found)
    assert len(find_shards(copy)) == 3
    assert cli.main([*again, "--total-steps", "3200"]) == 0
    assert_same_run(copy, expected)
    assert not (copy / "shards").exists()
    # And once more, cut by the command itself.
    for words in (again, ["train", "--resume", str(expected)]):
        assert cli.main([*words, "--total-steps", "4000"]) == 0
    assert_same_run(copy, expected)


def _identity(folder):
    from a2c_jax.experiment.checkpoints import load, saved

    return load(folder / "checkpoints", saved(folder / "checkpoints")[-1]).about["run"]


def wait_until(condition, both):
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end, both.said
        assert [process.poll() for process in both.processes] == [None, None], both.said
        time.sleep(0.02)


def checkpoints_of(shard):
    return [path for path in (shard / "checkpoints").glob("*") if path.name.isdecimal()]


@pytest.fixture(scope="module")
def long_alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("long") / "run"
    return experiment.train_run(experiment.configure(**SETTINGS | {"total_steps": LONG}, out=out))


@pytest.mark.slow
def test_a_signal_to_one_stops_both_and_another_number_goes_on(long_alone, tmp_path, capsys):
    both = Pair(tmp_path, *flags(total_steps=LONG), "--out", "run")
    run = tmp_path / "run"
    wait_until(lambda: all(checkpoints_of(run / f"shards/{i}-of-2") for i in (0, 1)), both)
    both.processes[1].send_signal(signal.SIGTERM)
    assert both.wait() == [143, 143], both.said
    assert "Go on with: a2c-jax train --resume" in both.said[0]
    assert len(find_shards(run)) == 2
    for words, told in (
        (["evaluate", str(run)], "whose shards are not joined yet"),
        (["train", "--resume", str(run)], "several processes have left in shards"),
    ):
        assert cli.main(words) == 2
        assert told in capsys.readouterr().err
    again = ["train", "--resume", str(run), "--distributed", "--num-processes", "1"]
    assert cli.main(again) == 0, capsys.readouterr().err
    assert_same_run(run, long_alone.folder)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_killed_process_ends_the_other_and_the_run_is_resumed(number, long_alone, tmp_path):
    soon = "from a2c_jax.experiment import processes; processes.DEAD_AFTER = 10; "
    both = Pair(tmp_path, *flags(total_steps=LONG), "--out", "run", code=(soon, soon))
    run = tmp_path / "run"
    wait_until(lambda: all(checkpoints_of(run / f"shards/{i}-of-2") for i in (0, 1)), both)
    both.processes[number].kill()
    codes = both.wait()
    assert codes[number] == -signal.SIGKILL
    assert codes[1 - number] == -signal.SIGABRT, both.said
    assert len(find_shards(run)) == 2
    again = Pair(tmp_path, "--resume", "run")
    assert again.wait() == [0, 0], again.said
    assert_same_run(run, long_alone.folder)


@pytest.mark.slow
def test_a_process_that_fails_is_named_by_the_others(alone, tmp_path):
    full = (
        "from a2c_jax.experiment import run_training\n"
        "def full(*a, **k): raise OSError('No space left on device')\n"
        "run_training.write_results = full\n"  # once there is a checkpoint
    )
    both = Pair(tmp_path, *flags(), "--out", "run", code=("", full))
    assert both.wait() == [1, 1], both.said
    assert "the run was stopped by process 1" in both.said[0]
    assert "No space left on device" in both.said[0]
    assert "Traceback" not in both.said[0] + both.said[1]
    again = Pair(tmp_path, "--resume", "run")
    assert again.wait() == [0, 0], again.said
    assert_same_run(tmp_path / "run", alone.folder)


@pytest.mark.slow
def test_what_one_refuses_all_refuse(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/file").touch()
    for words, each, told in (
        (flags(), (("--out", "run"), ("--out", "run")), "which is not empty"),
        (flags(), (("--seed", "1"), ("--seed", "2")), "give every process the same flags"),
        (flags(num_seeds=1), ((), ()), "num_seeds is 1, for 2 processes"),
    ):
        both = Pair(tmp_path, *words, each=each)
        assert both.wait() == [2, 2], both.said
        assert all(told in said and "Traceback" not in said for said in both.said), both.said
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["file"]
    assert not (tmp_path / "runs").exists()


SHARE = """
import sys, jax, numpy as np, a2c_jax as a2c
number, port, out, tests = sys.argv[1:]
sys.path[:0] = [tests]
jax.distributed.initialize(f"localhost:{port}", 2, int(number))
from conftest import small_algorithm
algorithm = small_algorithm.__wrapped__(a2c.make_env("CartPole-v1"))
keys = a2c.process_share(jax.random.split(jax.random.key(0), 5))
result = a2c.train_seeds(algorithm, keys, 8)
np.save(out, result.metrics.value_loss)
"""


def test_process_share_and_train_seeds_in_a_program_of_two_processes(small_algorithm, tmp_path):
    port, outs = str(free_port()), [tmp_path / f"{number}.npy" for number in (0, 1)]
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", SHARE, str(i), port, outs[i], os.path.dirname(__file__)]
        )
        for i in (0, 1)
    ]
    assert [process.wait(LONGEST) for process in pair] == [0, 0]
    whole = a2c.train_seeds(small_algorithm, jax.random.split(jax.random.key(0), 5), 8)
    shares = [np.load(out) for out in outs]
    assert [len(share) for share in shares] == [3, 2]
    np.testing.assert_array_equal(np.concatenate(shares), whole.metrics.value_loss)


def test_one_process_alone_shares_with_nobody():
    keys = jax.random.split(jax.random.key(0), 3)
    assert_identical(a2c.process_share(keys), keys)


def test_shares_are_contiguous_and_the_first_the_largest():
    assert [share_of((4, 5, 6, 9, 8), number, 3) for number in range(3)] == [(4, 5), (6, 9), (8,)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--coordinator", "here"], "coordinator is 'here'; give HOST:PORT"),
        (["--num-processes", "0"], "num_processes is 0"),
        (["--num-processes", "2", "--process-id", "2"], "process_id is 2"),
        ([], "the processes do not find each other"),
        (["--num-processes", "1", "--tensorboard"], "tensorboard is True"),
    ],
)
def test_bad_flags_are_refused(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--distributed", *words]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_flags_of_processes_need_distributed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--num-processes", "2"]) == 2
    assert "num_processes is 2, which is of use to --distributed" in capsys.readouterr().err
    with pytest.raises(ValueError, match="use train_distributed"):
        experiment.train_run(experiment.configure(distributed=True))


def test_more_processes_than_shards_are_refused(alone, tmp_path):
    config = experiment.configure(**SETTINGS, resume=tmp_path / "run")
    shutil.copytree(alone.folder, tmp_path / "run")
    cut(tmp_path / "run", alone.config, alone.job, 2, 8, None)
    with pytest.raises(ValueError, match="num_processes is 3, and the run is in 2 shards"):
        parts._check(config, Processes(0, 3))


def test_a_disk_that_is_not_shared_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "_SEEN_WITHIN", 0.0)
    with pytest.raises(ValueError, match="give a folder on a disk that all processes share"):
        parts._check_seen(tmp_path)


def test_what_fails_before_anything_is_saved_leaves_what_was_there(alone, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(alone.folder, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("a2c_jax.experiment.run_training.train_in_chunks", full)
    config = experiment.configure(
        **SETTINGS, out=folder, overwrite=True, distributed=True, num_processes=1
    )
    with pytest.raises(WriteError, match="No space left"):
        experiment.train_distributed(config)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_join_that_was_cut_off_is_done_again(alone, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    config = experiment.configure(**SETTINGS, out=folder, distributed=True, num_processes=1)

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("a2c_jax.experiment.shards.write_results", full)
        with pytest.raises(WriteError, match="could not be joined"):
            experiment.train_distributed(config)
    words = ["--resume", str(folder), "--distributed", "--num-processes", "1"]
    assert cli.main(["train", *words]) == 0
    assert_same_run(folder, alone.folder)
    assert len((folder / "log.jsonl").read_text().splitlines()) == len(
        (alone.folder / "log.jsonl").read_text().splitlines()
    )


def test_an_optimizer_that_no_preset_has_is_joined_too(tmp_path):
    import optax

    told = {**SETTINGS, "total_steps": 400, "evaluate_every": None, "optimizer": optax.sgd}
    alone = experiment.train_run(experiment.configure(**told, out=tmp_path / "alone"))
    config = experiment.configure(**told, out=tmp_path / "run", distributed=True, num_processes=1)
    ending = experiment.train_distributed(config)
    assert_identical(ending.run.state, alone.state)
    assert ending.run.summary["final_returns"] == alone.summary["final_returns"]


def test_processes_wait_for_no_one_who_is_alone():
    one = Processes(0, 1)
    with one.together("stage"):
        one.tell("note", "text")
    assert one.wait_for("note") == {0: "text"}
    assert one.heard("other") == {}
    assert processes.DEAD_AFTER < 300
