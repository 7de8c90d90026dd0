"""AdaMine as in the paper: ResNet-101, instance and semantic triplets, adaptive mining.

    python -m adamine_jax.main --config configs/adamine.py --workdir runs/adamine \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors

Every field can be set on the command line as `--config.section.field=value`, and towers and loss are selected as in
`--config configs/adamine.py:image=features,loss=pairwise`. Published scores (SIGIR 2018, test split, 10 draws of 1,000
pairs): R@1 39.8 / 40.2 %, R@10 77.4 / 78.7 % for image→recipe / recipe→image.
"""

import ml_collections

from adamine_jax.config import set_loss, set_tower, with_variant


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the base configuration with the towers and the loss of `variant`; unknown fields are rejected."""
    config = ml_collections.ConfigDict()
    config.seed = 1234  # seeds the weights, batches and crops
    config.batch_size = 100  # pairs in the global batch over all devices
    config.batches = "classes"  # half same-class pairs, half without a class; 'neighbours': groups of hard negatives
    config.epochs = 80  # 0 = test the untrained model
    config.unfreeze_epoch = 20  # first epoch in which pretrained backbones are trained; 0 = all epochs, ≥ epochs = none
    config.freeze_batch_stats = False  # True: BatchNorm keeps its stored statistics while the backbone is frozen
    config.cache_frozen_features = 0  # crops per photo whose features are cached while the backbone is frozen; 0 = none

    config.neighbours = ml_collections.ConfigDict()  # for config.batches = 'neighbours'; see docs/training.md
    config.neighbours.every_epochs = 1  # interval after which the train split is embedded again
    config.neighbours.share = 0.5  # share of a batch's rows that are groups of neighbours, at most
    config.neighbours.size = 4  # recipes in a group
    config.neighbours.margin = 0.95  # exclude recipes whose similarity is at least this times that of the own recipe

    config.mesh = ml_collections.ConfigDict()
    config.mesh.fsdp = 1  # devices that share one copy of the parameters and the optimizer state; 1 = a copy each

    config.data = ml_collections.ConfigDict()
    config.data.name = "recipe1m"  # name of the TFDS data set
    config.data.dir = "data"  # the --out of `python -m data_builders.recipe1m`
    config.data.resize = 256  # pixels of the photo's shorter side before the crop
    config.data.image_size = 224  # pixels of the crop: random in training, central in evaluation
    config.data.flip = False  # mirror half of the training photos (not published)
    config.data.crop_area = 1.0  # below 1: train on windows of at least this share of a photo, resized to image_size
    config.data.jitter = 0.0  # brightness, contrast and saturation of training photos change by up to this share
    config.data.erase = 0.0  # probability with which a rectangle of a training photo is erased
    config.data.drop_part = 0.0  # probability with which a training recipe lacks title, ingredients or instructions
    config.data.drop_ingredients = 0.0  # probability with which each ingredient of a training recipe is left out
    config.data.drop_sentences = 0.0  # the same for each sentence of the instructions
    config.data.shuffle_ingredients = False  # read the ingredients of a training recipe in a random order
    config.data.mismatch = 0.0  # share of training pairs with another recipe's photo, for the pairwise losses
    config.data.image_features = ""  # matrix of photo features of another encoder, for the tower 'features'
    config.data.sentence_vectors = ""  # matrix of sentence vectors, for model.recipe.instructions = 'vectors'
    config.data.recipe_features = (
        ""  # matrices of recipe vectors, separated by commas, for the towers 'features' and 'bag'
    )
    config.data.text_share = 0.0  # share of a batch's rows that are recipes without photos, of the split 'text'
    config.data.max_damaged = 100  # maximum number of skipped damaged records; 0 = stop at the first
    config.data.shuffle_photos = False  # control experiment: train on photos of other recipes; must score at chance

    config.model = ml_collections.ConfigDict()
    config.model.dtype = "float32"  # arithmetic of the towers: 'float32' or 'bfloat16'; parameters stay float32
    config.model.remat = False  # recompute activations in the backward pass: less memory, a third slower
    config.model.embedding_dim = 1024  # dimension of the shared embedding space
    config.model.head = (
        "tanh"  # after the towers' linear layers: 'tanh' or 'linear' (nothing); 'none': no linear layers
    )
    # Each tower has its own fields, which its class documents; `:image=NAME` and `:recipe=NAME` select other towers.
    set_tower(config, "image", "resnet")  # adamine_jax/models/image/resnet_tower.py: depth, width, weights
    set_tower(config, "recipe", "lstm")  # adamine_jax/models/recipe/lstm_section.py

    # Each loss has its own fields, too; `:loss=NAME` selects another loss, `:loss=NAME+0.5*NAME` a weighted sum.
    set_loss(config, "triplet")  # adamine_jax/losses/adamine.py: margin, strategies, weights, aggregation, …

    config.loss_schedules = ()  # (field of loss, start, change per epoch, end): ("margin", 0.05, 0.005, 0.3)
    config.accumulate = 1  # number of parts in which a batch is embedded; the towers then need the memory of one part

    config.optim = ml_collections.ConfigDict()
    config.optim.lr = 1e-4  # learning rate of all parameters, before optim.rates and optim.layer_decay
    config.optim.rates = ()  # (pattern, factor of lr[, first epoch]), such as ("image_tower/vit/*", 0.1); 0 = frozen
    config.optim.layer_decay = 1.0  # factor of lr from each layer of a backbone's transformer to the one below it
    config.optim.b2 = 0.999  # Adam's decay of the second moments
    config.optim.average = 0.0  # decay of an exponential moving average of the weights, which is evaluated; 0 = none
    config.optim.weight_decay = 0.0  # decoupled weight decay of matrices, as in AdamW; 0 = Adam
    config.optim.warmup_epochs = 0.0  # first epochs over which lr rises linearly from 0; may be a fraction
    config.optim.warmup_steps = 0  # the same in steps, instead
    config.optim.decay_epochs = 0  # final epochs over which lr decays to 0; 0 = constant, as published
    config.optim.decay_steps = 0  # the same in steps, instead
    config.optim.decay = "linear"  # form of the decay: 'linear' or 'cosine'
    config.optim.clip_norm = 8.0  # maximum global norm of the gradient of all trained parameters

    config.checkpoint = ml_collections.ConfigDict()
    config.checkpoint.every_steps = 0  # interval of checkpoints within an epoch; 0 = only at the end of epochs
    config.checkpoint.keep = 2  # number of latest checkpoints kept, besides the best
    config.checkpoint.best_by = "r1"  # metric of the evaluators; 'rsum', R@1 + R@5 + R@10, is less noisy on small data

    config.train = ml_collections.ConfigDict()
    config.train.init_from = ""  # workdir of another run to initialise from; '' = none
    config.train.log_every_steps = 50  # interval of lines in metrics.jsonl; the end of an epoch gets one, too
    config.train.nonfinite_streak = 10  # stop after this many consecutive steps with a non-finite loss or gradient

    config.evals = ("retrieval",)  # evaluators of validation and test: names, or package.module:Name
    config.eval = ml_collections.ConfigDict()
    config.eval.batch_size = 100  # pairs embedded at a time
    config.eval.protocols = ("1k", "10k", "full")  # of the test: 10 draws of 1,000, 5 of 10,000, all pairs
    config.eval.seed = 0  # seed of the draws; use the same for all models, to compare their scores
    return with_variant(config, variant)
