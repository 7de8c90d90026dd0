"""AdaMine's towers with InfoNCE, titles, recipes that lack a part, cosine decay and an average of the weights.

    python -m adamine_jax.main --config configs/infonce.py --workdir runs/infonce \
        --config.data.dir=data --config.model.image.weights=resnet101.safetensors

Queries may be a title, ingredients or instructions alone, which the published training does not prepare for. It was not
yet trained on Recipe1M. `--config configs/quickstart.py:infonce` is the small version for the kitchen: in half of the
quickstart's steps it learns more (docs/training.md).
"""

from adamine_jax.config import preset, set_loss, with_variant


def get_config(variant: str = ""):
    """Returns the published configuration with another loss, optimiser and text."""
    config = preset("adamine")
    config.batch_size = 256
    config.model.head = "linear"
    config.model.recipe.title = True
    config.model.recipe.part_embeddings = True
    set_loss(config, [("infonce", 1.0), ("parts", 0.3)])
    config.loss.terms.parts.photos = 2.0  # a title alone finds the photo, too
    config.data.drop_part = 0.3

    config.optim.warmup_epochs = 1.0
    config.optim.decay_epochs = config.epochs
    config.optim.decay = "cosine"
    config.optim.average = 0.999
    return with_variant(config, variant)
