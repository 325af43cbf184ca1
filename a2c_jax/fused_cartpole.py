"""CartPole-v1's physics on four vectors, in a form that a kernel can contain."""

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax.types import Environment

_GRAVITY, _FORCE, _TIME = 9.8, 10.0, 0.02  # m/s², N, s
_POLE_MASS, _TOTAL_MASS, _HALF_LENGTH = 0.1, 1.1, 0.5  # kg, kg, m
_POLE_MOMENT = _POLE_MASS * _HALF_LENGTH
_MAX_X, _MAX_THETA = 2.4, 12 * 2 * np.pi / 360  # m, rad


def pushed(cart: list[jax.Array], action: jax.Array) -> list[jax.Array]:
    """Where a push leads in one step of 0.02 s (Euler).

    Args:
        cart: position, speed, angle and angular speed, each ``[...]``.
        action: 0.0 to the left, 1.0 to the right, ``[...]``.

    Source: Barto, Sutton & Anderson (1983), as in Gym and gymnax.
    """
    x, x_dot, theta, theta_dot = cart
    force = _FORCE * action - _FORCE * (1.0 - action)
    cos, sin = jnp.cos(theta), jnp.sin(theta)
    push = (force + _POLE_MOMENT * theta_dot * theta_dot * sin) / _TOTAL_MASS
    theta_acc = (_GRAVITY * sin - cos * push) / (
        _HALF_LENGTH * (4.0 / 3.0 - _POLE_MASS * cos * cos / _TOTAL_MASS)
    )
    x_acc = push - _POLE_MOMENT * theta_acc * cos / _TOTAL_MASS
    return [
        x + _TIME * x_dot,
        x_dot + _TIME * x_acc,
        theta + _TIME * theta_dot,
        theta_dot + _TIME * theta_acc,
    ]


def has_fallen(cart: list[jax.Array]) -> jax.Array:
    """Whether the cart has left the track or the pole leans too far, bool ``[...]``."""
    x, theta = cart[0], cart[2]
    return (x < -_MAX_X) | (x > _MAX_X) | (theta < -_MAX_THETA) | (theta > _MAX_THETA)


# Steps that stay within a limit by little, and that cross it: x, its speed, θ, its speed.
_PROBES = tuple(
    (*cart, *pole)
    for side in (-1.0, 1.0)
    for cart, pole in [
        ((2.39 * side, 0.3 * side), (0.1, -0.4)),
        ((2.395 * side, 0.3 * side), (0.1, -0.4)),
        ((0.5, 0.3), (0.2 * side, 0.4 * side)),
        ((0.5, 0.3), (0.206 * side, 0.4 * side)),
    ]
)


def require_cartpole(env: Environment) -> None:
    """Raises ValueError unless ``env`` is CartPole-v1 with the usual physics.

    Its steps are compared with :func:`pushed` from a few states, since a record of functions
    does not tell what it was made with. The time limit may be any.
    """
    if env.name != "CartPole-v1":
        raise ValueError(
            f"env is {env.name}, and the fused kernel contains CartPole-v1 alone; give that, or "
            "use actor_critic."
        )
    with jax.ensure_compile_time_eval():
        start, _ = env.reset(jax.random.key(0))
        for probe in _PROBES:
            cart = [jnp.float32(value) for value in probe]
            names = ("x", "x_dot", "theta", "theta_dot")
            state = start.replace(**dict(zip(names, cart, strict=True)))
            timestep = env.step(jax.random.key(0), state, jnp.int32(1))
            after = pushed(cart, jnp.float32(1.0))
            same = np.allclose(timestep.obs, jnp.stack(after), rtol=1e-4, atol=1e-5)
            ended_alike = timestep.terminated == has_fallen(after)
            if not (same and ended_alike and timestep.reward == 1.0):
                raise ValueError(
                    "env is a CartPole-v1 with other physics or rewards than the usual, which the "
                    "fused kernel does not contain; change nothing but max_steps_in_episode, or "
                    "use actor_critic."
                )
