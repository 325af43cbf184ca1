import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_identical

import a2c_jax as a2c
from a2c_jax import parallel, seeds

pytestmark = pytest.mark.slow("bits")

UPDATES = 8


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(0), 6)


@pytest.fixture(scope="module")
def trained(small_algorithm, keys):
    """All seeds, on two devices, in batches of 8 with padding."""
    assert jax.local_device_count() == 2
    return a2c.train_seeds(small_algorithm, keys, UPDATES)


def rows(result, index):
    return jax.tree.map(lambda leaf: leaf[index], result)


def test_a_seed_is_train_itself_which_is_init_then_run_bit_for_bit(small_algorithm, keys, trained):
    alone = jax.jit(lambda key: a2c.train(small_algorithm, key, UPDATES))
    for seed in range(6):
        assert_identical(rows(trained, seed), alone(keys[seed]))
    start = jax.jit(small_algorithm.init)(keys[0])
    continued = jax.jit(lambda state: a2c.run(small_algorithm, state, UPDATES))(start)
    assert_identical(rows(trained, 0), continued)
    losses = np.asarray(trained.metrics.value_loss)
    assert len(np.unique(losses, axis=0)) == 6, "seeds differ"


@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_a_seed_does_not_depend_on_the_others_bit_for_bit(
    small_algorithm, keys, trained, batch_size
):
    def train(keys, **options):
        return a2c.train_seeds(small_algorithm, keys, UPDATES, batch_size=batch_size, **options)

    everyone = trained if batch_size is None else train(keys)
    assert_identical(everyone, rows(train(keys[::-1]), slice(None, None, -1)))
    assert_identical(rows(everyone, slice(2, 5)), train(keys[2:5]))
    if batch_size != 2:  # a single seed has a single device, and so a program of its own
        assert_identical(rows(everyone, slice(4, 5)), train(keys[4:5]))
        assert_identical(everyone, train(keys, devices=jax.devices()[:1]))


def test_batches_are_vmapped_where_the_device_is_no_cpu(
    small_algorithm, keys, trained, monkeypatch
):
    monkeypatch.setattr(parallel.SeedLayout, "on_cpu", False)
    # One update more, so that the compiled program of a CPU is not taken.
    vmapped = a2c.train_seeds(small_algorithm, keys, UPDATES + 1, batch_size=2)
    np.testing.assert_allclose(
        vmapped.metrics.value_loss[:, :UPDATES], trained.metrics.value_loss, rtol=1e-3, atol=1e-6
    )


def test_old_style_keys_are_taken_too(small_algorithm, keys, trained):
    result = a2c.train_seeds(small_algorithm, jax.random.key_data(keys), UPDATES)
    np.testing.assert_array_equal(result.metrics.value_loss, trained.metrics.value_loss)


def test_orthogonal_networks_train_in_batches_on_two_devices(cartpole, keys):
    """A batch of factorisations over two CPU devices never ended with jaxlib 0.10.2."""
    algorithm = a2c.presets.build(a2c.presets.general, cartpole)
    result = a2c.train_seeds(algorithm, keys, 2, batch_size=3)
    assert np.isfinite(result.metrics.value_loss).all()


@pytest.mark.parametrize("count", [0, -3, 1.5, True])
def test_fewer_than_one_update_is_refused(small_algorithm, keys, count):
    starts = {a2c.train: keys[0], a2c.run: None, a2c.train_seeds: keys}
    for function, start in starts.items():
        with pytest.raises(ValueError, match=f"num_updates is {count}"):
            function(small_algorithm, start, count)


def test_bad_arguments_are_named(small_algorithm, keys):
    def train(keys, **options):
        a2c.train_seeds(small_algorithm, keys, UPDATES, **options)

    with pytest.raises(ValueError, match="keys holds 3 keys of which only 2 differ"):
        train(keys[np.array([0, 1, 0])])
    for wrong in (keys[0], keys[:0]):
        with pytest.raises(ValueError, match=rf"keys has shape \({'0,' * wrong.ndim}\)"):
            train(wrong)
    with pytest.raises(ValueError, match="batch_size is 0"):
        train(keys, batch_size=0)
    with pytest.raises(ValueError, match="devices is empty"):
        train(keys, devices=[])


