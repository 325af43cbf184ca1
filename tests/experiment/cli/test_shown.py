"""What is shown never harms what is trained, and signals and names from outside change nothing."""

import io
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from comparing import assert_same_run

from a2c_jax import experiment
from a2c_jax.experiment import files
from a2c_jax.experiment.cli import commands, flags, main as cli
from a2c_jax.experiment.figures.curves import draw_methods
from a2c_jax.experiment.run import series
from a2c_jax.experiment.run.interrupts import deferred_interrupt
from a2c_jax.experiment.run.series import SeriesEnd
from a2c_jax.types import Metrics

SMALL = ["--num-seeds", "2", "--total-steps", "800", "--hidden-sizes", "4"]
TRAIN = [sys.executable, "-m", "a2c_jax", "train", *SMALL]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(["train", *SMALL, "--out", str(folder)]) == 0
    return folder


def test_a_reader_that_goes_away_and_a_full_disk_change_nothing_of_a_run(run, tmp_path):
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*TRAIN, "--out", str(tmp_path / "ü")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
    )  # fmt: skip
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 0)
    process.stderr.close()
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*TRAIN, "--out", str(tmp_path / "full")], stdout=full, check=False)
    assert ended.returncode == 0
    for name in ("ü", "full"):
        assert_same_run(run, tmp_path / name)


def test_signs_that_a_terminal_lacks_are_replaced(run, tmp_path, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    out = str(tmp_path / "ü")
    assert cli.main(["evaluate", str(run), "--num-episodes", "1", "--out", out]) == 0
    stream.seek(0)
    assert f"{tmp_path}/?: evaluation.json" in stream.read()


def test_a_device_that_is_not_there_is_one_sentence():
    ended = subprocess.run(
        TRAIN, env={**os.environ, "JAX_PLATFORMS": "cuda"}, capture_output=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"a2c-jax: JAX_PLATFORMS is 'cuda', which this machine lacks;")
    assert ended.stderr.count(b"\n") == 1


def test_sigterm_ends_a_command_without_leaving_parts(run, tmp_path, monkeypatch, capsys):
    flags = ["evaluate", str(run), "--num-episodes", "1", "--out", str(tmp_path / "new")]
    monkeypatch.setattr(
        commands, "write_evaluation", lambda *_: signal.raise_signal(signal.SIGTERM)
    )
    assert cli.main(flags) == 128 + signal.SIGTERM
    assert not (tmp_path / "new").exists()
    assert "interrupted; nothing was written." in capsys.readouterr().err


def test_a_signal_ignored_on_entry_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt() as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert interrupted() == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_name_is_no_formula_and_may_have_any_sign():
    file, curve = io.BytesIO(), (np.arange(2), np.zeros((1, 2)))
    draw_methods(file, {"cost$x_$": curve, "漢字": curve}, title="a$b_$ 漢字")
    assert file.getvalue().startswith(b"\x89PNG")


def test_a_planted_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / ".summary.json.part").symlink_to(victim)
    files.write_together(tmp_path, {"summary.json": files.json_writer({})})
    assert (tmp_path / "summary.json").read_text() == "{}\n"
    (tmp_path / series.FILE).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        series.append(tmp_path, SeriesEnd(0, 0), Metrics(*[np.zeros((1, 1), np.float32)] * 9))
    assert victim.read_text() == "kept"


def test_more_seeds_than_fit_are_refused_before_they_are_made(capsys):
    assert cli.main(["train", "--num-seeds", "4294967295"]) == 2
    assert "num_seeds is 4294967295; give at most 1,000,000" in capsys.readouterr().err


def test_another_default_generator_changes_nothing(run):
    expected = experiment.load_run(run)
    with jax.default_prng_impl("rbg"):
        loaded = experiment.load_run(run)
        returns = experiment.evaluate_run(loaded, 2).returns
    np.testing.assert_array_equal(returns, experiment.evaluate_run(expected, 2).returns)


def test_a_comparison_is_no_run(tmp_path):
    (tmp_path / "config.json").write_text('{"format": 5, "methods": {}}')
    with pytest.raises(ValueError, match="there is a comparison of methods; give a run"):
        experiment.load_run(tmp_path)


def test_numbers_of_any_library_become_what_they_mean():
    config = experiment.configure(
        total_steps=1e4, num_seeds=np.int64(2), num_steps=20.0, hidden_sizes=(np.int64(4), 8.0),
        learning_rate=np.float32(0.5), batch_size=4.0, seed=jax.numpy.int32(3),
    )  # fmt: skip
    settings = config.settings
    assert (settings.total_steps, settings.num_steps, settings.hidden_sizes) == (10_000, 20, (4, 8))
    assert (config.num_seeds, config.batch_size, config.seed) == (2, 4, 3)
    assert {type(config.num_seeds), type(settings.num_steps), type(config.seed)} == {int}
    assert experiment.configure(seeds=np.arange(3)).seeds == (0, 1, 2)
    for bad in ({"num_envs": 2.5}, {"normalize_advantages": 1}, {"env": object()}, {"seed": "0"}):
        (name,) = bad
        with pytest.raises(ValueError, match=f"{name} is "):
            experiment.configure(**bad)


def test_flags_read_whole_numbers_in_scientific_notation(capsys):
    config = flags.parse_train(["--total-steps", "1e4", "--hidden-sizes", "8e0", "4"])
    assert (config.settings.total_steps, config.settings.hidden_sizes) == (10_000, (8, 4))
    assert isinstance(config.settings.total_steps, int)
    for text in ("1000.5", "inf", "1e3.5"):
        with pytest.raises(SystemExit):
            flags.parse_train(["--total-steps", text])
        assert "Error parsing --total-steps" in capsys.readouterr().err
