"""The benchmark ``bench.py``: what it measures and writes, and what it refuses. No time decides."""

import contextlib
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bench
import bench_child
import bench_config
import bench_flops
import bench_measure
import bench_processes
import bench_report
import bench_rounds
import bench_sides
import bench_workers
import flax.linen as nn
import jax
import jax.numpy as jnp
import psutil
import pytest
from bench_config import BenchConfig, Peer, Size, make_plan
from bench_workers import PeerError, ProcessError, Stopped, start_worker
from rich.console import Console

TINY = Size(2, 2, 3)
SPOKEN = f"""\
import sys
sys.path.insert(0, {str(bench_config.YARDSTICKS)!r})
from worker import serve, total_steps

def prepare(settings):
    print("this is no answer")
    return lambda seed: RUN

serve(prepare, ("numpy",))
"""
GOOD = SPOKEN.replace("RUN", '{"steps": settings["num_seeds"] * total_steps(settings)}')
DIES_LATER = SPOKEN.replace("RUN", '{"steps": 1} if seed < 2 else sys.exit("out of luck")')
DIES = "import sys; sys.exit('No module named nothing')"
HANGS = "import time; time.sleep(600)"


@pytest.fixture
def peer(tmp_path):
    """Makes a peer of a script."""

    def make(script, name="rejax"):
        path = tmp_path / f"{name}.py"
        path.write_text(script)
        return Peer(name, sys.executable, path, None)

    return make


def never():
    return False


