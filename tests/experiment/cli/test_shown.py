"""What is shown never harms what is trained, and signals and names from outside change nothing."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from comparing import assert_same_run

from a2c_jax.experiment import files
from a2c_jax.experiment.cli import commands, main as cli
from a2c_jax.experiment.figures.curves import draw_methods
from a2c_jax.experiment.run.interrupts import deferred_interrupt

TRAIN = [
    sys.executable, "-m", "a2c_jax", "train", "--num-seeds", "2", "--total-steps", "800",
    "--hidden-sizes", "4", "--evaluate-every", "10", "--evaluate-episodes", "1",
]  # fmt: skip


@pytest.mark.slow("signals and streams")
def test_a_reader_that_goes_away_and_a_full_disk_change_nothing_of_a_run(tiny_run, tmp_path):
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1"}
    command, pipe = [*TRAIN, "--out", str(tmp_path / "ü")], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=env) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)
    with open("/dev/full", "wb") as full:
        subprocess.run([*TRAIN, "--out", str(tmp_path / "full")], stdout=full, check=True)
    for name in ("ü", "full"):
        assert_same_run(tiny_run, tmp_path / name)


def test_a_stream_that_fails_ends_no_command(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "train", (lambda flags: print("x" * 10**5) or 0, ""))
    with open("/dev/full", "w") as shown:  # closing it writes what is left, and must not fail
        monkeypatch.setattr(sys, "stdout", shown)
        assert cli.main(["train"]) == 0


def test_a_process_without_a_stdout_runs(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["--help"]) == 0


@pytest.mark.parametrize("name", ["a[b]c", "a[", "[bold]x", "x[/b]", "ü"])
def test_a_name_is_printed_but_for_signs_that_a_terminal_lacks(name, tiny_run, monkeypatch):
    run = tiny_run._replace(folder=Path(name))
    monkeypatch.setattr(commands, "train_run", lambda *args, **kwargs: run)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert cli.main(["train"]) == 0
    stream.seek(0)
    assert f"Files: {name.replace('ü', '?')}\n" in stream.read()


@pytest.mark.slow("signals and streams")
def test_a_process_without_its_device_says_so():
    env = {**os.environ, "JAX_PLATFORMS": "cuda"}
    ended = subprocess.run(TRAIN, env=env, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr.count(b"\n")) == (2, 1)
    assert ended.stderr.startswith(b"a2c-jax: JAX_PLATFORMS is 'cuda', which this machine lacks;")


def test_only_an_error_without_the_device_is_blamed_on_it(monkeypatch, refused):
    def fails(*args):
        raise RuntimeError("no such device, or a bug")

    monkeypatch.setitem(cli.COMMANDS, "train", (fails, ""))
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(RuntimeError, match="or a bug"):
        cli.main(["train"])
    monkeypatch.setattr(cli.jax, "devices", fails)
    assert "JAX_PLATFORMS is 'cuda', which this machine lacks;" in refused("train")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_without_parts(number, tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands, "evaluate_run", lambda *_: None)
    monkeypatch.setattr(commands, "write_evaluation", lambda *_: signal.raise_signal(number))
    out = tmp_path / "new"
    assert cli.main(["evaluate", str(tiny_run.folder), "--out", str(out)]) == 128 + number
    assert "interrupted; nothing was written." in capsys.readouterr().err
    assert not out.exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.slow("signals and streams")
def test_ctrl_c_before_the_first_chunk_leaves_nothing(tmp_path):
    out = tmp_path / "run"
    command = [*TRAIN, "--total-steps", "400000000", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while process.poll() is None and not out.exists():
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert b"nothing was written" in told
    assert b"Traceback" not in told
    assert not out.exists()


def test_a_signal_ignored_on_entry_stays_ignored():
    with contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
        interrupted = stack.enter_context(deferred_interrupt())
        signal.raise_signal(signal.SIGINT)
        assert interrupted() == 0


def test_a_name_may_have_any_sign():
    file, curve = io.BytesIO(), (np.arange(2), np.zeros((1, 2)))
    draw_methods(file, {"cost$x_$": curve, "漢字": curve}, title="a$b_$ 漢字")


def test_a_planted_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / ".summary.json.part").symlink_to(victim)
    files.write_together(tmp_path, {"summary.json": files.json_writer({})})
    assert (tmp_path / "summary.json").read_text() == "{}\n"
    (tmp_path / "1.npz").symlink_to(victim)
    with pytest.raises(ValueError, match="cannot be read"):
        files.read_npz(tmp_path / "1.npz")
    files.write_together(tmp_path, {"1.npz": files.npz_writer({"a": np.ones(2)})})
    np.testing.assert_array_equal(files.read_npz(tmp_path / "1.npz")["a"], np.ones(2))
    assert victim.read_text() == "kept"
