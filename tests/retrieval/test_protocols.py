"""Names and draws of protocols, and their scores against a plain loop."""

import json

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.retrieval.protocols import Protocol, evaluate, parse_protocols, skipped_protocols


def pairs(n, noise, d=16, seed=0):
    """Returns noisy matched embeddings and unsorted ids."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(n, d)).astype(np.float32)
    recipe = (image + noise * rng.normal(size=(n, d))).astype(np.float32)
    ids = [f"{number:010x}" for number in rng.permutation(n) * 7919]
    return image, recipe, ids


def test_names():
    assert parse_protocols("1k, 10k,full,500x20") == [
        Protocol("1k", 1_000, 10),
        Protocol("10k", 10_000, 5),
        Protocol("full", None, 1),
        Protocol("500x20", 500, 20),
    ]
    assert parse_protocols(["full", "1k"]) == [Protocol("full", None, 1), Protocol("1k", 1_000, 10)]
    assert parse_protocols("1k,1k") == [Protocol("1k", 1_000, 10)]


@pytest.mark.parametrize("name", ["2k", "", "x5", "5x", "0x3", "3x0", "-1x3", "5x5x5", "1.5x2", "٣x٣"])
def test_unknown_names_are_refused(name):
    with pytest.raises(UserError, match=r"unknown evaluation protocol.*choose from 1k, 10k, full"):
        parse_protocols(name)


def test_no_protocol_is_refused():
    with pytest.raises(UserError, match="no evaluation protocol given"):
        parse_protocols([])


def test_scores_equal_a_plain_loop():
    image, recipe, ids = pairs(200, noise=1.5)
    result = evaluate(image, recipe, ids, "50x4", seed=7)["50x4"]
    by_id = sorted(range(200), key=lambda row: ids[row])
    expected = {"image_to_recipe": [], "recipe_to_image": []}
    for draw in range(4):
        rows = [by_id[number] for number in np.random.default_rng([7, draw]).choice(200, 50, replace=False)]
        similarities = image[rows].astype(np.float64) @ recipe[rows].T.astype(np.float64)
        for direction, table in (("image_to_recipe", similarities), ("recipe_to_image", similarities.T)):
            positions = [1 + sum(row > row[i]) for i, row in enumerate(table)]
            expected[direction].append(
                [np.median(positions), *(100 * sum(p <= k for p in positions) / 50 for k in (1, 5, 10))]
            )
    for direction, draws in expected.items():
        means, deviations = np.mean(draws, axis=0), np.std(draws, axis=0)
        for key, mean, deviation in zip(("medr", "r1", "r5", "r10"), means, deviations, strict=True):
            assert result[direction][key] == pytest.approx({"mean": mean, "std": deviation})
        assert result[direction]["medr_from_zero"]["mean"] == pytest.approx(means[0] - 1)
        assert result[direction]["medr_from_zero"]["std"] == pytest.approx(deviations[0])
    assert result["draws"] == 4
    assert result["pairs"] == 50
    assert result["image_to_recipe"]["r1"]["std"] > 0, "the test needs draws that differ"


def test_results_are_plain_json():
    image, recipe, ids = pairs(30, noise=0.5)
    result = evaluate(image, recipe, ids, ["full", "10x2"], seed=0)
    assert json.loads(json.dumps(result)) == result
    assert list(result) == ["full", "10x2"]
    assert set(result["full"]) == {"image_to_recipe", "recipe_to_image", "draws", "pairs"}
    assert set(result["full"]["recipe_to_image"]) == {"medr", "medr_from_zero", "r1", "r5", "r10"}
    assert set(result["full"]["recipe_to_image"]["r5"]) == {"mean", "std"}
    assert (result["full"]["draws"], result["full"]["pairs"]) == (1, 30)


def test_scores_depend_on_the_seed_but_not_on_the_row_order():
    image, recipe, ids = pairs(120, noise=1.5)
    shuffled = np.random.default_rng(1).permutation(120)
    first = evaluate(image, recipe, ids, "40x3,full", seed=0)
    assert evaluate(image[shuffled], recipe[shuffled], [ids[row] for row in shuffled], "40x3,full", seed=0) == first
    assert evaluate(image, recipe, [name.encode() for name in ids], "40x3,full", seed=0) == first
    assert evaluate(image, recipe, ids, "40x3", seed=1)["40x3"] != first["40x3"]


def test_draws_do_not_depend_on_their_number():
    """A protocol with more draws repeats those of a shorter one and adds others."""
    image, recipe, ids = pairs(100, noise=1.5)
    one = evaluate(image, recipe, ids, "20x1", seed=3)["20x1"]["image_to_recipe"]["r1"]["mean"]
    two = evaluate(image, recipe, ids, "20x2", seed=3)["20x2"]["image_to_recipe"]["r1"]
    assert min(abs(two["mean"] - two["std"] - one), abs(two["mean"] + two["std"] - one)) < 1e-9


def test_a_protocol_larger_than_the_split_is_skipped_and_reported():
    image, recipe, ids = pairs(50, noise=0.5)
    assert list(evaluate(image, recipe, ids, "1k,50x2,51x2", seed=0)) == ["50x2"]
    assert evaluate(image, recipe, ids, "1k", seed=0) == {}
    assert skipped_protocols("1k,50x2,full,51x2", 50) == [
        "protocol 1k skipped: it draws 1,000 pairs, the split has 50",
        "protocol 51x2 skipped: it draws 51 pairs, the split has 50",
    ]


def test_a_collapsed_model_scores_like_chance():
    rows = np.full((40, 8), 8**-0.5, np.float32)
    result = evaluate(rows, rows, [str(i) for i in range(40)], "full", seed=0)["full"]
    for direction in ("image_to_recipe", "recipe_to_image"):
        assert result[direction]["medr"] == {"mean": 20.5, "std": 0.0}
        assert result[direction]["medr_from_zero"] == {"mean": 19.5, "std": 0.0}
        assert result[direction]["r1"]["mean"] == 0


def test_a_non_finite_embedding_is_reported_with_its_id():
    image, recipe, ids = pairs(10, noise=0.5)
    recipe[3, 0] = np.nan
    recipe[7, 0] = np.nan
    with pytest.raises(UserError, match=rf"recipe embedding of row 3 \(id {ids[3]}\) contains NaN \(and 1 more\)"):
        evaluate(image, recipe, ids, "full", seed=0)


def test_ids_must_be_complete_and_unique():
    image, recipe, ids = pairs(10, noise=0.5)
    with pytest.raises(UserError, match="10 image embeddings, but 9 ids"):
        evaluate(image, recipe, ids[:9], "full", seed=0)
    with pytest.raises(UserError, match=f"id '{ids[2]}' occurs twice"):
        evaluate(image, recipe, [ids[2], *ids[1:]], "full", seed=0)
    with pytest.raises(UserError, match="at least one row"):
        evaluate(image[:0], recipe[:0], [], "full", seed=0)
