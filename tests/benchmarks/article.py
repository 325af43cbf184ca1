"""The article's run, 3000 episodes, beside its PyTorch loop: one process each, in turn.

    python tests/benchmarks/article.py                          # ours: 1 seed, then 64
    python tests/benchmarks/article.py --torch PYTHON           # and PyTorch's, run by PYTHON

PYTHON is an interpreter that has torch, numpy and gymnasium; it may be the same one. PyTorch runs
the printed loop, so the ratio is taken to ours as printed; the corrected one is timed beside it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

EPISODES = 3_000
TORCH_LOOP = Path(__file__).parent / "yardsticks" / "article_torch.py"
PRINTED, PYTORCH = "as printed, 1 seed", "PyTorch, 1 seed"
OURS = {PRINTED: 1, "corrected, 1 seed": 1, "corrected, 64 seeds": 64}  # seeds


def ours(num_seeds, as_printed):
    """Trains after a warm-up, which compiles; prints seconds, steps, and the warm-up's seconds."""
    import jax

    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    import a2c_jax as a2c

    env = a2c.make_env("CartPole-v1", max_steps_in_episode=200)
    algorithm = a2c.article(env, defects=a2c.AS_PRINTED if as_printed else a2c.CORRECTED)

    def train(number, seed):
        keys = jax.random.split(jax.random.key(seed), number)
        start = time.perf_counter()
        metrics = jax.block_until_ready(a2c.train_seeds(algorithm, keys, EPISODES).metrics)
        return time.perf_counter() - start, metrics.episode_length_sum.sum()

    warm_up, _ = train(min(num_seeds, jax.local_device_count()), seed=1)
    seconds, steps = train(num_seeds, seed=0)
    print(f"{seconds:.2f} s, {steps:.0f} steps; warm-up {warm_up:.2f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours", choices=OURS, help="only train, in this process")
    arguments = parser.parse_args()
    if arguments.ours:
        ours(OURS[arguments.ours], arguments.ours == PRINTED)
        return
    sides = {name: (sys.executable, __file__, "--ours", name) for name in OURS}
    if arguments.torch:
        sides[PYTORCH] = (arguments.torch, str(TORCH_LOOP), "time", str(EPISODES))
    taken = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, command in sides.items():
            start = time.perf_counter()
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            line = output.strip().splitlines()[-1]
            taken[name].append(float(line.split()[0]))
            wall = time.perf_counter() - start
            print(f"{name}: {line}; whole process {wall:.1f} s", flush=True)
    for name, seconds in taken.items():
        print(f"{name}: median {statistics.median(seconds):.2f} s")
    if arguments.torch:
        ratios = sorted(a / b for a, b in zip(taken[PYTORCH], taken[PRINTED], strict=True))
        spread = f"{statistics.median(ratios):.1f} [{ratios[0]:.1f}, {ratios[-1]:.1f}]"
        print(f"PyTorch over ours, both as printed, one seed, training alone: {spread}")


if __name__ == "__main__":
    main()
