"""A bag of words and precomputed photo features, for up to about ten thousand recipes: a minute on a CPU.

    python -m data_builders.recipe1m --source DIR --out data --max-instructions 0 --max-ingredients 0
    python -m adamine_jax.main --config configs/own.py --workdir runs/mine \
        --config.data.dir=data --config.data.image_features=features.npy

Without titles: `--config.model.recipe.parts="('ingredients','instructions')"`. docs/features.md describes the
files and the settings that matter.
"""

from adamine_jax.config import preset, set_loss, set_tower, with_variant


def get_config(variant: str = ""):
    """Returns a configuration with TF-IDF weights, InfoNCE, AdamW and dropout."""
    config = preset("adamine")
    config.seed = 1
    config.batch_size = 100
    config.epochs = 60
    config.unfreeze_epoch = 0  # nothing is frozen

    set_tower(config, "image", "features")
    config.model.image.standardize = True
    config.model.image.dropout = 0.5
    set_tower(config, "recipe", "bag")
    config.model.head = "linear"

    set_loss(config, "infonce")
    config.loss.temperature = 0.15  # a colder softmax overfits a few hundred pairs

    config.optim.lr = 3e-4
    config.optim.weight_decay = 0.05
    config.optim.decay_epochs = 60
    config.optim.decay = "cosine"
    config.checkpoint.best_by = "rsum"  # R@1 on a few dozen validation pairs is mostly noise
    config.eval.protocols = ("full",)
    return with_variant(config, variant)
