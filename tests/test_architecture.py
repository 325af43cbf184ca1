"""A module of the core imports only from modules above it, and the core knows no upper floor."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "a2c_jax"
CORE = [
    "types", "checks", "threefry", "environments", "distributions", "products", "layers",
    "networks", "rollout", "episodes", "returns", "advantages", "losses", "metrics",
    "actor_critic", "fused_layout", "fused_cartpole", "fused_memory", "fused_networks",
    "fused_rollout", "fused_update", "fused_state", "fused", "q_actor_critic", "a3c", "article",
    "methods", "settings", "presets", "train", "evaluate", "diagnostics", "parallel", "sharding",
]  # fmt: skip


def imported(path):
    """The modules of this package that a file imports, as dotted names after ``a2c_jax``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith("a2c_jax"), f"{path}: write `from a2c_jax ...`"
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "a2c_jax":
            if node.module == "a2c_jax":
                yield from (alias.name for alias in node.names)
            else:
                yield node.module.removeprefix("a2c_jax.")


def test_every_module_of_the_core_has_its_place():
    found = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert found == set(CORE)


@pytest.mark.parametrize("name", CORE)
def test_imports_run_downwards(name):
    for other in imported(PACKAGE / f"{name}.py"):
        assert CORE.index(other) < CORE.index(name), f"{name} imports {other}"


def test_the_core_does_not_compile_print_or_touch_the_disk():
    for name in set(CORE) - {"parallel", "sharding"}:
        tree = ast.parse((PACKAGE / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"print", "open", "jax.jit", "jit"}, f"{name} calls {called}"
