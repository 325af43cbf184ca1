"""A module imports only from those above it, and the core knows no upper floor."""

import ast
import graphlib
from pathlib import Path

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
    "algorithms.article", "algorithms", "settings", "presets", "train", "evaluate",
    "diagnostics", "parallel", "seeds", "sharding",
]  # fmt: skip

# Rooms of the upper floor, in this order: a folder, or a module on its own.
ROOMS = [
    "files", "envs", "config", "statistics", "tables", "figures", "run", "sweeps",
    "comparison", "replay", "cli",
]  # fmt: skip


def path_of(name):
    """The file of a module, by its dotted name after ``a2c_jax``."""
    path = PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def nodes(path, kind):
    """The nodes of a kind in the syntax tree of a file."""
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kind)]


def imported(path):
    """The modules of this package that a file imports, as dotted names after ``a2c_jax``."""
    names = [alias.name for node in nodes(path, ast.Import) for alias in node.names]
    assert "a2c_jax" not in {name.split(".")[0] for name in names}, f"{path}: write `from a2c_jax`"
    for node in nodes(path, ast.ImportFrom):
        if (node.module or "").split(".")[0] == "a2c_jax":
            package = node.module.removeprefix("a2c_jax").removeprefix(".")
            for alias in node.names:
                submodule = f"{package}.{alias.name}".removeprefix(".")
                yield submodule if not package or path_of(submodule).exists() else package


def test_modules_of_the_core_have_their_places_and_import_downwards():
    files = {path for path in PACKAGE.rglob("*.py") if "experiment" not in path.parts}
    others = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}
    assert files - others == {path_of(name) for name in CORE}
    for place, name in enumerate(CORE):
        for other in imported(path_of(name)):
            assert CORE.index(other) < place, f"{name} imports {other}"


def room_of(name):
    """The room of a dotted name after ``a2c_jax.``; None for the core."""
    words = name.split(".")
    return words[1] if words[0] == "experiment" and len(words) > 1 else None


def test_rooms_of_the_upper_floor_import_only_from_those_above():
    graph = {}
    for path in (PACKAGE / "experiment").rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if room_of(name) is None:  # the floor's own list of names
            continue
        graph[name] = set(imported(path))
        for other in filter(room_of, graph[name]):
            rooms = [ROOMS.index(room_of(one)) for one in (other, name)]
            assert rooms == sorted(rooms), f"{name} imports {other}"
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_the_core_does_not_compile_print_open_files_or_ask_a_record_for_its_kind():
    for name in CORE:
        never = {"print", "open", "jit", "hasattr", "getattr", "setattr"}
        never |= {"jax.jit"} if name not in ("parallel", "sharding") else set()
        never -= {"getattr"} if name == "settings" else set()  # it reads fields by name
        called = {ast.unparse(node.func) for node in nodes(path_of(name), ast.Call)}
        assert not called & never, name


def test_one_scan_steps_environments():
    """Rollouts, whole episodes, evaluation and recording share ``scan_steps``; checks trace one."""
    steppers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "environments" not in path.parts
        for node in nodes(path, ast.Attribute)
        if ast.unparse(node) in {"env.step", "environment.step"}
    }
    assert steppers == {"rollout.py", "record_checks.py"}
