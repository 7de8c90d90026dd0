"""A small AdaMine that learns the procedural kitchen on two CPU cores in a few minutes.

    make quickstart

Another preset's loss on the same model: `--config configs/quickstart.py:vse_pp`.
"""

from adamine_jax.config import preset, split_variant, with_variant


def get_config(variant: str = ""):
    """Returns a preset's configuration with a narrow ResNet-18, small LSTMs and a higher learning rate."""
    base, variant = split_variant(variant)
    config = preset(base)
    config.seed = 1
    config.batch_size = 64
    config.epochs = 13
    config.unfreeze_epoch = 0  # nothing is pre-trained

    config.data.resize = 104
    config.data.image_size = 96

    config.model.embedding_dim = 256
    if config.model.image.name == "resnet":
        config.model.image.depth = 18
        config.model.image.width = 16
    config.model.recipe.max_sentences = 8
    config.model.recipe.max_words = 14
    config.model.recipe.word_norm = 4.0  # small LSTMs learn little from vectors of length one in so short a time
    config.model.recipe.forget_bias = 2.0  # nor do LSTMs that forget what they read three words ago
    config.model.recipe.word_dim = None  # that of the data set's word vectors
    config.model.recipe.ingredient_hidden = 64
    config.model.recipe.sentence_hidden = 64
    config.model.recipe.instruction_hidden = 128

    config.optim.lr = 1e-3
    config.optim.decay_epochs = 6
    config.eval.protocols = ("full",)
    return with_variant(config, variant)
