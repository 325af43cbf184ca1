"""Whatever happens to a file of a run: the right numbers, or one sentence; never wrong ones."""

import collections
import functools
import json
import os
import resource
import shutil

import numpy as np
import pytest
from comparing import assert_identical

from a2c_jax import experiment

READ = {"config.json", "metrics.npy", "checkpoints"}


def trained(out, **changes):
    changes = {"hidden_sizes": (4,), "num_seeds": 2, "total_steps": 800, **changes}
    config = experiment.configure(evaluate_every=10, evaluate_episodes=1, out=out, **changes)
    return experiment.train_run(config)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, one with another seed, and one with another network."""
    folder = tmp_path_factory.mktemp("runs")
    changes = ({}, {"seed": 2}, {"hidden_sizes": (5,)})
    return [trained(folder / str(number), **each) for number, each in enumerate(changes)]


def outcome(run, folder):
    try:
        loaded = experiment.load_run(folder)
    except ValueError as error:
        return "error" if str(error).endswith(".") and "\n" not in str(error) else str(error)
    for name in ("state", "metrics", "evaluations"):
        assert_identical(getattr(run, name), getattr(loaded, name))
    assert run.summary["final_returns"] == loaded.summary["final_returns"]
    return "right"


def damages(path, dice, others):
    """Functions that damage a file."""
    data = path.read_bytes()
    flipped = bytearray(data or b"x")
    flipped[dice.integers(len(flipped))] ^= 1 << int(dice.integers(8))
    for text in (data[: len(data) // 2], flipped):
        yield functools.partial(path.write_bytes, text)
    yield path.unlink
    for target in ("/dev/null", "not there"):
        yield lambda target=target: (path.unlink(), path.symlink_to(target))
    for other in filter(os.path.exists, others):
        yield functools.partial(shutil.copyfile, other, path)


def test_every_file_in_every_way(runs, tmp_path):
    dice, outcomes = np.random.default_rng(0), collections.Counter()
    run, copy = runs[0], shutil.copytree(runs[0].folder, tmp_path / "run")
    newest = max((copy / "checkpoints").iterdir(), key=lambda path: int(path.name))
    for path in sorted(path for path in copy.rglob("*") if path.is_file()):
        name = path.relative_to(copy)
        ways = [*damages(path, dice, [other.folder / name for other in runs[1:]])]
        if newest in path.parents:  # which has many files
            ways = [ways[i] for i in dice.permutation(len(ways))[:2]]
        for damage in ways:
            damage()
            found = outcome(run, copy)
            outcomes[found] += 1
            assert found == "right" or (found == "error" and name.parts[0] in READ), (name, found)
            path.unlink(missing_ok=True)
            shutil.copyfile(run.folder / name, path)
    print(dict(outcomes))
    assert min(outcomes["right"], outcomes["error"]) > 25


def test_config_json_with_wrong_values(runs, tmp_path):
    copy = shutil.copytree(runs[0].folder, tmp_path / "run")
    content = json.loads((copy / "config.json").read_text())
    dice, outcomes = np.random.default_rng(0), collections.Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    texts = ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000]
    values = (..., 10**9, None, "x", -1, 10**399, 0.5, True, [], {}, [10**9], float("nan"))
    for place in (content, content["settings"]):
        for name, right in [*place.items()]:
            for value in (*values[:2], *(values[i] for i in 2 + dice.permutation(10)[:3])):
                place.pop(name) if value is ... else place.update({name: value})
                texts.append(json.dumps(content))
                place[name] = right
    for text in texts:
        (copy / "config.json").write_text(text)
        outcomes[outcome(runs[0], copy)] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    print(dict(outcomes), f"{grown} KiB")
    assert set(outcomes) == {"right", "error"}
    assert min(outcomes.values()) > 20
    assert grown < 2**20
