"""HyperController: its regression against the Kalman filter of a system that is known."""

import numpy as np
import pytest

import agents
from agents.hypercontroller import Predictor


def outputs_of(a, q, r, n, seed):
    """X_t of z' = a z + xi, X = z + eta, with variances q of xi and r of eta."""
    rng = np.random.default_rng(seed)
    z, found = 0.0, []
    for _ in range(n):
        found.append(z + r**0.5 * rng.standard_normal())
        z = a * z + q**0.5 * rng.standard_normal()
    return found


def kalman_coefficients(a, q, r, window):
    """Of the steady one-step predictor, z^ = (a - a K) z^ + a K X, on the last outputs, oldest first.

    K = P / (P + r) with P the positive root of the Riccati equation P = a^2 P r / (P + r) + q.
    """
    b = r * (1 - a**2) - q
    p = (-b + (b**2 + 4 * q * r) ** 0.5) / 2
    gain = p / (p + r)
    return [a * gain * (a * (1 - gain)) ** i for i in reversed(range(window))]


def fed(outputs, window, n_arms=1, arms=None, ridge=1.0):
    predictor = Predictor(n_arms, window, ridge)
    for t, output in enumerate(outputs):
        predictor.learn(0 if arms is None else arms[t], output)
    return predictor


def test_the_riccati_solution_is_one():
    """The closed form against the filter's own recursion."""
    a, q, r, p = 0.9, 0.5, 1.0, 1.0
    for _ in range(200):
        p = a**2 * p * r / (p + r) + q
    assert kalman_coefficients(a, q, r, 1) == pytest.approx([a * p / (p + r)])


def test_it_learns_the_kalman_filter():
    """What the window leaves out is worth a (a (1 - K))^3 of the output before it: 0.002."""
    a, q, r, window = 0.9, 1.0, 0.2, 3
    predictor = fed(outputs_of(a, q, r, 20_000, seed=0), window)
    learned = np.linalg.solve(predictor.gram[0, 0], predictor.moment[0, 0])
    assert learned == pytest.approx(kalman_coefficients(a, q, r, window), abs=0.03)
    assert predictor.predictions() == pytest.approx([learned @ predictor.outputs])


def test_it_is_the_posterior_mean_of_the_linear_gaussian_model():
    """Coefficients N(0, 1 / lambda), outputs N(G^T Xi, 1): by the batch formula in the dual."""
    outputs, window, ridge = outputs_of(0.5, 1.0, 1.0, 30, seed=1), 2, 0.7
    rows = np.array([outputs[t - window : t] for t in range(window, 30)])
    targets = np.array(outputs[window:])
    posterior = rows.T @ np.linalg.solve(rows @ rows.T + ridge * np.eye(len(rows)), targets)
    predictor = fed(outputs, window, ridge=ridge)
    assert np.linalg.solve(predictor.gram[0, 0], predictor.moment[0, 0]) == pytest.approx(posterior)


def test_every_sequence_of_arms_has_coefficients_of_its_own():
    predictor = fed([1.0, 2.0, 3.0, 4.0], window=1, n_arms=2, arms=[0, 1, 1, 0])
    # V = 1 + Xi^2 and B = Xi X_t of (0 -> 1), (1 -> 1) and (1 -> 0).
    assert predictor.gram[:, :, 0, 0].tolist() == [[1.0, 2.0], [10.0, 5.0]]
    assert predictor.moment[:, :, 0].tolist() == [[0.0, 2.0], [12.0, 6.0]]
    # Arm 0 was the last, with output 4: only 1 was ever taken after 0.
    assert predictor.predictions() == pytest.approx([0.0, 4.0])


def test_there_is_no_prediction_before_the_window_is_full():
    assert fed([1.0], window=2).predictions() is None


def test_it_credits_the_improvement_to_the_values_that_caused_it(make_env):
    space = {"learning_rate": [1e-4, 3e-4], "clip_range": [0.1, 0.2, 0.3]}
    env = make_env("PPO", total_env_steps=160, search_space=space, decision="phase")
    agent = agents.make("hypercontroller", env, seed=0)
    chosen, returns = [], []

    def note(step):
        if not step.next_info["run_finished"]:
            chosen.append(list(agent.held))
            returns.append(step.reward)

    agents.run(env, agent, seed=0, callback=note)
    improvements = np.diff([returns[0], *returns])
    for i, predictor in enumerate(agent.predictors):
        expected = fed(improvements, 1, predictor.n_arms, [arms[i] for arms in chosen])
        np.testing.assert_allclose(predictor.gram, expected.gram)
        np.testing.assert_allclose(predictor.moment, expected.moment)


@pytest.mark.parametrize("kwargs", [{"window": 0}, {"window": 4}, {"ridge": 0}])
def test_impossible_settings_are_refused(make_env, kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        agents.make("hypercontroller", make_env(), **kwargs)
