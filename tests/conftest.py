"""Two CPU devices for every test, so that sharding over devices is always exercised."""

import atexit
import gc
import os
import shutil
import signal
import tempfile

# All workers, and the processes that tests start, share what they compile: made by the first
# process, so that nothing comes from an earlier version. With a size limit JAX locks the folder.
if "PYTEST_XDIST_WORKER" not in os.environ:
    compiled = tempfile.mkdtemp(prefix="a2c-jax-tests-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**32)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# A shell's background jobs ignore Ctrl-C, and so would the processes that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax
import pytest

from a2c_jax.experiment.cli.startup import use_one_kernel_loops

# As on the command line, whose runs are compared with ours to the bit.
use_one_kernel_loops()

jax.config.update("jax_num_cpu_devices", 2)

import a2c_jax as a2c  # noqa: E402

# Tracing creates many objects, and looking for leaked tracers collects garbage again and again.
gc.freeze()
gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True, scope="module")
def optimizations(request):
    """Turns off most of XLA's optimisations, a third of its time, here and in other processes."""
    are_off = request.node.get_closest_marker("optimized") is None
    jax.config.update("jax_disable_most_optimizations", are_off)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", str(int(are_off)))
        yield
    jax.config.update("jax_disable_most_optimizations", False)  # for doctests


@pytest.fixture(scope="session")
def cartpole():
    return a2c.make_env("CartPole-v1")


@pytest.fixture(scope="session")
def small_algorithm(cartpole):
    """CartPole with a small network: quick to compile, real in every other way."""
    import optax

    return a2c.actor_critic(
        cartpole,
        a2c.mlp_actor_critic(cartpole, hidden_sizes=(8,)),
        optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-2)),
        num_envs=4,
        num_steps=5,
    )


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=3, help="how often runs are killed")


def pytest_collection_modifyitems(items):
    """Runs files with slow tests first, so that no process is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
