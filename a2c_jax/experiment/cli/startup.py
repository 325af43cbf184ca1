"""The command line's settings of its own process before JAX starts; a user's take precedence."""

import contextlib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jaxlib

_LOOPS = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=65536"

_config: Any = jax.config  # older versions do not declare its names to type checkers


def prepare_jax() -> None:
    """Sets up JAX for the command line, unless it has started already."""
    before = _config.jax_num_cpu_devices
    with contextlib.suppress(RuntimeError):  # once JAX has started, it refuses a change
        jax.config.update("jax_num_cpu_devices", 2 if before == 1 else 1)
        jax.config.update("jax_num_cpu_devices", before)
        use_all_cores()
        use_one_kernel_loops()
        keep_compiled_programs()
    import_gymnax_without_pictures()  # starts JAX


def import_gymnax_without_pictures() -> None:
    """Imports gymnax in a quarter of its two seconds: drawing imports libraries of pictures."""
    later = {"seaborn", "matplotlib.pyplot"} - sys.modules.keys()
    for name in later:
        module: Any = ModuleType(name)
        module.__getattr__ = lambda attr, name=name: getattr(importlib.import_module(name), attr)
        sys.modules[name] = module
    try:
        importlib.import_module("gymnax")
    finally:
        for name in later:
            del sys.modules[name]


def use_all_cores() -> None:
    """Makes each CPU core a device, so that seeds train in parallel, unless their number is set."""
    if "JAX_NUM_CPU_DEVICES" in os.environ or "device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    jax.config.update("jax_num_cpu_devices", cores or 1)


def use_one_kernel_loops() -> None:
    """Lets XLA's CPU back end compile a small loop, such as a rollout, into one kernel.

    Training is 1.29 [0.99, 1.45] times as fast with the article's network, and 1.05 [0.64, 1.23]
    times with the default one, since calling a step's kernels takes longer than running them.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    is_file = flags and not flags.lstrip().startswith("-")
    # XLA ends the process on an unknown flag; the flag was measured with these versions.
    is_known = jaxlib.__version__.startswith(("0.10.", "0.11."))
    if is_known and not is_file and "xla_backend_extra_options" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_LOOPS}".strip()


def keep_compiled_programs() -> None:
    """Caches at most a gigabyte of compiled programs on disk, by default among the user's caches.

    Variables such as ``JAX_COMPILATION_CACHE_DIR`` or ``JAX_ENABLE_COMPILATION_CACHE`` override it.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or _config.jax_compilation_cache_dir:
        return
    with contextlib.suppress(OSError, RuntimeError):  # no home, or read-only: nothing is kept
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches, "a2c_jax", "compiled")
        folder.mkdir(parents=True, exist_ok=True)
        values = {
            "jax_compilation_cache_dir": str(folder),
            "jax_compilation_cache_max_size": 2**30,
            "jax_persistent_cache_min_compile_time_secs": 0.1,
        }
        unset = [name for name in values if name.upper() not in os.environ]
        for name in unset if os.access(folder, os.W_OK) else ():
            jax.config.update(name, values[name])
