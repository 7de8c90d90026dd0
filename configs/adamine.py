"""AdaMine as in the paper: ResNet-101, instance and semantic triplets, adaptive mining.

    python -m adamine_jax.main --config configs/adamine.py --workdir runs/adamine \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors

Every field can be set on the command line as `--config.section.field=value`, and other towers or another loss as
`--config configs/adamine.py:image=features,loss=pairwise`. Published scores (SIGIR 2018, test
split, 10 draws of 1,000 pairs): R@1 39.8 / 40.2 %, R@10 77.4 / 78.7 % for image→recipe / recipe→image.
"""

import ml_collections

from adamine_jax.config import set_loss, set_tower, with_variant


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the base configuration, with the towers and the loss that `variant` names; unknown fields are refused."""
    config = ml_collections.ConfigDict()
    config.seed = 1234  # of weights, batches and crops
    config.batch_size = 100  # pairs in a global batch, over all devices
    config.epochs = 80  # 0 = test the untrained model
    config.unfreeze_epoch = 20  # pretrained backbones learn from this epoch on; 0 = from the start, ≥ epochs = never
    config.freeze_batch_stats = False  # True: BatchNorm keeps its stored statistics while the backbone is frozen
    config.cache_frozen_features = 0  # crops of a photo whose features are kept while the backbone is frozen; 0 = none

    config.data = ml_collections.ConfigDict()
    config.data.name = "recipe1m"  # name of the TFDS data set
    config.data.dir = "data"  # the --out of `python -m data_builders.recipe1m`
    config.data.resize = 256  # pixels of a photo's shorter side before the crop
    config.data.image_size = 224  # pixels of the crop: random in training, central in evaluation
    config.data.flip = False  # mirror half of the training photos (not published)
    config.data.mismatch = 0.0  # share of the training pairs that get another recipe's photo; for the pairwise losses
    config.data.image_features = ""  # matrix of another encoder's features of the photos, for the tower 'features'
    config.data.sentence_vectors = ""  # matrix of the sentences' vectors, for model.recipe.instructions = 'vectors'
    config.data.max_damaged = 100  # damaged records that are skipped before a run stops; 0 = it stops at the first
    config.data.shuffle_photos = False  # control experiment: train on photos of other recipes; must end at chance

    config.model = ml_collections.ConfigDict()
    config.model.dtype = "float32"  # of the towers' arithmetic: 'float32' or 'bfloat16'; parameters stay float32
    config.model.remat = False  # recompute activations in the backward pass: less memory, a third more time
    config.model.embedding_dim = 1024  # of the shared space
    # Each tower has fields of its own, which its class documents; `:image=NAME` or `:recipe=NAME` takes another one.
    set_tower(config, "image", "resnet")  # adamine_jax/models/image/resnet_tower.py: depth, width, weights
    set_tower(config, "recipe", "lstm")  # adamine_jax/models/recipe/hierarchical_lstm.py

    # A loss has fields of its own as well; `:loss=NAME` takes another one, `:loss=NAME+0.5*NAME` a weighted list.
    set_loss(config, "triplet")  # adamine_jax/losses/adamine.py: margin, strategies, weights, aggregation, …

    config.optim = ml_collections.ConfigDict()
    config.optim.lr = 1e-4  # of both Adam groups
    config.optim.decay_epochs = 0  # last epochs over which it falls linearly to 0; 0 = constant, as published
    config.optim.clip_norm = 8.0  # global norm of the gradient over all trained parameters

    config.checkpoint = ml_collections.ConfigDict()
    config.checkpoint.every_steps = 0  # also save within an epoch, every so many steps; 0 = at its end only
    config.checkpoint.keep = 2  # last ones kept, beside the best
    config.checkpoint.best_by = "r1"  # metric of the evaluators; 'rsum', R@1 + R@5 + R@10, has less noise if small

    config.train = ml_collections.ConfigDict()
    config.train.init_from = ""  # workdir of another run whose weights to start from; '' = none
    config.train.log_every_steps = 50  # a line in metrics.jsonl, and one at the end of an epoch
    config.train.nonfinite_streak = 10  # stop after so many steps in a row with a non-finite loss or gradient

    config.evals = ("retrieval",)  # evaluators that validation and test run: names, or package.module:Name
    config.eval = ml_collections.ConfigDict()
    config.eval.batch_size = 100  # pairs embedded at a time
    config.eval.protocols = ("1k", "10k", "full")  # of the test: 10 draws of 1,000, 5 of 10,000, every pair
    config.eval.seed = 0  # of the draws; the same for every model, so that scores can be compared
    return with_variant(config, variant)
