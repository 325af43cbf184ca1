"""``kill -9`` and signals at any moment: a run resumes, and ends as if nothing had happened."""

import random
import signal
import subprocess
import sys
import time

import pytest
from comparing import assert_same_run

from a2c_jax.experiment.run.folder import load_run

pytestmark = pytest.mark.slow("kills and signals")

COMMAND = [sys.executable, "-m", "a2c_jax", "train"]
# A chunk ends at every evaluation, and every chunk is saved: most of the time goes into saves.
RUN = [
    "--num-seeds", "3", "--hidden-sizes", "8", "--total-steps", "40000", "--max-episode-steps",
    "60", "--evaluate-every", "100", "--evaluate-episodes", "2", "--checkpoint-every", "1",
]  # fmt: skip
LONGEST = 120.0  # seconds that any of these processes may take


@pytest.fixture(scope="module", autouse=True)
def a_cache_of_their_own(tmp_path_factory):
    """A process that is killed may leave half of what it compiled."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


def start(folder):
    flags = ["--resume"] if (folder / "config.json").exists() else [*RUN, "--out"]
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".txt").open("ab") as log:
        command = [*COMMAND, *flags, str(folder)]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def finish(folder):
    code = start(folder).wait(LONGEST)
    told = folder.with_suffix(".txt").read_text()
    assert code == 0, told
    assert "Traceback" not in told


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a whole run, and how long a process takes that finds its programs compiled."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    begun = time.monotonic()
    finish(folder)
    return folder, time.monotonic() - begun - load_run(folder).summary["compile_seconds"]


def kill(process, folder, duration, dice):
    """Kills a process anywhere in its life or while it saves; returns whether it still ran."""
    if dice.random() < 0.5:
        time.sleep(dice.uniform(0.0, duration))
    else:
        saves, end = dice.randrange(1, 10), time.monotonic() + LONGEST
        while process.poll() is None and saves and time.monotonic() < end:
            saves -= any(folder.glob("*/.*.part"))
            time.sleep(0.002)
    alive = process.poll() is None
    process.kill()
    process.wait()
    return alive


def test_a_killed_run_resumes_and_ends_as_an_undisturbed_one(undisturbed, tmp_path, request):
    expected, duration = undisturbed
    left = request.config.getoption("kills")
    dice = random.Random(left)
    while left:
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        for _ in range(min(5, left)):
            left -= kill(start(folder), folder, duration, dice)
        finish(folder)
        assert_same_run(folder, expected)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_chunk_finish_and_the_run_be_resumed(number, undisturbed, tmp_path):
    folder = tmp_path / "run"
    process, end, log = start(folder), time.monotonic() + LONGEST, folder / "log.jsonl"
    while not log.exists() or not log.stat().st_size:
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(LONGEST) == 128 + number, folder.with_suffix(".txt").read_text()
    assert 0 < load_run(folder).summary["num_updates"] < 1000
    assert (folder / "summary.json").exists()
    if number == signal.SIGTERM:
        finish(folder)
        assert_same_run(folder, undisturbed[0])


def test_a_second_signal_ends_the_process_at_once(tmp_path):
    folder = tmp_path / "run"
    flags = ["--total-steps", "40000000", "--num-seeds", "64", "--out", str(folder)]
    with subprocess.Popen([*COMMAND, *flags], stdout=subprocess.PIPE) as process:
        assert b"a2c, preset default, 64 seeds" in process.stdout.readline()
        assert b"Compiled" in process.stdout.readline()
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.4)  # a loaded machine needs some time to see the first
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONGEST) == -signal.SIGTERM
    assert not (folder / "summary.json").exists(), "it finished its chunk and saved it"
