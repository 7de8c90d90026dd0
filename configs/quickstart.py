"""A small AdaMine that learns the procedural kitchen on two CPU cores in a few minutes.

    make quickstart

Another preset's loss on the same model: `--config configs/quickstart.py:vse_pp`.
"""

import importlib


def get_config(preset: str = "adamine"):
    """Returns a preset's configuration with a narrow ResNet-18, small LSTMs and a higher learning rate."""
    config = importlib.import_module(f"configs.{preset}").get_config()
    config.seed = 1
    config.batch_size = 64
    config.epochs = 13
    config.unfreeze_epoch = 0  # nothing is pre-trained

    config.data.resize = 104
    config.data.image_size = 96

    config.model.embedding_dim = 256
    config.model.image.depth = 18
    config.model.image.width = 16
    config.model.max_sentences = 8
    config.model.max_words = 14
    config.model.word_norm = 4.0  # small LSTMs learn little from vectors of length one in so short a time
    config.model.forget_bias = 2.0  # nor do LSTMs that forget what they read three words ago
    config.model.word_dim = None  # that of the data set's word vectors
    config.model.ingredient_hidden = 64
    config.model.sentence_hidden = 64
    config.model.instruction_hidden = 128

    config.optim.lr = 1e-3
    config.optim.decay_epochs = 6
    config.eval.protocols = ("full",)
    return config
