"""Environment steps per second of ``train_seeds`` beside a plain JAX A2C.

Both in one process, interleaved; the article's network on CartPole-v1; compile time apart.

    python tests/benchmarks/throughput.py            # all three sizes
    python tests/benchmarks/throughput.py 64,8,16    # one S,N,T
"""

import os
import statistics
import sys
import time

import jax
import optax

import a2c_jax as a2c

SIZES = ((1, 8, 16), (1, 64, 16), (64, 8, 16))
ROUNDS = 7
SECONDS = 4.0  # of one run of the yardstick, about


def plain_runner(num_envs, num_steps, num_updates):
    """Returns ``run(keys)`` of the yardstick: one vmap over seeds."""
    from plain_a2c import make_train  # imports gymnax, which starts JAX's back end

    return jax.jit(jax.vmap(make_train(num_envs, num_steps, num_updates)))


def our_runner(num_envs, num_steps, num_updates):
    """Returns ``run(keys)`` of ``train_seeds`` with the same settings."""
    env = a2c.make_env("CartPole-v1")
    algorithm = a2c.actor_critic(
        env,
        a2c.article_network(env),
        optax.adam(3e-4),
        num_envs=num_envs,
        num_steps=num_steps,
        entropy_coef=0.001,
    )
    return lambda keys: a2c.train_seeds(algorithm, keys, num_updates)


def seconds(run, keys):
    """Wall time of one finished run."""
    start = time.perf_counter()
    jax.block_until_ready(run(keys))
    return time.perf_counter() - start


def compare(num_seeds, num_envs, num_steps):
    """Times both sides in turn; prints medians, spread and the ratio pair by pair."""
    num_updates = max(20, int(400_000 * SECONDS / (num_seeds * num_envs * num_steps)))
    keys = jax.random.split(jax.random.key(0), num_seeds)
    sides = {
        "plain": plain_runner(num_envs, num_steps, num_updates),
        "ours": our_runner(num_envs, num_steps, num_updates),
    }
    first = {name: seconds(run, keys) for name, run in sides.items()}
    taken = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, run in sides.items():
            taken[name].append(seconds(run, keys))
    steps = num_seeds * num_envs * num_steps * num_updates
    ratios = sorted(p / o for p, o in zip(taken["plain"], taken["ours"], strict=True))
    rates = {
        name: f"{steps / statistics.median(t) / 1e6:.2f} "
        f"[{steps / max(t) / 1e6:.2f}, {steps / min(t) / 1e6:.2f}]"
        for name, t in taken.items()
    }
    print(
        f"S={num_seeds} N={num_envs} T={num_steps} updates={num_updates}: "
        f"plain {rates['plain']}, ours {rates['ours']} M steps/s; "
        f"ratio {statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]; "
        f"first run plain {first['plain']:.1f} s, ours {first['ours']:.1f} s",
        flush=True,
    )


def main():
    """Runs the sizes named on the command line, or all."""
    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    print(
        f"jax {jax.__version__}, {jax.devices()}, load {os.getloadavg()[0]:.1f}, "
        f"{ROUNDS} rounds, medians [min, max]"
    )
    sizes = [tuple(map(int, a.split(","))) for a in sys.argv[1:]] or SIZES
    for size in sizes:
        compare(*size)


if __name__ == "__main__":
    main()
