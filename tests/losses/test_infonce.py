"""InfoNCE equals a loop over the pairs, in value and gradient."""

import jax
import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.config import checks, preset, set_loss
from adamine_jax.losses.infonce import infonce_loss

RNG = np.random.default_rng(0)


def unit(rows, dim=5):
    values = RNG.standard_normal((rows, dim))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def loop(image, recipe, matched, temperature):
    """The definition, in float64 with one pair at a time."""
    kept, costs, found = [row for row in range(len(matched)) if matched[row]], [], []
    for own in kept:
        for anchor, others in ((image[own], recipe), (recipe[own], image)):
            logits = [float(anchor @ others[row]) / temperature for row in kept]
            value = logits[kept.index(own)]
            costs.append(np.log(sum(np.exp(logit) for logit in logits)) - value)
            found.append(value >= max(logits))
    return (np.mean(costs), np.mean(found)) if costs else (0.0, 0.0)


@pytest.mark.parametrize(
    "matched", [[True] * 6, [True, False, True, True, False, True], [False] * 6, [True] + [False] * 5]
)
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_it_is_the_mean_over_the_matched_pairs_in_both_directions(matched, temperature):
    image, recipe, matched = unit(6), unit(6), np.array(matched)
    expected = loop(image, recipe, matched, temperature)
    found = infonce_loss(image, recipe, matched, temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    gradient = jax.grad(lambda x: infonce_loss(x, recipe, matched, temperature=temperature)[0])(image)
    numeric, step = np.zeros_like(image), 1e-5
    for place in np.ndindex(image.shape):
        moved = image.copy()
        moved[place] += step
        above = loop(moved, recipe, matched, temperature)[0]
        moved[place] -= 2 * step
        numeric[place] = (above - loop(moved, recipe, matched, temperature)[0]) / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-3, atol=1e-4 * max(1, np.abs(numeric).max()))


def test_a_temperature_that_is_not_positive_is_refused():
    config = preset("adamine")
    set_loss(config, "infonce")
    checks.check(config)
    config.loss.temperature = 0
    with pytest.raises(UserError, match=r"config\.loss\.temperature = 0\.0: must be a number > 0"):
        checks.check(config)
