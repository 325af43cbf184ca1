"""What the command line sets before JAX starts, and only then."""

import json
import os
import subprocess
import sys

import jax
import pytest

from a2c_jax.experiment.cli import startup

NUM_CORES = os.cpu_count() if sys.platform == "darwin" else len(os.sched_getaffinity(0))
LOOPS = "xla_cpu_small_while_loop_byte_threshold"
ASK = """
import json, os, sys, jax
from a2c_jax.experiment.cli import startup
startup.prepare_jax()
loaded = [name for name in ("seaborn", "pandas") if name in sys.modules]
from gymnax.visualize import vis_minatar
import matplotlib.pyplot as plt
import seaborn as sns
import seaborn.utils
from seaborn import color_palette
later = [loaded, callable(plt.figure), vis_minatar.sns.color_palette is color_palette]
print(json.dumps([later, os.environ.get("XLA_FLAGS", ""),
                  jax.config.jax_compilation_cache_dir, jax.local_device_count(),
                  float(jax.jit(lambda x: x + 1)(1.0))]))
"""


def test_a_process_of_its_own_loads_modules_later_and_gets_cores_flags_and_a_cache(tmp_path):
    env = {n: x for n, x in os.environ.items() if not n.startswith(("JAX_", "XLA_", "XDG_"))}
    env |= {"HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    out = subprocess.check_output([sys.executable, "-c", ASK], env=env, timeout=120)
    later, flags, *rest = json.loads(out)
    assert later == [[], True, True], "gymnax loads without pandas"
    assert LOOPS in flags
    assert rest == [str(tmp_path / ".cache" / "a2c_jax" / "compiled"), NUM_CORES, 2.0]


@pytest.fixture
def undecided(monkeypatch, tmp_path):
    """As if nothing had been chosen; caches are kept in ``caches``."""
    for name in [name for name in os.environ if name.startswith(("JAX_", "XLA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(type(jax.config), "jax_compilation_cache_dir", None, raising=False)


CORES = {"jax_num_cpu_devices": NUM_CORES}
CACHE = {
    "jax_compilation_cache_dir": "caches/a2c_jax/compiled",
    "jax_compilation_cache_max_size": 2**30,
    "jax_persistent_cache_min_compile_time_secs": 0.1,
}


@pytest.mark.parametrize(
    ("decide", "name", "value", "expected"),
    [
        ("use_all_cores", "XLA_FLAGS", "", CORES),
        ("use_all_cores", "XLA_FLAGS", "--xla_force_host_platform_device_count=3", {}),
        ("use_all_cores", "JAX_NUM_CPU_DEVICES", "3", {}),
        ("keep_compiled_programs", "XDG_CACHE_HOME", "caches", CACHE),
        ("keep_compiled_programs", "XDG_CACHE_HOME", "/dev/null", {}),  # nothing can be written
        ("keep_compiled_programs", "JAX_COMPILATION_CACHE_DIR", "elsewhere", {}),
    ],
)
def test_cores_and_a_bounded_cache_are_set_unless_decided(
    decide, name, value, expected, undecided, tmp_path, monkeypatch
):
    found = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(startup.jax.config, "update", found.__setitem__)
    getattr(startup, decide)()
    assert found == expected


def test_once_jax_has_started_nothing_is_touched(undecided, tmp_path):
    assert jax.devices()
    before = dict(jax.config.values)
    startup.prepare_jax()
    assert dict(jax.config.values) == before
    assert "XLA_FLAGS" not in os.environ
    assert not (tmp_path / "caches").exists()


@pytest.mark.parametrize(
    ("version", "flags", "added"),
    [
        ("0.10.2", "", True),
        ("0.11.2", "--xla_cpu_enable_fast_math=false", True),
        ("0.12.0", "", False),
        ("0.11.2", "--xla_backend_extra_options=mine", False),
        ("0.11.2", "a_file_of_flags", False),
    ],
)
def test_flags_are_added_to_others_for_versions_that_know_them(version, flags, added, monkeypatch):
    monkeypatch.setattr(startup.jaxlib, "__version__", version)
    monkeypatch.setenv("XLA_FLAGS", flags)
    startup.use_one_kernel_loops()
    assert os.environ["XLA_FLAGS"].split() == flags.split() + [startup._LOOPS] * added
