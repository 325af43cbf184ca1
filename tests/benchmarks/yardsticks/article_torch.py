"""The article's loop in PyTorch, line by line, and the same loop with its defects mended.

    python article_torch.py record tests/data/article_in_pytorch.json
    python article_torch.py time [EPISODES]
    python article_torch.py SETTINGS

The first records a few updates of both, for ``tests/test_article_in_pytorch.py`` to compare with;
the second times the printed loop; the third is a yardstick, see ``worker.py``: it plays one
episode for each of ``num_updates``, of one seed in one environment, whatever else it is told. It
needs torch, numpy and gymnasium.

``a2c`` differs from what is printed in this: gym is gymnasium now, so ``reset`` and ``step``
return one thing more; ``Variable`` has done nothing since PyTorch 0.4; ``break`` stands where
the episode ends, not under ``if episode % 10 == 0``, where it would step on behind the end; the
line that printing broke in two, ``rewards[t] + GAMMA * Qval``, is whole; nothing is plotted.
"""
# ruff: noqa: N806, N812 (the article's names)

import json
import platform
import sys
import time

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim

hidden_size = 256
learning_rate = 3e-4
GAMMA = 0.99
num_steps = 300
max_episodes = 3000


class ActorCritic(nn.Module):
    """The printed network."""

    def __init__(self, num_inputs, num_actions, hidden_size):
        super().__init__()
        self.num_actions = num_actions
        self.critic_linear1 = nn.Linear(num_inputs, hidden_size)
        self.critic_linear2 = nn.Linear(hidden_size, 1)

        self.actor_linear1 = nn.Linear(num_inputs, hidden_size)
        self.actor_linear2 = nn.Linear(hidden_size, num_actions)

    def forward(self, state):
        state = torch.from_numpy(state).float().unsqueeze(0)
        value = F.relu(self.critic_linear1(state))
        value = self.critic_linear2(value)

        policy_dist = F.relu(self.actor_linear1(state))
        policy_dist = F.softmax(self.actor_linear2(policy_dist), dim=1)

        return value, policy_dist


def sample(state, dist):
    """Draws an action."""
    return np.random.choice(dist.size, p=np.squeeze(dist))


def a2c(env, actor_critic, act=sample, max_episodes=max_episodes, after_update=None):
    """The printed loop. Returns the lengths of all episodes, each one short, as printed."""
    ac_optimizer = optim.Adam(actor_critic.parameters(), lr=learning_rate)

    all_lengths = []
    average_lengths = []
    all_rewards = []
    entropy_term = 0

    for episode in range(max_episodes):
        log_probs = []
        values = []
        rewards = []

        state, _ = env.reset()
        for steps in range(num_steps):
            value, policy_dist = actor_critic.forward(state)
            value = value.detach().numpy()[0, 0]
            dist = policy_dist.detach().numpy()

            action = act(state, dist)
            log_prob = torch.log(policy_dist.squeeze(0)[action])
            entropy = -np.sum(np.mean(dist) * np.log(dist))
            new_state, reward, terminated, truncated, _ = env.step(action)
            done = terminated or truncated

            rewards.append(reward)
            values.append(value)
            log_probs.append(log_prob)
            entropy_term += entropy
            state = new_state

            if done or steps == num_steps - 1:
                Qval, _ = actor_critic.forward(new_state)
                Qval = Qval.detach().numpy()[0, 0]
                all_rewards.append(np.sum(rewards))
                all_lengths.append(steps)
                average_lengths.append(np.mean(all_lengths[-10:]))
                if episode % 10 == 0:
                    sys.stdout.write(
                        f"episode: {episode}, reward: {np.sum(rewards)}, total length: {steps}, "
                        f"average length: {np.mean(all_lengths[-10:])} \n"
                    )
                break

        # compute Q values
        Qvals = np.zeros_like(values)
        for t in reversed(range(len(rewards))):
            Qval = rewards[t] + GAMMA * Qval
            Qvals[t] = Qval

        # update actor critic
        values = torch.FloatTensor(values)
        Qvals = torch.FloatTensor(Qvals)
        log_probs = torch.stack(log_probs)

        advantage = Qvals - values
        actor_loss = (-log_probs * advantage).mean()
        critic_loss = 0.5 * advantage.pow(2).mean()
        ac_loss = actor_loss + critic_loss + 0.001 * entropy_term

        ac_optimizer.zero_grad()
        ac_loss.backward()
        ac_optimizer.step()
        if after_update is not None:
            after_update(ac_loss)
    return all_lengths


def corrected_a2c(env, actor_critic, act, max_episodes, after_update, entropy_coef=0.001):
    """The same loop without its six defects, each mended where it says so."""
    ac_optimizer = optim.Adam(actor_critic.parameters(), lr=learning_rate)

    for _ in range(max_episodes):
        log_probs = []
        values = []
        rewards = []
        entropies = []  # of this episode alone

        state, _ = env.reset()
        for steps in range(num_steps):
            value, policy_dist = actor_critic.forward(state)
            dist = policy_dist.detach().numpy()

            action = act(state, dist)
            log_prob = torch.log(policy_dist.squeeze(0)[action])
            entropy = -torch.sum(policy_dist * torch.log(policy_dist))  # p log p, with a gradient
            new_state, reward, terminated, truncated, _ = env.step(action)

            rewards.append(reward)
            values.append(value[0, 0])  # with a gradient
            log_probs.append(log_prob)
            entropies.append(entropy)
            state = new_state

            if terminated or truncated or steps == num_steps - 1:
                Qval, _ = actor_critic.forward(new_state)
                Qval = Qval.detach().numpy()[0, 0]
                if terminated:  # nothing follows a fall
                    Qval = np.zeros_like(Qval)
                break

        Qvals = np.zeros(len(rewards), np.float32)
        for t in reversed(range(len(rewards))):
            Qval = rewards[t] + GAMMA * Qval
            Qvals[t] = Qval

        values = torch.stack(values)
        Qvals = torch.FloatTensor(Qvals)
        log_probs = torch.stack(log_probs)

        advantage = Qvals - values
        actor_loss = (-log_probs * advantage.detach()).mean()  # the critic learns from its own loss
        critic_loss = 0.5 * advantage.pow(2).mean()
        entropy_mean = torch.stack(entropies).mean()
        ac_loss = actor_loss + critic_loss - entropy_coef * entropy_mean  # rewards exploration

        ac_optimizer.zero_grad()
        ac_loss.backward()
        ac_optimizer.step()
        after_update(ac_loss)


