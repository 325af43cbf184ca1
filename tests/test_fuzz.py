"""Random arguments, right and wrong: the right value, or an error that names the argument."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

import a2c_jax as a2c

REAL = ("float32", "float64", "float16", "int8", "int32", "uint8", "bool")
WRONG_ARRAYS = (
    None, "0.5", ["a", "b", "c"], [[1.0], [1.0, 2.0]], [10**30] * 3, {"a": 1}, object(),
    np.ones(3, np.complex64), jnp.ones((3, 2), jnp.complex64), np.array([None] * 3),
)  # fmt: skip
NUMBERS = (0.5, 0, 1, True, np.float32(0.5), np.float16(1), np.array(0.5), jnp.array(0.5))
WRONG_NUMBERS = (
    -1, float("nan"), float("inf"), None, "0.5", 1j, [0.5], np.array([0.5, 0.5]), {}, -0.5,
    jnp.array([0.5, 0.5]), np.array([0.5]), jnp.array([1.0]), np.array("0.5"), np.ones((2, 2)),
)  # fmt: skip
PARAMS = jnp.array([[1.0, -0.5, 2.0], [0.25, 1.0, -1.0]])
NETWORK = a2c.Network(None, lambda p, obs: obs @ p[:, :2], lambda p, obs: obs @ p[:, 2])


def one_of(dice, choices):
    return choices[dice.integers(len(choices))]


def drawn(dice, kind, shape, is_wrong):
    """An argument, and what it means in float64; None if it is wrong whatever the others are."""
    wrap = one_of(dice, (np.asarray, jnp.asarray, lambda array: array.tolist()))
    right = dice.random(shape) < 0.5
    if kind in ("number", "coefficient", "count"):
        wrong = {"number": [5.0, 10**400], "coefficient": [10**400], "count": [2.5]}[kind]
        given = one_of(dice, (1, 2, 5, 7.0) if kind == "count" else NUMBERS)
        return (one_of(dice, [*WRONG_NUMBERS, *wrong]), None) if is_wrong else (given, float(given))
    if kind in ("where", "flags"):
        right.flat[0] |= kind == "where"
        wrong = [right.astype("int8"), right[:2], right[None], np.True_, "x", 1.0, {}]
        wrong += [right.tolist(), right & False if kind == "where" else None]
        given = None if kind == "where" and right.all() else np.asarray(right)
        return (one_of(dice, wrong), None) if is_wrong else (given, ... if given is None else right)
    if kind == "actions":
        right = right.astype(one_of(dice, ("int8", "int32", "int64", "uint8")))
        wrong = [right + 0.5, right.astype(bool), right - 1.0, right + 2, right[:2], right[:1], 0,
                 right[None], None, "x", 1j, [2**70] * 3, np.full(shape, 2**32)]  # fmt: skip
        return (one_of(dice, wrong), None) if is_wrong else (wrap(right), right)
    if is_wrong and kind != "obs" and dice.random() < 0.5:
        return one_of(dice, WRONG_ARRAYS), None
    shape = shape[1:] if kind == "last" else shape
    odd = [(0,), (7, *shape[1:])] + [(*shape, 1)] * (kind != "obs")  # which may have more axes
    shape = one_of(dice, odd) if is_wrong else shape
    numbers = dice.integers(-12, 13, (*shape, 2) if kind in ("obs", "outputs") else shape) / 4
    if dice.random() < 0.05 and numbers.size:
        numbers.flat[0] = np.nan
    types = REAL[:1] if kind == "obs" else REAL[:3] if np.isnan(numbers).any() else REAL
    name = one_of(dice, types)
    numbers = np.asarray(np.abs(numbers) if name == "uint8" else numbers).astype(name)
    return numbers if kind == "obs" else wrap(numbers), numbers.astype(float)


def lambda_return(rewards, discounts, continues, next_values, lambda_):
    returns, later = np.zeros(rewards.shape), next_values[-1]
    for t in reversed(range(len(rewards))):
        blend = (1 - lambda_) * next_values[t] + lambda_ * later
        future = continues[t] * blend + (1 - continues[t]) * next_values[t]
        returns[t] = later = rewards[t] + discounts[t] * future
    return (returns,)


def estimated(r, d, c, v, v2, lambda_=1.0):
    (targets,) = lambda_return(r, d, c, v2, lambda_)
    return targets - v, targets


def normal(a):
    return (a - a.mean()) / (a.std() + 1e-8)


def policy(outputs, actions, advantages, where):
    log_probs = np.take_along_axis(log_softmax(outputs, -1), actions[..., None], -1)[..., 0]
    return (-(log_probs * advantages)[where].mean(),)


def entropy(outputs, where):
    log_probs = log_softmax(outputs, axis=-1)
    return ((np.exp(log_probs) * log_probs).sum(axis=-1)[where].mean(),)


def loss(reward, action, terminated, truncated, obs, next_obs, where, discount, value, bonus):
    if not (truncated[:-1] & ~terminated[:-1]).any():
        next_obs = np.concatenate([obs[1:], next_obs[-1:]])  # the same where an episode continues
    weights, ended = np.asarray(PARAMS, float), terminated | truncated
    (outputs, values), next_values = np.split(obs @ weights, [2], -1), next_obs @ weights[:, 2]
    values, discounts = values[..., 0], discount * (1.0 - terminated)
    advantages, targets = estimated(reward, discounts, 1.0 - ended, values, next_values)
    total = policy(outputs, action, advantages, where)[0] + bonus * entropy(outputs, where)[0]
    return (total + value * ((targets - values) ** 2)[where].mean(),)


def our_loss(value_coef, entropy_coef, discount, where, **rows):
    shared = {"value_coef": value_coef, "entropy_coef": entropy_coef, "discount": discount}
    return a2c.actor_critic_loss(PARAMS, NETWORK, a2c.Transition(**rows), where=where, **shared)[0]


def our_curve(num_points, **sums):
    metrics = a2c.Metrics(**dict.fromkeys(a2c.Metrics._fields) | sums)
    return a2c.learning_curve(metrics, a2c.Algorithm(None, None, 40), num_points)


def curve(counts, sums, points):
    width = -(-counts.shape[-1] // int(points))
    ends = np.minimum(np.arange(0, counts.shape[-1], width) + width, counts.shape[-1])
    means = np.full((*counts.shape[:-1], len(ends)), np.nan)
    for *row, point in np.ndindex(means.shape):
        within = (*row, slice(point * width, ends[point]))
        if (count := counts[within].sum()) > 0:
            means[(*row, point)] = sums[within].sum() / count
        elif point:
            means[(*row, point)] = means[(*row, point - 1)]
    return 40 * ends, means


def arrays(names, **others):
    return dict.fromkeys(names.split(), "array") | others


FIVE = arrays("rewards discounts continues values next_values")
LAMBDA = {**FIVE, "lambda_": "number"}
TWO = arrays("values targets", where="where")
CASES = [
    (a2c.discounted_returns, lambda r, d, b: lambda_return(r, d, 1 + 0 * r, 0 * r + b, 1.0),
     arrays("rewards discounts", bootstrap_value="last")),
    (a2c.lambda_returns, lambda_return,
     arrays("rewards discounts continues next_values", lambda_="number")),
    (a2c.reinforce, lambda r, d, c, v, v2: estimated(r, d, c, 0.0, 0.0 * r), FIVE),
    (a2c.reinforce_with_baseline, lambda r, d, c, v, v2: estimated(r, d, c, v, 0.0 * r), FIVE),
    (a2c.td_actor_critic, lambda *five: estimated(*five, lambda_=0.0), FIVE),
    (a2c.n_step, estimated, FIVE),
    (a2c.sarsa, lambda r, d, c, v, v2: (v, r + d * v2), FIVE),
    (lambda lambda_, **five: a2c.gae(lambda_)(*five.values()), estimated, LAMBDA),
    (lambda lambda_, **five: a2c.normalized_advantages(a2c.gae(lambda_))(*five.values()),
     lambda *a: (normal(estimated(*a)[0]), estimated(*a)[1]), LAMBDA),
    (a2c.policy_loss, policy,
     {"outputs": "outputs", "actions": "actions", "advantages": "array", "where": "where"}),
    (a2c.value_loss, lambda v, t, where: (((t - v) ** 2)[where].mean(),), TWO),
    (a2c.entropy_loss, entropy, {"outputs": "outputs", "where": "where"}),
    (a2c.explained_variance, lambda v, t, where: (
        0.0 if t[where].var() == 0 else 1 - (t - v)[where].var() / t[where].var(),), TWO),
    (our_loss, loss, {"reward": "array", "action": "actions", "terminated": "flags",
     "truncated": "flags", "obs": "obs", "next_obs": "obs", "where": "where",
     "discount": "number", "value_coef": "coefficient", "entropy_coef": "coefficient"}),
    (our_curve, curve, arrays("episode_count episode_return_sum", num_points="count")),
]  # fmt: skip
UNUSED = {a2c.reinforce: "values", a2c.sarsa: "continues"}


def culprits(kinds, meant):
    """The arguments that may be refused: those without a meaning, or all if shapes disagree."""
    if wrong := {name for name, meaning in meant.items() if meaning is None}:
        return wrong
    last, length = {"obs", "outputs"}, np.shape(next(iter(meant.values())))[:1]
    shapes = {
        (*length, *meaning.shape) if kinds[name] == "last"
        else meaning.shape[:-1] if kinds[name] in last else meaning.shape
        for name, meaning in meant.items() if isinstance(meaning, np.ndarray)
    }  # fmt: skip
    return set(kinds) if len(shapes) > 1 or 0 in shapes.pop() else set()


@pytest.mark.parametrize("rounds", [100, pytest.param(600, marks=pytest.mark.slow("fuzz"))])
@pytest.mark.parametrize("case", CASES, ids=lambda case: ",".join(case[2]))
def test_the_right_value_or_an_error_that_names_the_argument(case, rounds):
    ours, expected, kinds = case
    dice, counts = np.random.default_rng(0), [0, 0]
    for _ in range(rounds):
        shape = one_of(dice, ((3,), (3, 2))) if ours is not our_loss else (3, 2)
        rate = one_of(dice, (0.0, 0.4 / len(kinds) ** 0.5))
        odd = {name for name in kinds if dice.random() < rate}
        draws = {name: drawn(dice, kind, shape, name in odd) for name, kind in kinds.items()}
        given = {name: draw[0] for name, draw in draws.items()}
        used = {name: draw[1] for name, draw in draws.items() if name != UNUSED.get(ours)}
        wrong = culprits(kinds, used)
        counts[bool(wrong)] += 1
        if wrong:
            with pytest.raises((ValueError, TypeError)) as error:
                ours(**given)
            message = str(error.value)
            assert any(name in message for name in odd | wrong), (message, given)
            assert "\n" not in message
            continue
        got, want = ours(**given), expected(*(draw[1] for draw in draws.values()))
        types = str([getattr(value, "dtype", "") for value in given.values()])
        tolerance = [2e-2 if "float16" in types else 1e-5] * 2
        for one, other in zip(got if len(want) > 1 else (got,), want, strict=True):
            np.testing.assert_allclose(one, other, *tolerance, err_msg=str(given))
    assert min(counts) > rounds / 10, counts
