"""Rank files are read as they were written, and damaged ones are reported."""

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.retrieval.protocols import evaluate, rank_draws, score
from adamine_jax.retrieval.rank_files import RankFile, read_ranks, write_ranks


def ranked(protocols="20x3,full", n=40, names=str):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(n, 8)).astype(np.float32)
    recipe = (image + rng.normal(size=(n, 8))).astype(np.float32)
    ids = [names(f"{number:010x}") for number in rng.permutation(n)]
    return image, recipe, ids, rank_draws(image, recipe, ids, protocols, seed=5)


def test_every_rank_belongs_to_its_id_and_draw():
    image, recipe, ids, results = ranked()
    row_of = {name: row for row, name in enumerate(ids)}
    for draw, drawn in enumerate(results["20x3"].ids):
        rows = [row_of[name] for name in drawn]
        assert rows == [row_of[sorted(ids)[k]] for k in np.random.default_rng([5, draw]).choice(40, 20, replace=False)]
        similarities = image[rows].astype(np.float64) @ recipe[rows].T.astype(np.float64)
        right = np.diag(similarities)
        ranks = results["20x3"].ranks
        assert ranks["image_to_recipe"][draw].tolist() == (1 + (similarities > right[:, None]).sum(axis=1)).tolist()
        assert ranks["recipe_to_image"][draw].tolist() == (1 + (similarities > right).sum(axis=0)).tolist()
    assert results["full"].ids.tolist() == [sorted(ids)]
    assert score(results) == evaluate(image, recipe, ids, "20x3,full", seed=5)


@pytest.mark.parametrize("names", [str, str.encode])
def test_rank_files_are_read_as_they_were_written(tmp_path, names):
    results = ranked(names=names)[-1]
    write_ranks(tmp_path / "ranks_test.npz", RankFile(results, seed=5, step=637))
    assert [path.name for path in tmp_path.iterdir()] == ["ranks_test.npz"]
    content = read_ranks(tmp_path / "ranks_test.npz")
    assert (content.seed, content.step, list(content.protocols)) == (5, 637, ["20x3", "full"])
    for name, result in content.protocols.items():
        assert result.ids.tolist() == np.char.encode(results[name].ids.astype(str)).tolist()
        for direction, ranks in result.ranks.items():
            assert ranks.dtype == np.float32
            np.testing.assert_array_equal(ranks, results[name].ranks[direction])


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"ranks_test.npz: no such file"):
        read_ranks(tmp_path / "ranks_test.npz")


@pytest.mark.parametrize("kept", [0, 10, 300, -30])
def test_a_truncated_file_is_reported(tmp_path, kept):
    path = tmp_path / "ranks_test.npz"
    write_ranks(path, RankFile(ranked()[-1], seed=5, step=1))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"ranks_test.npz: cannot be read"):
        read_ranks(path)


@pytest.mark.parametrize(
    "change",
    [
        {"full/recipe_to_image": np.ones((1, 39), np.float32)},
        {"full/recipe_to_image": np.full((1, 40), np.nan, np.float32)},
        {"full/image_to_recipe": np.ones((1, 40), np.int32)},
        {"full/ids": np.array([b"a"] * 40), "full/image_to_recipe": np.ones(40), "full/recipe_to_image": np.ones(40)},
        {f"full/{name}": np.empty((0, 0)) for name in ("ids", "image_to_recipe", "recipe_to_image")},
        {"full/image_to_recipe": None},
        {"seed": None},
        {"step": np.arange(3)},
    ],
)
def test_inconsistent_arrays_are_reported(tmp_path, change):
    path = tmp_path / "ranks_test.npz"
    write_ranks(path, RankFile(ranked()[-1], seed=5, step=1))
    with np.load(path) as arrays:
        changed = {name: array for name, array in (dict(arrays) | change).items() if array is not None}
    np.savez(path, **changed)
    with pytest.raises(UserError, match=r"ranks_test.npz: cannot be read"):
        read_ranks(path)


def test_a_flipped_byte_is_an_error_or_harmless(tmp_path):
    path = tmp_path / "ranks_test.npz"
    write_ranks(path, RankFile(ranked(protocols="4x1")[-1], seed=5, step=1))
    whole, expected = path.read_bytes(), read_ranks(path)
    found = 0
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            content = read_ranks(path)
        except UserError:
            found += 1
        else:
            for name, result in content.protocols.items():
                np.testing.assert_array_equal(result.ids, expected.protocols[name].ids)
                np.testing.assert_equal(result.ranks, expected.protocols[name].ranks)
    assert found > len(whole) / 7 / 2
