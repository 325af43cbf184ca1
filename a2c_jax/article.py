"""The article's own loop: one environment, one whole episode, one update.

Corrected by default. What is wrong in the printed code are switches, :class:`Defects`, so that
its behaviour can be reproduced exactly and the cost of each defect measured. They live in this
module alone.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from a2c_jax.actor_critic import LossSettings, check_arguments, descend
from a2c_jax.advantages import n_step
from a2c_jax.distributions import categorical
from a2c_jax.episodes import Episode, play_episode
from a2c_jax.losses import LossTerms, state_value_estimate
from a2c_jax.metrics import FinishedEpisodes, update_metrics
from a2c_jax.networks import article_network, require_state_values
from a2c_jax.types import Algorithm, Environment, Key, Metrics, Network, Params, Scalar


class Defects(NamedTuple):
    """What the printed loop gets wrong, each by itself.

    Attributes:
        detached_critic: the value is detached before the critic's loss, so the critic stays
            as it was initialised, and the method is REINFORCE with a fixed random baseline.
        detached_entropy: the entropy is computed in NumPy and has no gradient.
        cross_entropy: ``-Σ mean(π) log π`` in place of the entropy ``-Σ π log π``. It is the
            cross-entropy to the uniform policy: least for the uniform one, and unbounded.
        entropy_penalty: the entropy term is added to the loss, which punishes what it
            measures. Added, a cross-entropy is right again, and so is a subtracted entropy.
        entropy_total: the entropy is summed over all episodes so far, instead of averaged
            over this one.
        bootstrap_after_fall: the return is completed with V(s_T) even where the episode
            terminated and nothing follows.
    """

    detached_critic: bool = False
    detached_entropy: bool = False
    cross_entropy: bool = False
    entropy_penalty: bool = False
    entropy_total: bool = False
    bootstrap_after_fall: bool = False


CORRECTED = Defects()
"""None of them."""

AS_PRINTED = Defects(*[True] * len(Defects._fields))
"""All of them at once: the loop as the article prints it."""


class ArticleState(NamedTuple):
    """All that continues from one episode to the next.

    Attributes:
        params: of the network.
        opt_state: of the optimizer.
        entropy_total: the entropy of all steps so far, which only one defect makes use of.
        key: one key for the whole run; never changes.
        update: number of episodes done.
    """

    params: Params
    opt_state: optax.OptState
    entropy_total: jax.Array
    key: Key
    update: jax.Array


def article(
    env: Environment,
    network: Network | None = None,
    optimizer: optax.GradientTransformation | None = None,
    *,
    discount: Scalar = 0.99,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.001,
    defects: Defects = CORRECTED,
) -> Algorithm:
    """The article's loop as an algorithm, each step of which is one episode and one update.

    The printed run is 3000 steps of it on ``make_env("CartPole-v1", max_steps_in_episode=200)``,
    the article's CartPole-v0.

    Args:
        env: the environment; its time limit decides how much is computed for an episode.
        network: by default :func:`a2c_jax.article_network`.
        optimizer: by default Adam at 3e-4.
        discount: in [0, 1]; a number or a traced scalar, as are the coefficients.
        value_coef: weight of the critic's loss.
        entropy_coef: weight of the entropy.
        defects: what to leave uncorrected; :data:`AS_PRINTED` is all of it.

    Raises:
        ValueError: if the network has no state values, or an argument is not what it should be.

    Source: the article, "Implementing A2C", ``def a2c(env)``.
    """
    if not isinstance(defects, Defects):
        raise ValueError(
            f"defects is {defects!r}; give a Defects record, such as AS_PRINTED or CORRECTED."
        )
    network = article_network(env) if network is None else network
    optimizer = optax.adam(3e-4) if optimizer is None else optimizer
    require_state_values(network)
    settings = LossSettings(discount, value_coef, entropy_coef, normalize_advantages=False)
    check_arguments(env, 1, env.max_episode_steps, settings)
    loss = functools.partial(
        article_loss,
        network=network,
        discount=discount,
        value_coef=value_coef,
        entropy_coef=entropy_coef,
        defects=defects,
    )

    def init(key: Key) -> ArticleState:
        params_key, run_key = jax.random.split(key)
        params = network.init(params_key)
        nothing = jnp.zeros(())
        return ArticleState(
            params, optimizer.init(params), nothing, run_key, jnp.zeros((), jnp.int32)
        )

    def step(state: ArticleState) -> tuple[ArticleState, Metrics]:
        key = jax.random.fold_in(state.key, state.update)
        episode = play_episode(key, env, network, state.params)
        grads, (terms, entropy_total) = jax.grad(loss, has_aux=True)(
            state.params, episode=episode, entropy_total=state.entropy_total
        )
        params, opt_state = descend(optimizer, grads, state.opt_state, state.params)
        metrics = update_metrics(
            _finished(episode), terms, optax.tree.norm(grads), where=episode.played
        )
        return ArticleState(params, opt_state, entropy_total, state.key, state.update + 1), metrics

    return Algorithm(init, step, steps_per_update=env.max_episode_steps)


def article_loss(
    params: Params,
    network: Network,
    episode: Episode,
    entropy_total: jax.Array,
    *,
    discount: Scalar = 0.99,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.001,
    defects: Defects = CORRECTED,
) -> tuple[jax.Array, tuple[LossTerms, jax.Array]]:
    """``mean(-log π A) + value_coef * mean(A²) - entropy_coef * mean(entropy)`` of an episode.

    A = G - v, with G the discounted rewards to the end, completed by the value of the last
    observation if the episode did not terminate. Means run over the episode's own steps.

    Args:
        params: parameters of ``network``.
        network: policy and value functions.
        episode: rows ``[T]``.
        entropy_total: of the steps of all earlier episodes.
        discount: in [0, 1].
        value_coef: weight of the critic's loss.
        entropy_coef: weight of the entropy.
        defects: what to leave as printed.

    Returns:
        The loss; and its terms, with the entropy of all steps up to now.

    Source: the article, "#update actor critic".
    """
    transitions, played = episode
    if defects.bootstrap_after_fall:
        transitions = transitions._replace(
            terminated=jnp.zeros_like(transitions.terminated),
            truncated=transitions.terminated | transitions.truncated,
        )
    logits = network.policy(params, transitions.obs)
    values = network.value(params, transitions.obs)
    advantages, targets = state_value_estimate(params, network, transitions, discount, n_step)
    if defects.detached_critic:
        values = jax.lax.stop_gradient(values)

    log_probs = categorical.log_prob(logits, transitions.action)
    policy_term = jnp.mean(-log_probs * advantages, where=played)
    value_term = jnp.mean(jnp.square(targets - values), where=played)
    entropy_term, total = _entropy_terms(logits, played, entropy_total, defects)
    sign = 1.0 if defects.entropy_penalty else -1.0
    loss = policy_term + value_coef * value_term + sign * entropy_coef * entropy_term
    entropy = jnp.mean(categorical.entropy(logits), where=played)
    return loss, (LossTerms(policy_term, value_term, entropy, values, targets), total)


def _entropy_terms(
    logits: jax.Array, played: jax.Array, total: jax.Array, defects: Defects
) -> tuple[jax.Array, jax.Array]:
    """The entropy as it enters the loss, and the sum over all steps up to now."""
    entropy = categorical.entropy(logits)
    if defects.cross_entropy:
        entropy = -jnp.mean(jax.nn.log_softmax(logits), axis=-1)
    if defects.detached_entropy:
        entropy = jax.lax.stop_gradient(entropy)
    total = total + jnp.sum(entropy, where=played)
    return total if defects.entropy_total else jnp.mean(entropy, where=played), total


def _finished(episode: Episode) -> FinishedEpisodes:
    return FinishedEpisodes(
        return_sum=jnp.sum(episode.transitions.reward, where=episode.played),
        length_sum=jnp.sum(episode.played.astype(jnp.float32)),
        number=jnp.ones(()),
    )
