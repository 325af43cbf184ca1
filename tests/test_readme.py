"""The README's code and commands are executed, with smaller numbers where they would take long."""

import ast
import contextlib
import functools
import inspect
import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

from a2c_jax import experiment
from a2c_jax.experiment.cli import flags, main as cli
from a2c_jax.experiment.config import TrainConfig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TINY = ["--total-steps", "400", "--num-seeds", "2", "--hidden-sizes", "8"]
# The flags that make each command quick, in the README's order: some read the files of others.
COMMANDS = {
    "a2c-jax train --num-seeds 1024 --seed 100000": TINY,
    "a2c-jax train --num-seeds 256 --name evening": TINY,
    "a2c-jax train --resume runs/evening": [],
    "a2c-jax join runs/part-0 runs/part-1 --name both": [],
    "a2c-jax evaluate runs/evening": [],
    "a2c-jax plot runs/evening": [],
    "a2c-jax replay runs/evening": [],
    "a2c-jax sweep --over learning-rate=1e-4:1e-2:8:log discount=0.95,0.98,0.99 "
    "--name rates": TINY,
    "a2c-jax compare --algorithms reinforce a2c gae": [
        *TINY, "--gradient-episodes", "0", "--algorithms", "a2c", "gae"
    ],
    "a2c-jax train --network gru --help": [],
}  # fmt: skip
PARSERS = {"train": flags.parse_train, "sweep": flags.parse_sweep, "compare": flags.parse_compare}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def slurm_lines(task):
    """The lines of a task of a Slurm array, after its shell has expanded them."""
    text = blocks("sh")[0].replace("$((128 * SLURM_ARRAY_TASK_ID))", str(128 * task))
    return text.replace("$SLURM_ARRAY_TASK_ID", str(task)).splitlines()


def test_the_readme_is_short_and_its_links_lead_to_files():
    assert README.count("\n") <= 160
    for path in re.findall(r"\]\(([^)]*)\)", README):
        assert (ROOT / path).is_file(), path


def test_every_command_of_the_readme_is_executed_here():
    lines = [
        line.split("  #")[0].rstrip() for block in blocks("bash") for line in block.splitlines()
    ]
    assert lines[:2] == ["pip install -e . && a2c-jax train", "pip install -e '.[test]' && pytest"]
    inline = re.findall(r"`(a2c-jax [^`]*)`", README)
    assert {*lines[2:], *inline} == COMMANDS.keys()


@pytest.mark.parametrize("line", [*COMMANDS, *slurm_lines(3)])
def test_every_command_has_flags_that_exist(line, monkeypatch):
    monkeypatch.setattr(flags, "read_run_config", lambda *args: TrainConfig())  # to resume
    command, *words = shlex.split(line)[1:]
    kind = getattr(flags, f"{command.title()}Config", None)
    with pytest.raises(SystemExit) if "--help" in words else contextlib.nullcontext():
        PARSERS.get(command, functools.partial(flags.parse, kind, command))(words)


def test_the_python_uses_names_and_arguments_that_exist():
    names = {}
    for node in (node for block in blocks("python") for node in ast.walk(ast.parse(block))):
        text = ast.unparse(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(text, names)
        if isinstance(node, ast.Attribute) and re.fullmatch(r"(\w+)(\.\w+)+", text):
            assert text.split(".")[0] not in names or eval(text, names) is not None
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(
            ("a2c.", "experiment.")
        ):
            given = {argument.arg: None for argument in node.keywords if argument.arg}
            inspect.signature(eval(ast.unparse(node.func), names)).bind_partial(*node.args, **given)


@pytest.mark.slow("learning")
def test_the_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["curve"].shape[0] == 8
    assert (names["curve"][:, -10:].mean(axis=1) > 475).all(), "every seed solves the task"
    mine = names["mine"]
    _, metrics = jax.jit(lambda key: mine.step(mine.init(key)))(names["keys"][0])
    assert np.isfinite(metrics.value_loss)
    assert names["run"].summary["num_updates"] == 1000
    assert names["run"].metrics.episode_return_sum.shape == (4, 1000)
    assert names["returns"].shape == (4, 100)


@pytest.mark.slow("every command")
def test_the_commands_run_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parts = [slurm_lines(task)[0] for task in range(2)]
    assert slurm_lines(0)[1] == "a2c-jax join runs/part-* --name many"  # as below, with a pattern
    lines = [line for line in COMMANDS if not line.endswith("--help")]
    for line in [*parts, *lines]:
        words = [*shlex.split(line)[1:], *COMMANDS.get(line, TINY)]
        assert cli.main(words) == 0, capsys.readouterr().err
    assert experiment.load_run("runs/both").job.seeds == (0, 1, 128, 129)
    made = {path.relative_to(tmp_path / "runs").as_posix() for path in tmp_path.glob("runs/*/*")}
    assert made >= {
        "evening/learning_curve.png", "evening/evaluation.json", "evening/plots",
        "evening/replay.html", "rates/heat_map.png", "rates/best.json",
    }  # fmt: skip
