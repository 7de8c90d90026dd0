"""Checks of configurations: every error is one line that names the field and the values it takes."""

import importlib
import json
from pathlib import Path

import ml_collections
import pytest

from adamine_jax import main
from adamine_jax.base.errors import UserError
from adamine_jax.config import checks, overrides, stored
from configs import adamine, quickstart
from tests.pretrained import write_model

GOLDEN = Path(__file__).parent / "golden"
PRESETS = sorted(path.stem for path in Path(adamine.__file__).parent.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_accepted(preset, tmp_path):
    config = importlib.import_module(f"configs.{preset}").get_config()
    is_pretrained = config.model.recipe.name == "pretrained"  # whose patches may not divide the quickstart's photos
    small = config if is_pretrained or preset == "quickstart" else quickstart.get_config(preset)
    for each in (config, small):
        each.data.image_features = "clip.npy" if preset in ("features", "own", "bag") else ""
        if is_pretrained:
            each.model.recipe.weights = str(write_model(tmp_path, "bert"))
        checks.check(each)
    assert small.loss == config.loss


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch_size", 0, r"config.batch_size = 0: must be an integer ≥ 2"),
        ("epochs", -1, r"config.epochs = -1: must be"),
        ("seed", 2**63, r"config.seed = 9223372036854775808: must be an integer from 0 to 9223372036854775807"),
        ("data.resize", 10**12, r"config.data.resize = 1000000000000: must be an integer from 1 to 8192"),
        ("data.image_size", 300, r"config.data.image_size = 300: must be at most config.data.resize = 256"),
        ("loss.margin", float("nan"), r"config.loss.margin = nan: must be a number ≥ 0"),
        (
            "loss.strategies",
            ("IRR", "XYZ"),
            r"config.loss.strategies = .*: must be a tuple of distinct strategies from IRR",
        ),
        ("loss.strategies", ("IRR", "IRR"), r"distinct strategies"),
        ("loss.weights", (1.0,), r"config.loss.weights has 1 numbers for 4 strategies"),
        ("loss.num_negatives", 0, r"config.loss.num_negatives = 0: must be None \(all\) or an integer ≥ 1"),
        ("loss.num_negatives", True, r"config.loss.num_negatives = True: must be None"),
        ("loss.name", "triplets", r"loss 'triplets': unknown \(did you mean triplet\?\); choose triplet, pairwise"),
        (
            "model.image.name",
            "swin",
            r"image tower 'swin': unknown; choose resnet, vit, features, or package.module:Name",
        ),
        (
            "checkpoint.best_by",
            "r7",
            r"config.checkpoint.best_by = 'r7': must be a metric of config.evals: r1, rsum,",
        ),
        ("evals", ("recall",), r"evaluator 'recall': unknown"),
        ("loss.sampling", "random", r"config.loss.sampling = 'random': set config.loss.num_negatives"),
        ("loss.sampling", "easy", r"config.loss.sampling = 'easy': must be one of hardest, semi_hard, random"),
        ("loss.semantic_positives", "none", r"must be one of first, all"),
        ("loss.semantic_negatives", "first", r"must be one of smallest, all"),
        ("loss.classifier_weight", 0.7, r"config.loss.classifier_weight = 0.7: must be a number from 0 to 0.5"),
        ("loss.weights", (0.0, 0.0, 0.0, 0.0), r"config.loss.weights are all 0"),
        ("loss.margin", 2.5, r"config.loss.margin = 2.5: must be at most 2"),
        ("loss.block", -1, r"config.loss.block = -1: must be an integer ≥ 0"),
        ("data.mismatch", 1, r"config.data.mismatch = 1: leaves no matched pair"),
        ("data.mismatch", 80.0, r"config.data.mismatch = 80.0: must be a number from 0 to 1"),
        ("loss.aggregation", "sum", r"config.loss.aggregation = 'sum': must be one of mean, valid"),
        ("optim.lr", 0.0, r"config.optim.lr = 0.0: must be a number > 0"),
        ("optim.clip_norm", float("inf"), r"config.optim.clip_norm = inf"),
        ("eval.protocols", ("2k",), r"config.eval.protocols = \('2k',\): must be"),
        ("model.recipe.instructions", "vectors", r"set config.data.sentence_vectors"),
        ("model.image.weights", "no.safetensors", r"config.model.image.weights = no.safetensors: no such file"),
    ],
)
def test_an_invalid_value_is_refused_by_name(field, value, message):
    config = adamine.get_config()
    with config.ignore_type():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=message):
        checks.check(config)


def test_unknown_and_missing_fields_are_refused():
    config = adamine.get_config()
    config.loss.marginn = 0.3
    with pytest.raises(UserError, match=r"config.loss.marginn: no such field; did you mean loss.margin"):
        checks.check(config)
    config = adamine.get_config()
    del config.optim.lr
    with pytest.raises(UserError, match=r"config.optim.lr is missing"):
        checks.check(config)


