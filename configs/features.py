"""Small towers on features of another encoder, for up to a few thousand recipes: seconds to minutes on a CPU.

    python -m data_builders.recipe1m --source DIR --out data \
        --word-min-count 3 --word-dim 100 --unknown-ingredients words
    python -m adamine_jax.main --config configs/features.py --workdir runs/mine \
        --config.data.dir=data --config.data.image_features=features.npy

`configs/own.py`, a bag of words, scored higher on a small collection (docs/features.md, which also describes the file
and the settings). `--config configs/features.py:vse_pp` uses the same towers with the loss of another preset.
"""

from adamine_jax.config import preset, set_tower, split_variant, with_variant


def get_config(variant: str = ""):
    """Returns a preset's configuration with small LSTMs, dropout, AdamW, few epochs and a decaying learning rate."""
    base, variant = split_variant(variant)
    config = preset(base)
    config.seed = 1
    config.batch_size = 128
    config.epochs = 20  # after which a small collection is memorised
    config.unfreeze_epoch = 0  # nothing is frozen

    set_tower(config, "image", "features")
    config.model.image.dropout = 0.5

    config.model.embedding_dim = 512
    if config.model.recipe.name == "lstm":
        config.model.recipe.word_norm = 4.0
        config.model.recipe.forget_bias = 4.0  # an LSTM starts as a slow average of its words
        config.model.recipe.word_dim = None  # dimension of the data set's word vectors
        config.model.recipe.ingredient_hidden = 128
        config.model.recipe.sentence_hidden = 128
        config.model.recipe.instruction_hidden = 256
        config.model.recipe.word_dropout = 0.4
        config.model.recipe.dropout = 0.4

    config.optim.lr = 1e-3
    config.optim.weight_decay = 0.05
    config.optim.decay_epochs = 20
    config.optim.decay = "cosine"
    config.checkpoint.best_by = "rsum"  # R@1 on a few dozen validation pairs is mostly noise
    config.eval.protocols = ("full",)
    return with_variant(config, variant)
