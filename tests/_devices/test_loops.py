"""The forms that GPUs and TPUs compile, run here, against plain JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from a2c_jax import _devices


@pytest.fixture
def elsewhere(monkeypatch):
    """Takes the form for other devices than a CPU."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, cpu, default: default(*args))


def recursion(later, row):
    reward, discount = row
    now = reward + discount * later
    return now, now


@pytest.mark.parametrize(("length", "unroll"), [(16, 16), (40, 1)])
def test_an_unrolled_scan_is_the_scan(elsewhere, length, unroll):
    rows = tuple(jax.random.uniform(jax.random.key(0), (2, length, 3)))
    ours = lambda rows: _devices.scan(recursion, jnp.ones(3), rows, reverse=True)  # noqa: E731
    expected = jax.lax.scan(recursion, jnp.ones(3), rows, reverse=True)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), ours(rows), expected)
    assert f"unroll={unroll}\n" in str(jax.make_jaxpr(ours)(rows))


@pytest.mark.parametrize("x64", [False, True])
def test_comparisons_find_the_first_largest_entry(elsewhere, x64):
    with jax.enable_x64(x64):
        for number in (1, 8, 9):
            x = np.random.default_rng(0).integers(0, 3, (50, number)).astype(np.float32)
            x[0] = -np.inf
            actions = jax.jit(jax.vmap(_devices.argmax))(x)
            np.testing.assert_array_equal(actions, np.argmax(x, -1))
            assert actions.dtype == (jnp.int64 if x64 else jnp.int32)


@pytest.mark.parametrize("unless", [False, True])
def test_a_shortcut_is_taken_on_a_cpu_only(unless):
    def branches(x, unless):
        return _devices.shortcut(lambda: x + 1, lambda: x + 2, unless=unless)

    assert jax.jit(branches)(0, unless) == 1 + unless
    cases = [
        jax.jit(branches)
        .trace(0, unless)
        .lower(lowering_platforms=(device,))
        .as_text()
        .count("case")
        for device in ("cpu", "cuda")
    ]
    assert cases[0] == cases[1] + 1


def test_a_cpu_keeps_its_loop():
    scan = jax.jit(lambda *rows: _devices.scan(recursion, jnp.ones(3), rows))
    rows = jax.ShapeDtypeStruct((16, 3), jnp.float32)
    assert scan.lower(rows, rows).compile().as_text().count("while(") == 1
