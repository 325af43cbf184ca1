"""The benchmark ``bench.py``: what it measures and writes, and what it refuses. No time decides."""

import contextlib
import itertools
import json
import math
import os
import signal
import sys
from pathlib import Path

import accelerators
import bench
import bench_processes
import bench_sides
import flax.linen as nn
import jax
import jax.numpy as jnp
import psutil
import pytest
from bench_sides import Peer, ProcessError, Side, Size, start_peer

TINY = Size(2, 2, 3)
SETTINGS = {**TINY._asdict(), "num_updates": 4}
SPOKEN = f"""\
import sys
sys.path.insert(0, {str(bench_sides.YARDSTICKS)!r})
from worker import serve, total_steps

def prepare(settings):
    print("this is no answer")
    return lambda seed: RUN

serve(prepare, ("numpy",))
"""
STEPS = '{"steps": settings["num_seeds"] * total_steps(settings)}'
GOOD = SPOKEN.replace("RUN", STEPS)
DIES_LATER = SPOKEN.replace("RUN", f'{STEPS} if seed < 3 else sys.exit("out of luck")')
DIES = "import sys; sys.exit('No module named nothing')"
HANGS = "import time; time.sleep(60)"


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """Makes a peer of a script, which the command runs too."""

    def make(script):
        path = tmp_path / "rejax.py"
        path.write_text(script)
        monkeypatch.setitem(bench_sides.PEERS, "rejax", str(path))
        return Peer("rejax", sys.executable, path)

    return make


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--sizes", "64,8"], "argument --sizes: invalid size value: '64,8'"),
        (["--sizes", "0,8,5"], "argument --sizes: invalid size value: '0,8,5'"),
        (["--rounds", "0"], "argument --rounds: invalid positive value: '0'"),
        (["--peer", "rejax="], "rejax= is not NAME=PYTHON"),
        (["--peer", "sb3=python"], "sb3=python is not NAME=PYTHON, a name of ['rejax', "),
        (["--peer", "article=python", "--network", "default"], "loop has no other network"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(flags, sentence, capsys):
    with pytest.raises(SystemExit, match="2"):
        bench.main(flags)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("python", "sentence"),
    [
        ("no-such-python", "cannot be started: .* No such file or directory"),
        (sys.executable, r"has died with exit code 1; .*rejax\.py.*: No module named nothing$"),
    ],
)
def test_a_peer_that_cannot_run_is_told_before_measuring_begins(
    python, sentence, peer, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    peer(DIES)
    with pytest.raises(ProcessError, match=sentence):
        bench.main(["--peer", f"rejax={python}"])
    assert not (tmp_path / "runs").exists()


def test_a_peer_answers_once_for_each_run_and_its_last_words_are_told(peer):
    with start_peer(peer(DIES_LATER), SETTINGS) as (ready, run):
        assert ready["ready"] is True
        assert ready["steps"] == 2 * 2 * 3 * 4
        assert ready["first_seconds"] >= 0.0
        assert ready["versions"].keys() == {"python", "numpy"}
        for _ in range(2):
            assert run().keys() == {"seconds", "steps"}
        with pytest.raises(ProcessError, match=r"(?s)Peer rejax.*exit code 1.*out of luck"):
            run()


@pytest.mark.parametrize("begin", ["peer", "process"])
def test_ctrl_c_ends_what_is_waited_for(begin, peer):
    started = {
        "peer": lambda: contextlib.ExitStack().enter_context(start_peer(peer(HANGS), {})),
        "process": lambda: bench_processes.run_process(("-c", HANGS), {}),
    }
    before = set(psutil.Process().children())

    def stop(*_):
        assert set(psutil.Process().children()) - before, "it has begun"
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            started[begin]()
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert set(psutil.Process().children()) == before


def test_a_peer_runs_with_flags_of_its_own(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_something")
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    environment = bench_sides.peer_environment()
    assert not {"XLA_FLAGS", "JAX_ENABLE_X64", "JAX_COMPILATION_CACHE_DIR"} & environment.keys()
    assert environment["JAX_PLATFORMS"] == "cpu"
    assert environment["PATH"] == os.environ["PATH"]


def test_the_ratio_is_taken_round_by_round_and_a_side_that_fails_is_left_out():
    def opened(*seconds):
        each = iter(seconds)

        def run():
            taken = next(each)
            if taken is None:
                raise ProcessError("it has died")
            return {"seconds": taken, "steps": 12}

        return lambda num_updates: contextlib.nullcontext(Side(3, 1.0, {}, run))

    sides = {  # the first run of each tries the number of updates out
        "a2c_jax": opened(2.0, 1.0, 2.0, 4.0),
        "a": opened(2.0, 2.0, 6.0, 4.0),
        "b": opened(2.0, 1.0, None),
        "c": opened(None),
    }
    described, failed = bench_sides.measure_sides(sides, TINY, 3, 2.0)
    assert failed == {"b": "it has died", "c": "it has died"}
    assert described.keys() == {"a2c_jax", "a"}
    assert described["a"]["ours_is_faster"] == {
        "median": 2.0, "min": 1.0, "max": 3.0, "all": [2.0, 3.0, 1.0],
    }  # fmt: skip
    assert described["a2c_jax"]["steps_per_second"]["all"] == [12.0, 6.0, 3.0]


def test_the_number_of_updates_is_found_by_trying(monkeypatch):
    tried = []

    @contextlib.contextmanager
    def opened(num_updates):
        tried.append(num_updates)
        yield Side(num_updates, 0.0, {}, lambda: {"seconds": num_updates * 1e-3, "steps": 1})
        tried.append("closed")

    monkeypatch.setattr(bench_sides, "FIRST_STEPS_IN_JAX", 600)
    with contextlib.ExitStack() as stack:
        side = bench_sides.open_fitted("ours", opened, Size(10, 2, 3), 1.0, stack)
        assert side.num_updates == 1000
        assert tried == [10, "closed", 1000]
    assert tried[-1] == "closed"


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


def perceptron(layers, outputs):
    hidden = [part for units in layers[1:] for part in (nn.Dense(units), nn.tanh)]
    return nn.Sequential([*hidden, nn.Dense(outputs)])


@pytest.mark.parametrize(("network", "expected"), [("article", 18_432), ("default", 70_144)])
def test_the_arithmetic_of_a_step_is_what_autodiff_does(network, expected):
    rows, layers = 24, bench.LAYERS[network]
    policy, value = perceptron(layers, 2), perceptron(layers, 1)
    obs = jnp.zeros((rows, 4))
    params = jax.eval_shape(
        lambda key: (policy.init(key, obs), value.init(key, obs)), jax.random.key(0)
    )

    def step(params, obs, next_obs):
        def loss(params):
            log_probs = jax.nn.log_softmax(policy.apply(params[0], obs))
            targets = jax.lax.stop_gradient(value.apply(params[1], next_obs))
            return jnp.sum(log_probs) + jnp.sum((value.apply(params[1], obs) - targets) ** 2)

        return policy.apply(params[0], obs), jax.grad(loss)(params)

    assert products(jax.jit(step).trace(params, obs, obs).jaxpr.jaxpr) == expected * rows
    assert bench.flops_per_step(layers) == expected

    state = jax.eval_shape(bench_sides.make_algorithm(TINY, network).init, jax.random.key(0))
    kernels = [leaf for leaf in jax.tree.leaves(state.params["policy"]) if leaf.ndim == 2]
    ours = sorted(math.prod(kernel.shape) for kernel in kernels)
    assert ours == sorted(a * b for a, b in itertools.pairwise((*layers, 2)))


@pytest.fixture(scope="module")
def child():
    """What a fresh process tells of training."""
    return bench_processes.train_in_child(TINY, "article", 4, 3, bench_processes.NO_CACHE)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(bench, "MODULES", ("json",))
    monkeypatch.setattr(bench_sides, "FIRST_STEPS_IN_JAX", 12)


@pytest.mark.slow("a benchmark")
def test_the_command_measures_prints_and_writes(child, peer, tmp_path, monkeypatch, quick, capsys):
    def train_in_child(size, network, num_updates, runs, changes):
        return {**child, "run_seconds": child["run_seconds"][:runs]}

    assert 10e6 < child["imported_memory_bytes"] < child["peak_memory_bytes"]
    monkeypatch.setattr(bench_processes, "train_in_child", train_in_child)
    peer(GOOD)
    flags = [
        "--sizes", "2,2,3", "--rounds", "3", "--seconds", "1e-9", "--peer",
        f"rejax={sys.executable}", "--scaling", "1", "3",
    ]  # fmt: skip
    out = tmp_path / "out"
    assert bench.main([*flags, "--out", str(out)]) == 0
    assert jax.config.jax_enable_compilation_cache, "of these tests"
    screen = capsys.readouterr().out
    for words in ("steps a second", "2,2,3 | rejax | ", "fraction_of_matmul", "seconds a seed"):
        assert words in screen
    record = json.loads((out / "bench.json").read_text())
    assert record["finished"] is True
    assert record["machine"].keys() >= {"cpu", "cores", "memory_bytes", "platform", "device"}
    assert record["versions"].keys() == {"a2c_jax", "rejax"}
    assert record["versions"]["a2c_jax"].keys() >= {"python", "jax", "jaxlib", "flax", "optax"}
    assert record["flags"].keys() >= {"XLA_FLAGS", "jax_num_cpu_devices"}
    assert record["flags"]["jax_enable_compilation_cache"] is False, "a first run compiles"
    assert len(record["load_average_before"]) == len(record["load_average_after"]) == 3
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
    assert len(size["matmul_flops_per_second"]["all"]) == 3
    stages = ("trace", "compile", "warm_compile", "first_run")
    assert all(size["process"][f"{stage}_seconds"] > 0.0 for stage in stages)
    assert size["process"]["peak_memory_bytes"] == child["peak_memory_bytes"]
    assert [row["num_seeds"] for row in record["scaling"]] == [1, 3]
    assert record["scaling"][1]["seconds_per_seed"] == [
        seconds / 3 for seconds in child["run_seconds"][1:]
    ]


def test_what_fails_is_told_and_what_was_measured_before_ctrl_c_is_kept(
    monkeypatch, quick, tmp_path, capsys
):
    def measure_sides(opened, size, *_):
        if size.num_seeds == 2:
            raise KeyboardInterrupt
        one = bench_sides.spread([1.0])
        figures = {"num_updates": 2, "first_seconds": 1.0, "steps_per_second": one}
        return {"a2c_jax": {**figures, "ours_is_faster": one}}, {"a": "it has died."}

    monkeypatch.setattr(bench_sides, "measure_sides", measure_sides)
    monkeypatch.setattr(bench, "matmul_flops_per_second", lambda rounds: [1.0])
    monkeypatch.setattr(bench_processes, "__file__", "no-such-script")
    assert bench.main(["--sizes", "1,2,3", "2,2,3", "--out", str(tmp_path / "out")]) == 130
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert record["finished"] is False
    assert [size["num_seeds"] for size in record["sizes"]] == [1]
    assert "load_average_after" in record
    screen = capsys.readouterr().out
    assert "Left out: it has died." in screen
    assert screen.count("has ended with exit code 2: ") == 1


def test_a_fresh_process_of_ours_has_our_devices_and_no_cache_but_the_one_it_is_given():
    assert "JAX_COMPILATION_CACHE_DIR" in os.environ, "of these tests"
    environment = bench_processes.own_environment({})
    assert not [name for name in environment if "CACHE" in name and name.startswith("JAX")]
    assert environment["JAX_NUM_CPU_DEVICES"] == "2"
    changed = bench_processes.own_environment({"JAX_COMPILATION_CACHE_DIR": "here"})
    assert changed["JAX_COMPILATION_CACHE_DIR"] == "here"


def test_starting_training_is_measured_with_and_without_a_cache(monkeypatch):
    def launch(flags, out, changes):
        cache = Path(changes["JAX_COMPILATION_CACHE_DIR"])
        begun = cache.exists()
        cache.mkdir(exist_ok=True)
        return {"warm": begun, "empty": not out.exists()}

    monkeypatch.setattr(bench_processes, "launch_training", launch)
    startup = bench_processes.startup_seconds(2)
    assert startup["cold"] == [{"warm": False, "empty": True}] * 2
    assert startup["warm"] == [{"warm": True, "empty": True}] * 2


@pytest.mark.slow("a benchmark")
def test_solving_is_measured(peer, monkeypatch, capsys):
    monkeypatch.setattr(bench_processes, "NO_CACHE", {})
    flags = ("--num-seeds", "2", "--total-steps", "400", "--hidden-sizes", "8")
    ours = bench_processes.solve_seconds(flags)
    assert (ours["num_seeds"], ours["fraction_solved"], ours["steps_per_seed"]) == (2, 0.0, 400)
    assert ours["end_seconds"] > ours["train_seconds"]
    assert 0.0 < ours["first_chunk_seconds"] < ours["end_seconds"]
    script = SPOKEN.replace("RUN", '{"steps": settings["solve"], "steps_to_solve": None}')
    theirs = bench_processes.peer_solve_seconds(peer(script), 400)
    assert theirs["steps_per_seed"] == 400
    assert theirs["end_seconds"] >= theirs["train_seconds"]
    assert theirs["fraction_solved"] == 0.0
    starts = [{"first_chunk_seconds": 1.0, "end_seconds": 2.0}]
    startup = {"cold": starts, "warm": starts}
    bench.print_bench({"sizes": [], "startup": startup, "solve": {"a2c_jax": ours, "a": theirs}})
    screen = capsys.readouterr().out
    assert "start, warm cache: first_chunk_seconds | 1 [1, 1]" in screen
    assert "solving, a: num_seeds | 1" in screen


PROGRAM = """\
HloModule jit_run, is_scheduled=true

%fused (param_0: f32[8,4], param_1: s32[]) -> f32[1,4] {
  %param_0 = f32[8,4]{1,0} parameter(0)
  %param_1 = s32[] parameter(1)
  ROOT %row = f32[1,4]{1,0} dynamic-slice(%param_0, %param_1), dynamic_slice_sizes={1,4}
}

%inner (state.1: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %state.1 = (s32[], f32[8,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%state.1), index=0
  %rows = f32[8,4]{1,0} get-tuple-element(%state.1), index=1
  %taken = f32[1,4]{1,0} fusion(%rows, %i), kind=kLoop, calls=%fused, metadata={op_name="take"}
}

%updates (state.2: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %state.2 = (s32[], f32[8,4]{1,0}) parameter(0)
  %old = f32[8,4]{1,0} get-tuple-element(%state.2), index=1
  %new = f32[8,4]{1,0} copy(%old)
  %rollout = (s32[], f32[8,4]{1,0}) while(%state.2), condition=%c, body=%inner, """ + (
    """backend_config={"known_trip_count":{"n":"16"}}
}

ENTRY %main (start: f32[8,4]) -> f32[8,4] {
  %start = (s32[], f32[8,4]{1,0}) parameter(0)
  %all = (s32[], f32[8,4]{1,0}) while(%start), condition=%c, body=%updates, """
    """backend_config={"known_trip_count":{"n":"100"}}
}
"""
)


FUSION = """\
%fused (x: f32[4,8]) -> f32[4,2] {
  %x = f32[4,8]{1,0} parameter(0)
  %twice = f32[4,8]{1,0} add(%x, %x)
  %left = f32[4,1,8]{2,1,0} bitcast(%twice)
  %square = f32[4,8]{1,0} multiply(%twice, %twice)
  %right = f32[4,1,8]{2,1,0} bitcast(%square)
  %both = f32[4,2,8]{2,1,0} concatenate(%left, %right), dimensions={1}
  %zero = f32[] constant(0)
  ROOT %sums = f32[4,2]{1,0} reduce(%both, %zero), dimensions={2}, to_apply=%sum
}
"""


def test_operations_count_for_each_output_that_needs_them():
    """64 additions of the sums, 32 squares, and `twice` for the sums of both."""
    assert accelerators.operations(accelerators.computations(FUSION)["fused"]) == 64 + 32 + 2 * 32


def test_kernels_and_bytes_of_an_update_are_counted_with_its_loops():
    """A copy of 128 bytes, read and written; 16 slices of 16 bytes by an index of 4."""
    kernels = accelerators.kernels_of_update(PROGRAM)
    assert sorted((k.times, k.kind, k.bytes) for k in kernels) == [
        (1, "copy", 256), (16, "fusion", 36),
    ]  # fmt: skip
    assert accelerators.elements("(f32[8,4]{1,0}, pred[3])") == 32
    assert accelerators.size("(f32[8,4]{1,0}, pred[3], s32[])") == 128 + 3 + 4
