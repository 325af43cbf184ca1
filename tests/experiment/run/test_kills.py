"""``kill -9`` and signals at any moment: a run resumes, and ends as if nothing had happened.

``pytest tests/experiment/run/test_kills.py --kills 30`` kills more often than the suite does.
"""

import collections
import itertools
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
KILLS_A_RUN = 5
LONGEST = 120.0  # seconds that any of these processes may take


@pytest.fixture(scope="module", autouse=True)
def a_cache_of_their_own(tmp_path_factory):
    """A process that is killed may leave half of what it compiled."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


def start(folder):
    where = ["--resume" if (folder / "config.json").exists() else "--out", str(folder)]
    told = [] if where[0] == "--resume" else RUN
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".txt").open("ab") as log:
        return subprocess.Popen([*COMMAND, *told, *where], stdout=log, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    begun = time.monotonic()
    assert start(folder).wait(LONGEST) == 0, folder.with_suffix(".txt").read_text()
    # The next processes find its programs compiled.
    return folder, time.monotonic() - begun - load_run(folder).summary["compile_seconds"]


def is_saving(folder):
    return any(not path.name.isdecimal() for path in (folder / "checkpoints").glob("*/"))


def kill_at_random(process, folder, duration, dice):
    """Kills a process anywhere in its life, or while it saves; None if it had ended."""
    if dice.random() < 0.5:
        time.sleep(dice.uniform(0.0, duration))
        moment = "anywhere"
    else:
        saves, end = dice.randrange(1, 10), time.monotonic() + LONGEST
        while process.poll() is None and saves and time.monotonic() < end:
            saves -= is_saving(folder)
            time.sleep(0.002)
        moment = "while saving" if is_saving(folder) else "between saves"
    alive = process.poll() is None
    process.kill()
    process.wait()
    return moment if alive else None


def test_a_killed_run_resumes_and_ends_bit_for_bit_as_an_undisturbed_one(
    undisturbed, tmp_path, request
):
    expected, duration = undisturbed
    kills = request.config.getoption("kills")
    dice = random.Random(kills)
    moments = collections.Counter()
    for number in itertools.count():
        folder = tmp_path / f"run-{number}"
        for _ in range(min(KILLS_A_RUN, kills - moments.total())):
            moment = kill_at_random(start(folder), folder, duration, dice)
            if moment is None:
                break
            moments[moment] += 1
        log = folder.with_suffix(".txt")
        assert start(folder).wait(LONGEST) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
        assert_same_run(folder, expected)
        if moments.total() == kills:
            break
    print(dict(moments))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_chunk_finish_and_the_run_be_resumed(number, code, undisturbed, tmp_path):
    expected, _ = undisturbed
    folder = tmp_path / "run"
    process = start(folder)
    end = time.monotonic() + LONGEST
    while not (folder / "log.jsonl").exists() or not (folder / "log.jsonl").stat().st_size:
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(LONGEST) == code, folder.with_suffix(".txt").read_text()
    stopped = load_run(folder)
    assert 0 < stopped.summary["num_updates"] < 1000
    assert (folder / "summary.json").exists()
    if number == signal.SIGTERM:
        assert start(folder).wait(LONGEST) == 0
        assert_same_run(folder, expected)


def test_a_second_signal_ends_the_process_at_once(tmp_path):
    folder = tmp_path / "run"
    flags = ["--total-steps", "40000000", "--num-seeds", "64", "--out", str(folder)]
    process = subprocess.Popen([*COMMAND, *flags], stdout=subprocess.PIPE)
    assert b"a2c, preset default, 64 seeds" in process.stdout.readline()
    assert b"Compiled" in process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONGEST) in (-signal.SIGTERM, 143)
    assert not (folder / "metrics.npy").exists(), "it finished its chunk and saved it"
    process.stdout.close()
