"""Small AdaMine that learns the kitchen in a few minutes on two CPU cores.

    make quickstart

`--config configs/quickstart.py:vse_pp` trains the same model with the loss of another preset, and `:infonce` as
`configs/infonce.py` does.
"""

from adamine_jax.config import preset, split_variant, with_variant


def get_config(variant: str = ""):
    """Returns a preset's configuration with a narrow ResNet-18, small LSTMs and a higher learning rate."""
    base, variant = split_variant(variant)
    config = preset(base)
    config.seed = 1
    config.batch_size = 64
    config.epochs = 13
    config.unfreeze_epoch = 0  # nothing is pretrained

    config.data.resize = 104
    config.data.image_size = 96

    config.model.embedding_dim = 256
    if config.model.image.name == "resnet":
        config.model.image.depth = 18
        config.model.image.width = 16
    if config.model.recipe.name == "lstm":
        config.model.recipe.max_sentences = 8
        config.model.recipe.max_words = 14
        config.model.recipe.word_norm = 4.0  # with vectors of length one, small LSTMs learn little in so few epochs
        config.model.recipe.forget_bias = 2.0  # without it an LSTM starts by forgetting what it read three words ago
        config.model.recipe.word_dim = None  # dimension of the data set's word vectors
        config.model.recipe.ingredient_hidden = 64
        config.model.recipe.sentence_hidden = 64
        config.model.recipe.instruction_hidden = 128

    config.optim.lr = 1e-3
    config.optim.decay_epochs = 6
    if base == "infonce":  # half of the steps, each with twice the pairs
        config.batch_size = 128
        config.optim.lr = 2e-3
        config.optim.decay_epochs = 12
    config.eval.protocols = ("full",)
    return with_variant(config, variant)
