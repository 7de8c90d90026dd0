"""Random state dicts in the names of two published code bases, and their embeddings computed with NumPy."""

import numpy as np

from tests.golden import make_resnet

SMALL = {
    "depth": 18,
    "width": 2,
    "rows": 40,
    "word_dim": 5,
    "ingredients": 4,
    "sentence_dim": 6,
    "instructions": 3,
    "dim": 7,
    "classes": 5,
}
PLACES = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def adamine(seed=0, **sizes):
    """Returns a state dict in AdaMine's names, including the ImageNet classifier."""
    sizes = SMALL | sizes
    rng = np.random.default_rng(seed)
    state = {
        f"image_embedding.convnet.resnet.{name}": array
        for name, array in make_resnet.random_state(sizes["depth"], sizes["width"], seed).items()
    }
    features = state["image_embedding.convnet.resnet.fc.weight"].shape[1]
    state |= _linear(rng, "image_embedding.fc", features, sizes["dim"])
    state["recipe_embedding.emb_ingrs.weight"] = _normal(rng, sizes["rows"], sizes["word_dim"])
    state |= _lstm(rng, "recipe_embedding.rnn_ingrs", sizes["word_dim"], sizes["ingredients"], ("", "_reverse"))
    state |= _lstm(rng, "recipe_embedding.rnn_instrs", sizes["sentence_dim"], sizes["instructions"])
    state |= _linear(rng, "recipe_embedding.fc", 2 * sizes["ingredients"] + sizes["instructions"], sizes["dim"])
    if sizes["classes"]:
        state |= _linear(rng, "linear_classif", sizes["dim"], sizes["classes"])
    return state


def im2recipe(seed=0, **sizes):
    """Returns a state dict in im2recipe's names, with the image tower in nn.DataParallel."""
    sizes = SMALL | sizes
    rng = np.random.default_rng(seed)
    resnet = make_resnet.random_state(sizes["depth"], sizes["width"], seed)
    features = resnet.pop("fc.weight").shape[1]
    del resnet["fc.bias"]
    state = {}
    for name, array in resnet.items():
        module, rest = name.split(".", 1)
        state[f"visionMLP.module.{PLACES[module]}.{rest}"] = array
    state |= _linear(rng, "visual_embedding.0", features, sizes["dim"])
    state |= _linear(rng, "recipe_embedding.0", 2 * sizes["ingredients"] + sizes["instructions"], sizes["dim"])
    state |= _lstm(rng, "stRNN_.lstm", sizes["sentence_dim"], sizes["instructions"])
    state |= _lstm(rng, "ingRNN_.irnn", sizes["word_dim"], sizes["ingredients"], ("", "_reverse"))
    state["ingRNN_.embs.weight"] = _normal(rng, sizes["rows"], sizes["word_dim"])
    if sizes["classes"]:
        state |= _linear(rng, "semantic_branch", sizes["dim"], sizes["classes"])
    return state


STATES = {"adamine": adamine, "im2recipe": im2recipe}


def recipes(rows, sentence_dim, count=3, seed=1):
    """Returns a batch of recipes of different lengths, whose ids have a row in a table of `rows`."""
    rng = np.random.default_rng(seed)
    num_ingredients, num_sentences = rng.integers(1, 9, count), rng.integers(1, 6, count)
    vectors = rng.standard_normal((count, 20, sentence_dim)).astype(np.float32)
    vectors *= (np.arange(20) < num_sentences[:, None])[..., None]
    ids = rng.integers(1, rows, (count, 20))
    return {
        "ingredients": (ids * (np.arange(20) < num_ingredients[:, None])).astype(np.int32),
        "sentence_vectors": vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9),
        "num_sentences": num_sentences.astype(np.int32),
    }


def recipe_embeddings(source, state, batch):
    """Computes unit rows by PyTorch's equations, step by step."""
    words, ingredient_lstm, instruction_lstm, fc = {
        "adamine": [f"recipe_embedding.{name}" for name in ("emb_ingrs", "rnn_ingrs", "rnn_instrs", "fc")],
        "im2recipe": ["ingRNN_.embs", "ingRNN_.irnn", "stRNN_.lstm", "recipe_embedding.0"],
    }[source]
    longest, rows = max(batch["num_sentences"]), []
    for ids, vectors, sentences in zip(*batch.values(), strict=True):
        steps = state[f"{words}.weight"][ids[ids != 0]]
        ingredients = [
            _final_state(state, ingredient_lstm, steps, ""),
            _final_state(state, ingredient_lstm, steps[::-1], "_reverse"),
        ]
        end = longest if source == "adamine" else sentences
        instructions = [_final_state(state, instruction_lstm, vectors[:end], "")]
        parts = ingredients + instructions if source == "adamine" else instructions + ingredients
        rows.append(np.tanh(state[f"{fc}.weight"] @ np.concatenate(parts) + state[f"{fc}.bias"]))
    return np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


def _final_state(state, name, steps, suffix):
    input_weight, weight = (state[f"{name}.weight_{kind}_l0{suffix}"] for kind in ("ih", "hh"))
    bias = state[f"{name}.bias_ih_l0{suffix}"] + state[f"{name}.bias_hh_l0{suffix}"]
    h = c = np.zeros(weight.shape[1])
    for x in steps:
        i, f, g, o = np.split(input_weight @ x + weight @ h + bias, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
    return h


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _normal(rng, *shape):
    return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def _linear(rng, name, inputs, outputs):
    return {f"{name}.weight": _normal(rng, outputs, inputs), f"{name}.bias": 0.1 * _normal(rng, outputs)}


def _lstm(rng, name, inputs, hidden, suffixes=("",)):
    state = {}
    for suffix in suffixes:
        state[f"{name}.weight_ih_l0{suffix}"] = _normal(rng, 4 * hidden, inputs)
        state[f"{name}.weight_hh_l0{suffix}"] = _normal(rng, 4 * hidden, hidden)
        state[f"{name}.bias_ih_l0{suffix}"] = _normal(rng, 4 * hidden)
        state[f"{name}.bias_hh_l0{suffix}"] = _normal(rng, 4 * hidden)
    return state