# What it is told.


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--sizes", "64,8"], "sizes holds '64,8'; give three whole numbers S,N,T"),
        (["--sizes", "64,8,x"], "sizes holds '64,8,x'; give three whole numbers"),
        (["--sizes", "0,8,5"], "a number in sizes '0,8,5' is 0; give a whole number"),
        (["--sizes"], "sizes is empty; give at least one"),
        (["--rounds", "0"], "rounds is 0; give"),
        (["--seconds", "0"], "seconds is 0.0; give"),
        (["--scaling-seeds", "4", "0"], "scaling_seeds is 0; give"),
        (["--peer", "rejax"], "peer holds 'rejax'; give NAME=PYTHON"),
        (["--peer", "rejax="], "peer holds 'rejax='; give NAME=PYTHON"),
        (["--peer", "sb3=python"], "a name out of rejax, purejaxrl, stable-baselines3, article"),
        (["--peer", "rejax=a", "rejax=b"], "peer names rejax more than once"),
        (
            ["--peer", "article=python", "--network", "default"],
            "peer names article, but network is 'default'",
        ),
        (
            ["--peer", "purejaxrl=python", "--purejaxrl", "nowhere"],
            "purejaxrl is 'nowhere', where there is no ppo.py",
        ),
        (
            ["--peer", "rejax=no-such-python"],
            "run by 'no-such-python', which cannot be started (No such file or directory); give",
        ),
    ],
)
def test_bad_input_is_refused_in_a_sentence_before_anything_is_done(
    flags, sentence, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert bench.main([*flags]) == 2
    message = capsys.readouterr().err
    assert message.startswith("a2c-jax: ")
    assert sentence in message
    assert not (tmp_path / "runs").exists()


def test_a_peer_that_cannot_run_is_told_before_measuring_begins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dies.py").write_text(DIES)
    monkeypatch.setitem(bench_config.PEERS, "rejax", str(tmp_path / "dies.py"))
    assert bench.main(["--peer", f"rejax={sys.executable}"]) == 2
    message = capsys.readouterr().err
    assert "has died with exit code 1; make its environment as dies.py says" in message
    assert message.rstrip().endswith("No module named nothing")
    assert not (tmp_path / "runs").exists()


def test_every_peer_has_a_script_that_tells_how_to_make_its_environment():
    for script in bench_config.PEERS.values():
        text = (bench_config.YARDSTICKS / script).read_text()
        assert "a2c_jax " not in text.split('"""')[2], "it imports nothing of ours"
        assert "pip install" in text or "It\nneeds torch" in text


# Peers.


def test_a_peer_answers_once_for_each_run(peer):
    with start_worker(peer(GOOD), {**TINY._asdict(), "num_updates": 4}, never) as worker:
        assert worker.ready["ready"] is True
        assert worker.ready["steps"] == 2 * 2 * 3 * 4
        assert worker.ready["first_seconds"] >= 0.0
        assert worker.ready["versions"].keys() == {"python", "numpy"}
        for _ in range(3):
            assert worker.run().keys() == {"seconds", "steps"}


def test_a_peer_that_dies_between_runs_is_told_with_its_last_words(peer):
    settings = {**TINY._asdict(), "num_updates": 4}
    with start_worker(peer(DIES_LATER), settings, never) as worker:
        worker.run()
        with pytest.raises(PeerError, match=r"(?s)peer rejax.*exit code 1.*out of luck"):
            worker.run()


def test_waiting_for_a_peer_can_be_stopped_and_ends_it(peer, monkeypatch):
    started = []
    start = bench_workers._start
    monkeypatch.setattr(
        bench_workers, "_start", lambda *args: started.append(start(*args)) or started[-1]
    )
    asked = iter([False, False, True])
    with pytest.raises(Stopped), start_worker(peer(HANGS), {}, lambda: next(asked)):
        pass
    assert started[0].returncode == -signal.SIGKILL


def test_a_peer_ends_when_whoever_started_it_is_killed(peer):
    started = peer(SPOKEN.replace("RUN", "__import__('time').sleep(600)"))
    program = (
        "import os, subprocess, sys, time\n"
        f"command = [sys.executable, {str(started.script)!r}, '{{}}']\n"
        "process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(1)\n"  # it has begun to run
        "print(process.pid, flush=True)\n"
        "os._exit(1)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    pid = int(killed.stdout.readline())
    killed.wait()
    killed.stdout.close()
    waited_until = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < waited_until:
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_peer_runs_with_flags_of_its_own(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_something")
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    environment = bench_workers.peer_environment()
    assert not {"XLA_FLAGS", "JAX_ENABLE_X64", "JAX_COMPILATION_CACHE_DIR"} & environment.keys()
    assert environment["JAX_PLATFORMS"] == "cpu"
    assert environment["PATH"] == os.environ["PATH"]


def test_the_ratio_is_taken_round_by_round_and_a_side_that_fails_is_left_out():
    def side(*seconds):
        each = iter(seconds)

        def run():
            taken = next(each)
            if taken is None:
                raise PeerError("it has died")
            return {"seconds": taken, "steps": 12}

        return bench_sides.Side(3, 1.0, {}, run)

    sides = {"a2c_jax": side(1.0, 2.0, 4.0), "a": side(2.0, 6.0, 4.0), "b": side(1.0, None)}
    failed = {}
    samples = bench_rounds.run_rounds(sides, 3, failed, never)
    assert failed == {"b": "it has died"}
    described = bench_rounds.describe_sides(sides, samples)
    assert described.keys() == {"a2c_jax", "a"}
    assert described["a2c_jax"]["ours_is_faster"] is None
    assert described["a"]["ours_is_faster"] == {
        "median": 2.0, "min": 1.0, "max": 3.0, "all": [2.0, 3.0, 1.0],
    }  # fmt: skip
    assert described["a2c_jax"]["steps_per_second"]["all"] == [12.0, 6.0, 3.0]


def test_the_number_of_updates_is_found_by_trying(monkeypatch):
    tried = []

    class Opened:
        def __init__(self, num_updates):
            self.num_updates = num_updates

        def __enter__(self):
            tried.append(self.num_updates)
            taken = {"seconds": self.num_updates * 1e-3, "steps": 1}
            return bench_sides.Side(self.num_updates, 0.0, {}, lambda: taken)

        def __exit__(self, *_):
            tried.append("closed")

    monkeypatch.setattr(bench_sides, "_FIRST_STEPS_IN_JAX", 600)
    with contextlib.ExitStack() as stack:
        side = bench_sides.open_fitted("ours", Opened, Size(10, 2, 3), 1.0, stack)
        assert side.num_updates == 1000
        assert tried == [10, "closed", 1000]
    assert tried[-1] == "closed"


# Arithmetic.


def products(jaxpr):
    """Floating point operations of the matrix products in a program that has no loops."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            inner = math.prod(shape[axis] for axis in contracted)
            total += 2 * inner * math.prod(equation.outvars[0].aval.shape)
        for parameter in equation.params.values():
            if hasattr(parameter, "jaxpr"):
                total += products(parameter.jaxpr)
    return total


class Half(nn.Module):
    """A perceptron as one would write it."""

    layers: tuple
    outputs: int

    @nn.compact
    def __call__(self, x):
        for units in self.layers[1:]:
            x = nn.tanh(nn.Dense(units)(x))
        return nn.Dense(self.outputs)(x)


@pytest.mark.parametrize(("network", "expected"), [("article", 18_432), ("default", 70_144)])
def test_the_arithmetic_of_a_step_is_what_autodiff_does(network, expected):
    rows, layers = 24, bench_flops.LAYERS[network]
    policy, value = Half(layers, 2), Half(layers, 1)
    obs = jnp.zeros((rows, 4))
    params = policy.init(jax.random.key(0), obs), value.init(jax.random.key(0), obs)

    def step(params, obs, next_obs):
        def loss(params):
            log_probs = jax.nn.log_softmax(policy.apply(params[0], obs))
            targets = jax.lax.stop_gradient(value.apply(params[1], next_obs))
            return jnp.sum(log_probs) + jnp.sum((value.apply(params[1], obs) - targets) ** 2)

        return policy.apply(params[0], obs), jax.grad(loss)(params)

    traced = jax.jit(step).trace(params, obs, obs).jaxpr.jaxpr
    assert products(traced) == expected * rows
    assert bench_flops.flops_per_step(layers) == expected


def test_a_product_is_measured_on_all_devices():
    rates = bench_flops.matmul_flops_per_second(2)
    assert len(rates) == 2
    assert min(rates) > 0.0


@pytest.mark.parametrize("network", ["article", "default"])
def test_the_layers_are_those_of_our_network(network):
    state = jax.eval_shape(bench_sides.make_algorithm(TINY, network).init, jax.random.key(0))
    kernels = [leaf for leaf in jax.tree.leaves(state.params["policy"]) if leaf.ndim == 2]
    layers = (*bench_flops.LAYERS[network], 2)
    expected = sorted(a * b for a, b in itertools.pairwise(layers))
    assert sorted(math.prod(kernel.shape) for kernel in kernels) == expected


# The whole.


@pytest.fixture
def quick(monkeypatch):
    """Less of everything, and in this process what takes a fresh one; that is tested apart."""

    def train_here(size, network, num_updates, runs, changes, stop):
        return bench_child.stages(size, network, num_updates, runs)

    monkeypatch.setattr(bench_processes, "_train_in_child", train_here)
    monkeypatch.setattr(bench_measure, "compiling_afresh", contextlib.nullcontext)
    monkeypatch.setattr(bench_processes, "MODULES", ("json",))
    monkeypatch.setattr(bench_sides, "_FIRST_STEPS_IN_JAX", 12)


@pytest.mark.slow
def test_the_command_measures_prints_and_writes(tmp_path, monkeypatch, quick, capsys):
    (tmp_path / "good.py").write_text(GOOD)
    monkeypatch.setitem(bench_config.PEERS, "rejax", str(tmp_path / "good.py"))
    flags = [
        "--sizes", "2,2,3", "--rounds", "3", "--seconds", "1e-9", "--peer",
        f"rejax={sys.executable}", "--scaling", "--scaling-seeds", "1", "3",
    ]  # fmt: skip
    out = tmp_path / "out"
    assert bench.main([*flags, "--out", str(out)]) == 0
    screen = capsys.readouterr().out
    assert "steps a second" in screen
    assert "2,2,3" in screen
    record = json.loads((out / "bench.json").read_text())
    assert record["finished"] is True
    assert record["machine"].keys() >= {"cpu", "cores", "memory_bytes", "platform", "device"}
    assert record["versions"].keys() == {"a2c_jax", "rejax"}
    assert record["versions"]["a2c_jax"].keys() >= {"python", "jax", "jaxlib", "flax", "optax"}
    assert record["flags"].keys() >= {"XLA_FLAGS", "jax_num_cpu_devices"}
    assert len(record["load_average_before"]) == len(record["load_average_after"])
    assert len(record["import_seconds"]["json"]["all"]) == 3
    (size,) = record["sizes"]
    assert (size["num_seeds"], size["num_envs"], size["num_steps"]) == (2, 2, 3)
    assert size["sides"].keys() == {"a2c_jax", "plain", "rejax"}
    for side in size["sides"].values():
        assert len(side["seconds"]) == len(side["steps_per_second"]["all"]) == 3
        assert side["steps"] == [2 * 2 * 3 * side["num_updates"]] * 3
    assert len(size["sides"]["plain"]["ours_is_faster"]["all"]) == 3
    assert size["flop_per_step"] == 18_432
    assert size["fraction_of_matmul"] > 0.0
    stages = ("trace", "compile", "warm_compile", "first_run")
    assert all(size["process"][f"{stage}_seconds"] > 0.0 for stage in stages)
    assert size["process"]["peak_memory_bytes"] > 10e6
    assert [row["num_seeds"] for row in record["scaling"]] == [1, 3]
    assert all(len(row["seconds_per_seed"]) == 2 for row in record["scaling"])


def test_nothing_is_compiled_from_a_cache():
    with bench_measure.compiling_afresh():
        assert not jax.config.jax_enable_compilation_cache
    assert jax.config.jax_enable_compilation_cache


def test_a_measurement_that_fails_does_not_take_the_others(monkeypatch, quick, capsys):
    def too_large(size, network, num_updates, runs, changes, stop):
        raise ProcessError("it was killed.")

    size = {"num_seeds": 1, "num_envs": 2, "num_steps": 3, "sides": {}, "failed": {"a": "died."}}
    size |= {"flops_per_second": 1.0, "fraction_of_matmul": 0.5}
    monkeypatch.setattr(bench_processes, "_train_in_child", too_large)
    monkeypatch.setattr(
        bench_measure,
        "measure_rounds",
        lambda *_: size | {"sides": {"a2c_jax": {"num_updates": 2}}},
    )
    plan = make_plan(BenchConfig(sizes=("1,2,3",), scaling=True, scaling_seeds=(1,)))
    record = bench_measure.measure(plan, {}, print, never)
    assert record["finished"] is True
    assert bench_report.failures(record) == ["died.", "it was killed.", "it was killed."]
    record["sizes"][0]["sides"] = {}
    bench_report.print_bench(Console(), record)
    assert capsys.readouterr().out.count("Left out: it was killed.") == 2


def test_what_was_measured_before_a_stop_is_kept(monkeypatch, quick):
    plan = make_plan(BenchConfig(sizes=("1,2,3", "2,2,3")))

    def measure_size(plan, size, say, stop):
        if size.num_seeds == 2:
            raise Stopped
        return {"num_seeds": 1}

    monkeypatch.setattr(bench_measure, "measure_size", measure_size)
    record = bench_measure.measure(plan, {}, print, never)
    assert record["finished"] is False
    assert record["sizes"] == [{"num_seeds": 1}]
    assert "load_average_after" in record


def test_ctrl_c_ends_the_peer_and_leaves_nothing(tmp_path):
    (tmp_path / "hangs.py").write_text(
        "import os, time, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'part')!r}).write_text(str(os.getpid()))\n"
        f"os.replace({str(tmp_path / 'part')!r}, {str(tmp_path / 'pid')!r})\n"
        "time.sleep(600)\n"
    )
    program = (
        "import signal, sys\n"
        # A shell makes what it starts in the background ignore Ctrl-C, these tests included.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.path.insert(0, {str(bench_config.YARDSTICKS.parent)!r})\n"
        "import bench, bench_config\n"
        f"bench_config.PEERS['rejax'] = {str(tmp_path / 'hangs.py')!r}\n"
        f"sys.exit(bench.main(['--peer', 'rejax={sys.executable}']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    waited_until = time.monotonic() + 120
    while not (tmp_path / "pid").exists() and time.monotonic() < waited_until:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "a2c-jax: interrupted; nothing was written.\n"
    assert not (tmp_path / "runs").exists()
    assert not is_running(int((tmp_path / "pid").read_text()))


@pytest.mark.slow
def test_a_fresh_process_trains_and_tells_what_it_took():
    cost = bench_processes.seed_cost(TINY, "default", 4, 3, never)
    assert len(cost["seconds_per_seed"]) == 3
    assert 10e6 < cost["imported_memory_bytes"] < cost["peak_memory_bytes"]


def test_a_fresh_process_of_ours_has_our_devices_and_no_cache_but_the_one_it_is_given():
    assert "JAX_COMPILATION_CACHE_DIR" in os.environ, "of these tests"
    environment = bench_processes.own_environment({})
    assert not [name for name in environment if "CACHE" in name and name.startswith("JAX")]
    assert environment["JAX_NUM_CPU_DEVICES"] == "2"
    changed = bench_processes.own_environment({"JAX_COMPILATION_CACHE_DIR": "here"})
    assert changed["JAX_COMPILATION_CACHE_DIR"] == "here"


def test_starting_training_is_measured_with_and_without_a_cache(monkeypatch):
    caches = []

    def launch(command, environment, look):
        cache = Path(environment["JAX_COMPILATION_CACHE_DIR"])
        caches.append(cache.exists())
        cache.mkdir(exist_ok=True)
        look()
        out = Path(command[command.index("--out") + 1])
        out.mkdir()
        (out / "log.jsonl").write_text("{}")
        look()

    monkeypatch.setattr(bench_processes, "run_process", launch)
    startup = bench_processes.startup_seconds(2, never)
    assert caches == [False, True, False, True]
    for state in ("cold", "warm"):
        assert len(startup[state]) == 2
        for seconds in startup[state]:
            assert 0.0 < seconds["first_chunk_seconds"] <= seconds["end_seconds"]
    assert bench_report.startup_table({"startup": startup}).row_count == 2


@pytest.mark.slow
def test_solving_is_measured(peer, monkeypatch):
    monkeypatch.setattr(bench_processes, "NO_CACHE", {})
    flags = ("--num-seeds", "2", "--total-steps", "400", "--hidden-sizes", "8")
    ours = bench_processes.solve_seconds(flags, never)
    assert (ours["num_seeds"], ours["fraction_solved"], ours["steps_per_seed"]) == (2, 0.0, 400)
    assert ours["wall_seconds"] > ours["train_seconds"]
    script = SPOKEN.replace("RUN", '{"steps": settings["solve"], "steps_to_solve": None}')
    theirs = bench_processes.peer_solve_seconds(peer(script), 400, never)
    assert theirs["steps_per_seed"] == 400
    assert theirs["wall_seconds"] >= theirs["train_seconds"]
    table = bench_report.solve_table({"solve": {"a2c_jax": ours, "a": theirs}})
    assert table.row_count == 2


def test_a_process_that_fails_is_no_measurement():
    with pytest.raises(ProcessError, match="has ended with exit code 1: broken"):
        bench_workers.run_process(
            [sys.executable, "-c", "import sys; sys.exit('broken')"], dict(os.environ), never
        )