class Watched(gym.Wrapper):
    """Keeps each episode's first state, its actions, and how it ended."""

    def __init__(self, env):
        super().__init__(env)
        self.episodes = []

    def reset(self, **kwargs):
        answer = self.env.reset(**kwargs)
        self.episodes.append({"start": self.unwrapped.state.tolist(), "actions": ""})
        return answer

    def step(self, action):
        answer = self.env.step(action)
        self.episodes[-1]["actions"] += str(action)
        self.episodes[-1]["terminated"] = answer[2]
        return answer


def make_env():
    return gym.make("CartPole-v1", max_episode_steps=200)  # the article's CartPole-v0


def scripted(env, shares_at_random):
    """Balances the pole but for a share of the steps, one share for each episode.

    It never looks at the policy: where two programs round a probability in two ways, actions
    drawn from it would sooner or later differ, and all that follows.
    """
    rng = np.random.default_rng(0)

    def act(state, dist):
        share_at_random = shares_at_random[len(env.episodes) - 1]
        push_right = state[2] + state[3] > 0
        return int(rng.integers(2) if rng.random() < share_at_random else push_right)

    return act


SHARES_AT_RANDOM = (1.0, 0.1, 0.8, 1.0, 0.2, 0.9)  # falls, and two episodes that last
RUNS = {
    "printed": (a2c, {}),
    "corrected": (corrected_a2c, {"entropy_coef": 0.001}),
    # So strong that an error in the entropy's gradient cannot hide behind the advantages.
    "corrected, entropy_coef 10": (corrected_a2c, {"entropy_coef": 10.0}),
}


def numbers(actor_critic):
    """The parameters by name, in as many digits as float32 has."""
    return {
        name: [float(f"{x:.9g}") for x in weight.flatten().tolist()]
        for name, weight in actor_critic.state_dict().items()
    }


def record_run(loop, settings):
    """Episodes, first weights, and the loss and weights of every update of one run."""
    torch.manual_seed(0)
    actor_critic = ActorCritic(4, 2, hidden_size=8)
    env = Watched(make_env())
    env.reset(seed=0)
    env.episodes.clear()
    initial, updates = numbers(actor_critic), []

    def after_update(loss):
        updates.append({"loss": float(f"{loss.item():.9g}"), "weights": numbers(actor_critic)})

    act = scripted(env, SHARES_AT_RANDOM)
    loop(env, actor_critic, act, len(SHARES_AT_RANDOM), after_update, **settings)
    return env.episodes, initial, updates


def record():
    """All runs. They play the same episodes, from the same weights on."""
    torch.set_num_threads(1)
    runs = {name: record_run(*run) for name, run in RUNS.items()}
    episodes, initial, _ = runs["printed"]
    assert all(run[:2] == (episodes, initial) for run in runs.values())
    return {
        "what": "yardsticks/article_torch.py: the loss and the weights after each update",
        "versions": {"python": platform.python_version()}
        | {package.__name__: package.__version__ for package in (torch, np, gym)},
        "shapes": {name: list(x.shape) for name, x in ActorCritic(4, 2, 8).state_dict().items()},
        "episodes": episodes,
        "initial": initial,
        "updates": {name: updates for name, (_, _, updates) in runs.items()},
    }


def write_recording(path):
    """Writes what :func:`record` gives, in lines that a reader of differences can follow."""
    lines = ",\n".join(f'"{name}": {json.dumps(value)}' for name, value in record().items())
    lines = lines.replace('{"start"', '\n {"start"').replace('{"loss"', '\n {"loss"')
    with open(path, "w", encoding="utf-8") as file:
        file.write("{\n" + lines.replace(", \n", ",\n") + "}\n")


def play_printed_loop(episodes, seed):
    """Seconds and steps of the printed loop: its own network and actions, one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)
    env = make_env()
    env.reset(seed=seed)
    start = time.perf_counter()
    lengths = a2c(env, ActorCritic(4, 2, hidden_size), max_episodes=episodes)
    return time.perf_counter() - start, sum(lengths) + len(lengths)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["record", path]:
            write_recording(path)
        case ["time", *count]:
            episodes = int(count[0]) if count else max_episodes
            seconds, steps = play_printed_loop(episodes, seed=0)
            print(f"{seconds:.1f} s, {steps} steps, {episodes} episodes")
        case [settings] if settings.startswith("{"):
            from worker import serve

            def prepare(settings):
                return lambda seed: {"steps": play_printed_loop(settings["num_updates"], seed)[1]}

            serve(prepare, ("torch", "gymnasium", "numpy"))
        case _:
            sys.exit(__doc__)