def test_a_configuration_is_restored_from_its_file():
    config = quickstart.get_config()
    config.loss.num_negatives = 3
    again = stored.from_dict(json.loads(stored.to_json(config)))
    assert again == config
    assert isinstance(again.loss.strategies, tuple)


def test_an_older_configuration_is_converted():
    """The golden file is of a quickstart before towers had their own sections."""
    older = json.loads((GOLDEN / "config_of_an_older_version.json").read_text())
    config, current = stored.from_dict(older), quickstart.get_config()
    current.model.recipe.word_dim = 64
    assert config.model == current.model
    assert config.loss.strategies == current.loss.strategies
    assert config.evals == current.evals
    older["model"]["image"]["feature_dim"] = 20
    expected = {"name": "features", "feature_dim": 20, "standardize": False, "dropout": 0.0}
    assert stored.from_dict(older).model.image.to_dict() == expected
    assert stored.from_dict(older).optim.weight_decay == 0  # fields that the older version did not have
    assert stored.from_dict(older).mesh.fsdp == 1


def test_a_variant_replaces_whole_sections():
    config = adamine.get_config("image=features,loss=triplet+0.5*pairwise_plus")
    assert config.model.image.to_dict() == {
        "name": "features",
        "feature_dim": 0,
        "standardize": False,
        "dropout": 0.0,
    }
    assert config.loss.weights.to_dict() == {"triplet": 1.0, "pairwise_plus": 0.5}
    assert config.loss.terms.pairwise_plus.negative_margin == 0.9
    config.data.image_features, config.data.mismatch = "clip.npy", 0.5
    checks.check(config)
    config.loss.terms.triplet.margin = -1.0
    with pytest.raises(UserError, match=r"config.loss.terms.triplet.margin = -1.0: must be a number ≥ 0"):
        checks.check(config)


def test_photo_features_select_their_tower():
    config = adamine.get_config()
    config.data.image_features = "clip.npy"
    assert overrides.resolved(config).model.image.name == "features"
    assert config.model.image.name == "resnet"


def test_only_fields_that_may_not_change_are_listed():
    config = adamine.get_config()
    before = stored.flatten(config)
    config.epochs, config.data.dir, config.eval.seed, config.train.log_every_steps = 90, "elsewhere", 3, 1
    assert stored.differences(config, before) == []
    config.optim.lr = 1e-3
    assert stored.differences(config, before) == ["optim.lr (0.0001 → 0.001)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config is missing"),
        (["--config=configs/adamine.py"], "--workdir is missing"),
        (["--config=configs/nothing.py", "--workdir=w"], "--config configs/nothing.py: no such file"),
        (["--config=configs/adamine.py", "--workdir=w", "--config.data.nope=1"], "config.data.nope: no such field"),
        (["--config=configs/adamine.py", "--workdir=w", "--config.batch_size=many"], "config.batch_size=many"),
        (["--config=configs/adamine.py", "--workdir=w", "--wrokdir=x"], "Unknown command line flag 'wrokdir'"),
        (["--config=configs/adamine.py", "--workdir=w", "stray"], "stray: not a flag"),
        (
            ["--config=configs/adamine.py", "--workdir=w", "--config.model.word_dim=3"],
            "--config.model.word_dim: this field has moved; use --config.model.recipe.word_dim=3",
        ),
        (
            ["--config", "configs/adamine.py", "--workdir=w", "--config.model.image.name=features"],
            "use --config configs/adamine.py:image=features",
        ),
        (
            ["--config=quickstart:vse", "--workdir=w", "--config.loss.name", "pairwise"],
            "use --config quickstart:vse,loss=NAME",
        ),
        (["--config=adamine:image=swin", "--workdir=w"], "image tower 'swin': unknown; choose resnet, vit, features"),
        (
            ["--config=adamine:depth=5", "--workdir=w"],
            "must be image=NAME, recipe=NAME, loss=NAME, separated by commas",
        ),
        (["--config=adamine:image=features", "--workdir=w", "--config.model.image.depth=5"], "no such field"),
    ],
)
def test_an_error_on_the_command_line_is_one_line(arguments, message, monkeypatch, capsys):
    from absl import flags

    monkeypatch.setattr("sys.argv", ["main", *arguments])
    try:
        assert main.main() == 2
    finally:
        flags.FLAGS.unparse_flags()
        flags.FLAGS["workdir"].value = None
        flags.FLAGS["config"].value = None
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_help_shows_the_usage(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["main", "--help"])
    assert main.main() == 0
    assert "python -m adamine_jax.main --config configs/adamine.py" in capsys.readouterr().out


def test_flattening_names_nested_fields():
    config = ml_collections.ConfigDict({"a": 1, "b": {"c": (1, 2)}})
    assert stored.flatten(config) == {"a": 1, "b.c": [1, 2]}
