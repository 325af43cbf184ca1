"""A module imports only from those above it, and the core knows no upper floor."""

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "a2c_jax"
CORE = [
    "spaces", "data", "network_types", "types", "checks", "record_checks", "keys",
    "_devices.loops", "_devices.threefry", "_devices.cpu_products", "_devices.fused_products",
    "_devices.products", "_devices", "environments._common", "environments.wrappers",
    "environments.gymnax", "environments.brax", "environments.craftax", "environments.jumanji",
    "environments.minatar", "environments.navix", "environments", "distributions", "layers",
    "networks", "masking", "torsos", "rollout", "agents", "normalization", "collectors",
    "returns", "advantages", "losses", "metrics", "algorithms.learner",
    "algorithms.actor_critic", "algorithms.q_actor_critic", "algorithms.a3c",
    "algorithms.article", "algorithms", "methods", "architectures", "settings", "building",
    "presets", "train", "evaluate", "diagnostics", "parallel", "seeds", "sharding",
]  # fmt: skip

# Rooms of the upper floor, in this order: a folder, or a module on its own.
ROOMS = [
    "errors", "files", "config", "statistics", "tables", "figures", "run", "sweeps", "populations",
    "comparison", "replay", "cli",
]  # fmt: skip


def path_of(name):
    """The file of a module, by its dotted name after ``a2c_jax``."""
    path = PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(path):
    """The modules of this package that a file imports, as dotted names after ``a2c_jax``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith("a2c_jax"), f"{path}: write `from a2c_jax ...`"
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "a2c_jax":
            package = node.module.removeprefix("a2c_jax").removeprefix(".")
            for alias in node.names:
                submodule = f"{package}.{alias.name}".removeprefix(".")
                yield submodule if not package or path_of(submodule).exists() else package


def test_every_module_of_the_core_has_its_place():
    files = {
        path for path in PACKAGE.rglob("*.py") if "experiment" not in path.parts
    } - {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}  # fmt: skip
    assert files == {path_of(name) for name in CORE}


@pytest.mark.parametrize("name", CORE)
def test_imports_run_downwards(name):
    for other in imported(path_of(name)):
        assert CORE.index(other) < CORE.index(name), f"{name} imports {other}"


def room_of(name):
    """The room of a dotted name after ``a2c_jax.``; None for the core."""
    words = name.split(".")
    return words[1] if words[0] == "experiment" and len(words) > 1 else None


def test_rooms_of_the_upper_floor_import_only_from_those_above():
    graph = {}
    for path in (PACKAGE / "experiment").rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        room = room_of(name)
        if room is None:  # the floor's own list of names
            continue
        graph[name] = set(imported(path))
        for other in graph[name]:
            if room_of(other) is not None:
                assert ROOMS.index(room_of(other)) <= ROOMS.index(room), f"{name} imports {other}"
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_the_core_does_not_compile_print_or_touch_the_disk():
    for name in set(CORE) - {"parallel", "sharding"}:
        for node in ast.walk(ast.parse(path_of(name).read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"print", "open", "jax.jit", "jit"}, f"{name} calls {called}"


def test_one_scan_steps_environments():
    """Rollouts, whole episodes, evaluation and recording share ``scan_steps``; checks trace one."""
    steppers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "environments" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"env.step", "environment.step"}
    }
    assert steppers == {"rollout.py", "record_checks.py"}


def test_no_record_is_asked_for_its_kind():
    for name in CORE:
        for node in ast.walk(ast.parse(path_of(name).read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"hasattr", "getattr", "setattr"}, f"{name} calls {called}"