def test_only_a_few_calls_wait_for_their_turn(monkeypatch):
    begun, done, most = [], [], []

    def program(group):
        begun.append(group)
        most.append(len(begun) - len(done))
        return group

    monkeypatch.setattr(parallel.jax, "block_until_ready", done.extend)
    assert parallel.run_groups(program, range(10)) == begun == list(range(10))
    assert done == list(range(7))
    assert max(most) == 3


def test_chunks_and_continued_seeds_are_the_whole_run_bit_for_bit(small_algorithm, keys, trained):
    said = []
    chunked = a2c.train_seeds(
        small_algorithm, keys, UPDATES, chunk_updates=3,
        on_chunk=lambda done, metrics: said.append((done, metrics.entropy)),
    )  # fmt: skip
    assert_identical(chunked, trained)
    jax.jit(lambda result: jax.tree.map(jnp.sum, result.metrics))(chunked)  # on the same devices
    assert [done for done, _ in said] == [3, 6, 8]
    np.testing.assert_array_equal(
        np.concatenate([entropy for _, entropy in said], axis=1), trained.metrics.entropy
    )
    first = a2c.train_seeds(small_algorithm, keys, 6, chunk_updates=3)
    rest = a2c.run_seeds(small_algorithm, first.state, 2)
    assert_identical(rest.state, trained.state)
    assert_identical(rest.metrics, rows(trained.metrics, (slice(None), slice(6, None))))


@pytest.mark.parametrize(
    ("updates", "chunk", "lengths"),
    [(8, 3, [3, 3, 2]), (7, 3, [3, 4]), (3, 2, [3]), (1, None, [1]), (100, None, [5] * 20)],
)
def test_no_chunk_is_a_single_update(updates, chunk, lengths):
    assert seeds._chunks(updates, chunk) == lengths


def test_training_starts_from_given_parameters(small_algorithm, keys, trained):
    given = jax.tree.map(lambda leaf: leaf[0], trained.state.params)
    state = jax.jit(small_algorithm.init)(keys[0], given)
    assert_identical(state.params, given)
    other = jax.jit(small_algorithm.init)(keys[0])
    assert_identical(state._replace(agent=other.agent), other)
    result = a2c.train_seeds(small_algorithm, keys, 2, params=given)
    alone = jax.jit(lambda params: a2c.train(small_algorithm, keys[1], 2, params=params))(given)
    assert_identical(rows(result, 1), alone)
    from_agent = a2c.train_seeds(small_algorithm, keys, 2, params=rows(trained.state.agent, 0))
    assert_identical(from_agent, result)
    wider = a2c.mlp_actor_critic(a2c.make_env("CartPole-v1"), (9,)).init(keys[0])
    for wrong in (wider, {"policy": given["policy"]}):
        with pytest.raises(ValueError, match=r"params has .* but the network has"):
            a2c.train_seeds(small_algorithm, keys, 2, params=wrong)


def test_continued_seeds_have_an_axis(small_algorithm, keys, trained):
    for wrong in (rows(trained.state, 0), (), (np.ones(2), np.ones(3))):
        with pytest.raises(ValueError, match="states has the leading axes"):
            a2c.run_seeds(small_algorithm, wrong, 2)


@pytest.mark.parametrize("chunk", [0, 1, 2.5])
def test_a_chunk_has_at_least_two_updates(small_algorithm, keys, chunk):
    with pytest.raises(ValueError, match=f"chunk_updates is {chunk}; give a whole number"):
        a2c.train_seeds(small_algorithm, keys, 4, chunk_updates=chunk)
