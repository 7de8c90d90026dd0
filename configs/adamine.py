"""AdaMine as in the paper: ResNet-101, instance and semantic triplets, adaptive mining.

    python -m adamine_jax.main --config configs/adamine.py --workdir runs/adamine \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors

Every field can be set on the command line as `--config.section.field=value`. Published scores (SIGIR 2018, test
split, 10 draws of 1,000 pairs): R@1 39.8 / 40.2 %, R@10 77.4 / 78.7 % for image→recipe / recipe→image.
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
    """Returns the base configuration; unknown fields are refused."""
    config = ml_collections.ConfigDict()
    config.seed = 1234  # of weights, batches and crops
    config.batch_size = 100  # pairs in a global batch, over all devices
    config.epochs = 80  # 0 = test the untrained model
    config.unfreeze_epoch = 20  # the ResNet learns from this epoch on; 0 = from the start, ≥ epochs = never
    config.freeze_batch_stats = False  # True: BatchNorm keeps its stored statistics while the ResNet is frozen

    config.cache_frozen_features = (
        0  # crops of a photo whose features are kept while the ResNet is frozen; 0 = none are
    )

    config.data = ml_collections.ConfigDict()
    config.data.name = "recipe1m"  # name of the TFDS data set
    config.data.dir = "data"  # the --out of `python -m data_builders.recipe1m`
    config.data.resize = 256  # pixels of a photo's shorter side before the crop
    config.data.image_size = 224  # pixels of the crop: random in training, central in evaluation
    config.data.flip = False  # mirror half of the training photos (not published)
    config.data.mismatch = 0.0  # share of the training pairs that get another recipe's photo; for the pairwise losses
    config.data.image_features = ""  # matrix of another encoder's features of the photos, in place of the ResNet
    config.data.sentence_vectors = ""  # matrix of the sentences' vectors, for model.instructions = 'vectors'
    config.data.max_damaged = 100  # damaged records that are skipped before a run stops; 0 = it stops at the first
    config.data.shuffle_photos = False  # control experiment: train on photos of other recipes; must end at chance

    config.model = ml_collections.ConfigDict()
    config.model.dtype = "float32"  # of the towers' arithmetic: 'float32' or 'bfloat16'; parameters stay float32
    config.model.remat = False  # recompute residual blocks in the backward pass: less memory, a third more time
    config.model.embedding_dim = 1024  # of the shared space
    config.model.image = ml_collections.ConfigDict()
    config.model.image.depth = 101  # ResNet 10, 18, 34, 50, 101 or 152
    config.model.image.width = 64  # channels of its first stage; 64 = standard, small ones for CPUs
    config.model.image.feature_dim = 0  # length of data.image_features, filled in from the file
    config.model.image.weights = ""  # file written by `python -m adamine_jax.import_weights`; '' = random
    config.model.ingredients = True  # False: recipes without their ingredients
    config.model.instructions = "words"  # 'words', 'vectors' (given ones, as published) or 'none': no instructions
    config.model.sentence_dim = 1024  # length of data.sentence_vectors, filled in from the file
    config.model.max_sentences = 20  # sentences kept of a recipe
    config.model.max_words = 48  # words kept of a sentence
    config.model.word_dim = 300  # of the word vectors; None = as long as the data set's
    config.model.word_norm = 1.0  # length of the word vectors at first; small LSTMs learn sooner from longer ones
    config.model.word_vectors = "shared"  # one table for ingredients and instructions, or 'separate' ones
    config.model.ingredient_hidden = 300  # of each direction of the ingredient LSTM
    config.model.sentence_hidden = 1024  # of the LSTM over the words of a sentence
    config.model.instruction_hidden = 1024  # of the LSTM over the sentences
    config.model.forget_bias = 0.0  # of the LSTMs' forget gates at first; 2 to 4 = a longer memory, for small data
    config.model.instruction_lstm_over_padding = False  # True: as published, for its weights

    config.loss = ml_collections.ConfigDict()
    config.loss.name = "triplet"  # or 'pairwise' (cosine embedding loss), 'pairwise_plus' (margins on both sides)
    config.loss.margin = (
        0.3  # in cosine distance; of matched pairs in 'pairwise_plus', in cosine similarity in 'pairwise'
    )
    config.loss.negative_margin = 0.9  # of mismatched pairs in 'pairwise_plus', in cosine distance
    config.loss.strategies = ("IRR", "RII", "SIRR", "SRII")  # anchor, positive, negative; S = semantic; or 'LIFT'
    config.loss.weights = (1.0, 1.0, 0.1, 0.1)  # one a strategy
    config.loss.sampling = "hardest"  # which negatives an anchor keeps: 'hardest', 'semi_hard' or 'random' ones
    config.loss.num_negatives = config_dict.placeholder(int)  # how many of these; None = all
    config.loss.aggregation = "valid"  # average over non-zero costs (adaptive mining), or 'mean' over all
    config.loss.semantic_positives = "first"  # the first other item of the anchor's class, or 'all' of them
    config.loss.semantic_negatives = "smallest"  # as many as the anchor with the fewest has, or 'all'
    config.loss.lifted_published_scale = False  # True: 'LIFT' times N², the published code's slip
    config.loss.classifier_weight = 0.0  # w in (1 − 2w) · retrieval + w · CE(image) + w · CE(recipe); 0 = no classifier
    config.loss.keep_background = False  # True: recipes without a class are a class to the classifier
    config.loss.block = (
        0  # candidates compared at a time: memory grows with batch_size · block; 0 = what suits its size
    )

    config.optim = ml_collections.ConfigDict()
    config.optim.lr = 1e-4  # of both Adam groups
    config.optim.decay_epochs = 0  # last epochs over which it falls linearly to 0; 0 = constant, as published
    config.optim.clip_norm = 8.0  # global norm of the gradient over all trained parameters

    config.checkpoint = ml_collections.ConfigDict()
    config.checkpoint.every_steps = 0  # also save within an epoch, every so many steps; 0 = at its end only
    config.checkpoint.keep = 2  # last ones kept, beside the best
    config.checkpoint.best_by = "r1"  # the best by validation R@1, or by 'rsum', R@1 + R@5 + R@10: less noise if small

    config.train = ml_collections.ConfigDict()
    config.train.init_from = ""  # workdir of another run whose weights to start from; '' = none
    config.train.log_every_steps = 50  # a line in metrics.jsonl, and one at the end of an epoch
    config.train.nonfinite_streak = 10  # stop after so many steps in a row with a non-finite loss or gradient

    config.eval = ml_collections.ConfigDict()
    config.eval.batch_size = 100  # pairs embedded at a time
    config.eval.protocols = ("1k", "10k", "full")  # of the test: 10 draws of 1,000, 5 of 10,000, every pair
    config.eval.seed = 0  # of the draws; the same for every model, so that scores can be compared
    return config
