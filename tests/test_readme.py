"""The README's code and commands run as they stand, though smaller where they would take long."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from a2c_jax.experiment import cli

README = (Path(__file__).parent.parent / "README.md").read_text()
TINY = ["--total-steps", "400", "--num-seeds", "2", "--hidden-sizes", "8"]
# What makes each command quick; in the README's order, since some go on with others' files.
COMMANDS = {
    "a2c-jax train --num-seeds 1024 --seed 100000": TINY,
    "a2c-jax train --name evening --num-seeds 256": TINY,
    "a2c-jax train --resume runs/evening": [],
    "a2c-jax evaluate runs/evening": [],
    "a2c-jax plot runs/evening": [],
    "a2c-jax replay runs/evening --gif": [],
    "a2c-jax sweep --over learning-rate=1e-4:1e-2:8:log discount=0.95,0.98,0.99 "
    "--total-steps 100000 --name rates": TINY,
    "a2c-jax sweep --over learning-rate=1e-4:1e-2:log --draws 20 --total-steps 100000": TINY,
    "a2c-jax train --config runs/rates/best.json --seed 100 --total-steps 300000": TINY,
    "a2c-jax train --num-seeds 256 --name many --distributed --coordinator host0:8476 "
    "--num-processes 2 --process-id 0": ["--num-processes", "1", *TINY],
    "a2c-jax train --resume runs/many --distributed --num-processes 1": [],
    "a2c-jax train --preset NAME": ["--help"],
    "a2c-jax train --preset NAME --help": [],
    "a2c-jax train --env NAME": ["--help"],
    "a2c-jax train --env Acrobot-v1 --num-seeds 32 --seed 100000": TINY,
    "a2c-jax train --num-seeds 4 --seed 100 --num-envs 16 --learning-rate 3e-3 "
    "--out runs/mine": TINY,
    "a2c-jax compare --gradient-episodes 300": [
        *TINY, "--gradient-episodes", "0", "--algorithms", "a2c", "gae"
    ],
    "a2c-jax train --preset article": ["--num-episodes", "12", "--hidden-sizes", "8"],
}  # fmt: skip


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["returns"].shape == (4, 100)
    assert names["run"].summary["num_updates"] == 1000
    assert names["low"] <= names["high"]
    assert names["swept"].scores.shape == (4,)
    assert names["sweep"].metrics.value_loss.shape == (3, 4, 100)
    assert names["transitions"].obs.shape == (32, 4, 4)
    assert names["stats"].returns.shape == (10,)
    assert names["more"].metrics.value_loss.shape == (8, 100)
    curve = np.nanmax(names["curve"])
    assert curve > 100, "it learns"
    _, metrics = names["mine"].step(names["mine"].init(names["keys"][0]))
    assert np.isfinite(metrics.value_loss)


def test_every_command_of_the_readme_is_executed_here():
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert lines[:2] == ["pip install -e . && a2c-jax train", "pip install -e '.[test]' && pytest"]
    inline = re.findall(r"`(a2c-jax [^`]*)`", README)
    assert {*lines[2:], *inline} == COMMANDS.keys()


def test_the_commands_run_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line, smaller in COMMANDS.items():
        arguments = [*shlex.split(line)[1:], *smaller]
        if "--help" in arguments:
            with pytest.raises(SystemExit) as end:
                cli.main([word.replace("NAME", "article") for word in arguments])
            assert end.value.code == 0
        else:
            assert cli.main(arguments) == 0, capsys.readouterr().err
    made = {path.relative_to(tmp_path / "runs").as_posix() for path in tmp_path.glob("runs/*/*")}
    assert made >= {
        "evening/replay.gif", "evening/plots", "evening/evaluation.json", "rates/heat_map.png",
        "rates/best.json", "mine/learning_curve.png",
    }  # fmt: skip
