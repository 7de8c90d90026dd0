"""Stores results of forty training steps in PyTorch: `python -m tests.golden.make_trajectory` (requires PyTorch).

The towers and the loss are implemented from their definitions, with PyTorch's LSTM, embedding, Adam and clipping. NumPy
draws weights and batches from a seed, so that only results are stored. Each case `<name>/` of `trajectory.npz` contains
the `digest` of the weights and batches, the `loss` and the gradient norm before clipping (`grad_norm`) of every step in
float64, and parameters and running means after the last step (`final/<name>`).

The ResNet is frozen for the first steps, but its BatchNorm uses and updates batch statistics.
"""

import dataclasses
from pathlib import Path

import numpy as np

from tests.golden import make_resnet

GOLDEN = Path(__file__).with_name("trajectory.npz")
MARGIN = 0.3
WEIGHTS = {"IRR": 1.0, "RII": 1.0, "SIRR": 0.1, "SRII": 0.1}
FINAL = (
    "resnet.conv1.weight",
    "resnet.bn1.running_mean",
    "resnet.layer4.1.bn2.bias",
    "resnet.layer4.1.bn2.running_mean",
    "image_fc.bias",
    "table",
    "words.bias_ih_l0",
    "words.bias_hh_l0",
    "ingredients.weight_hh_l0_reverse",
    "recipe_fc.bias",
)


@dataclasses.dataclass(frozen=True)
class Case:
    """The model, data and training options of one trajectory."""

    depth: int = 18
    width: int = 4
    photo_size: int = 32
    batch_size: int = 8
    items: int = 32  # from which the batches are drawn
    classes: int = 2  # without the background
    max_sentences: int = 5
    max_words: int = 6
    table_rows: int = 43
    word_dim: int = 8
    hidden: int = 8  # of every LSTM
    embedding_dim: int = 16
    steps: int = 40
    frozen_steps: int = 15
    learning_rate: float = 1e-3
    clip_norm: float = 0.19
    seed: int = 0


CASES = {"resnet18": Case(), "resnet50": Case(depth=50, photo_size=40, classes=3, clip_norm=0.25, seed=1)}


def random_weights(case: Case) -> dict[str, np.ndarray]:
    """Draws float32 weights, named as in torchvision (`resnet.…`) and PyTorch (LSTMs, linear layers), and `table`."""
    rng = np.random.default_rng([case.seed, 0])
    resnet = make_resnet.random_state(case.depth, case.width, case.seed)
    features = resnet["fc.weight"].shape[1]
    state = {f"resnet.{name}": array for name, array in resnet.items() if not name.startswith("fc.")}

    def uniform(bound, *shape):
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    def linear(name, inputs):
        state[f"{name}.weight"] = uniform(inputs**-0.5, case.embedding_dim, inputs)
        state[f"{name}.bias"] = uniform(inputs**-0.5, case.embedding_dim)

    def lstm(name, inputs, suffix=""):
        for kind, shape in {"weight_ih": (inputs,), "weight_hh": (case.hidden,), "bias_ih": (), "bias_hh": ()}.items():
            state[f"{name}.{kind}_l0{suffix}"] = uniform(case.hidden**-0.5, 4 * case.hidden, *shape)

    linear("image_fc", features)
    state["table"] = rng.standard_normal((case.table_rows, case.word_dim)).astype(np.float32)
    state["table"][0] = 0
    lstm("ingredients", case.word_dim)
    lstm("ingredients", case.word_dim, "_reverse")
    lstm("words", case.word_dim)
    lstm("sentences", case.hidden)
    linear("recipe_fc", 3 * case.hidden)
    return state


def random_batches(case: Case) -> list[dict[str, np.ndarray]]:
    """Draws training batches from a few items, each of which occurs many times.

    The items include recipes without sentences or ingredients, and sentences without words.
    """
    rng = np.random.default_rng([case.seed, 1])
    patches = rng.integers(0, 256, (case.items, 4, 4, 3), dtype=np.uint8)
    repeat = case.photo_size // 4
    noise = rng.integers(0, 40, (case.items, case.photo_size, case.photo_size, 3), dtype=np.uint8)
    images = patches.repeat(repeat, axis=1).repeat(repeat, axis=2) // 2 + noise
    ingredients = np.zeros((case.items, 20), np.int32)
    words = np.zeros((case.items, 20, case.max_words), np.int32)
    num_sentences = rng.integers(0, case.max_sentences + 1, case.items).astype(np.int32)
    num_sentences[:2] = (0, case.max_sentences)
    for item in range(case.items):
        count = 0 if item == 2 else rng.integers(0, 12)
        ingredients[item, :count] = rng.integers(1, case.table_rows, count)
        for sentence in range(num_sentences[item]):
            count = rng.integers(0, case.max_words + 1)
            words[item, sentence, :count] = rng.integers(1, case.table_rows, count)
    class_id = rng.integers(0, case.classes + 1, case.items).astype(np.int32)
    fields = {"image": images, "ingredients": ingredients, "words": words, "num_sentences": num_sentences}
    fields |= {"class_id": class_id, "image_class_id": class_id, "match": np.ones(case.items, np.int32)}
    chosen = [rng.choice(case.items, case.batch_size, replace=False) for _ in range(case.steps)]
    return [{name: field[rows] for name, field in fields.items()} for rows in chosen]


def digest(weights: dict[str, np.ndarray], batches: list[dict[str, np.ndarray]]) -> float:
    """Returns a number that changes if NumPy draws different weights or batches."""
    weighted = (number * make_resnet.digest(batch) for number, batch in enumerate(batches, start=1))
    return make_resnet.digest(weights) + sum(weighted)


def torch_trajectory(case: Case) -> dict[str, np.ndarray]:
    """Trains in PyTorch, in float64.

    Returns:
        `loss` and `grad_norm` (steps,), and `final/…`: every trained array after the last step.
    """
    import torch
    from torch import nn

    weights = {name: torch.tensor(array) for name, array in random_weights(case).items()}
    resnet = {name.removeprefix("resnet."): t for name, t in weights.items() if name.startswith("resnet.")}
    resnet = {name: t.double() for name, t in resnet.items() if t.is_floating_point()}
    recipe = nn.ModuleDict(
        {
            "image_fc": nn.Linear(weights["image_fc.weight"].shape[1], case.embedding_dim),
            "table": nn.Embedding(case.table_rows, case.word_dim),
            "ingredients": nn.LSTM(case.word_dim, case.hidden, bidirectional=True, batch_first=True),
            "words": nn.LSTM(case.word_dim, case.hidden, batch_first=True),
            "sentences": nn.LSTM(case.hidden, case.hidden, batch_first=True),
            "recipe_fc": nn.Linear(3 * case.hidden, case.embedding_dim),
        }
    )
    others = {name: t for name, t in weights.items() if not name.startswith("resnet.")}
    recipe.load_state_dict({"table.weight" if name == "table" else name: t for name, t in others.items()})
    recipe.double()
    resnet_params = [t for name, t in resnet.items() if "running" not in name]

    adam = torch.optim.Adam(recipe.parameters(), lr=case.learning_rate, betas=(0.9, 0.999), eps=1e-8)
    trained = list(recipe.parameters())
    losses, norms = [], []
    for step, batch in enumerate(random_batches(case)):
        if step == case.frozen_steps:
            for parameter in resnet_params:
                parameter.requires_grad_()
            adam.add_param_group({"params": resnet_params})
            trained += resnet_params
        batch = {name: torch.tensor(array) for name, array in batch.items()}
        image = _head(recipe["image_fc"](_features(resnet, batch["image"], case.depth)))
        loss = _adamine(image, _head(_embed_recipes(recipe, batch)), batch["class_id"].tolist())
        adam.zero_grad()
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(trained, case.clip_norm)))
        adam.step()
        losses.append(float(loss.detach()))
    final = {f"resnet.{name}": t for name, t in resnet.items()}
    final |= {"table" if name == "table.weight" else name: t for name, t in recipe.state_dict().items()}
    numbers = {f"final/{name}": t.detach().numpy() for name, t in final.items()}
    return numbers | {"loss": np.array(losses), "grad_norm": np.array(norms)}


def _features(resnet, images, depth):
    """Returns pooled features (B, F) of photos (B, S, S, 3) in 0..255, with BatchNorm in training mode."""
    import torch

    mean, std = (torch.tensor(v, dtype=torch.float64) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (images.double() / 255 - mean) / std
    return make_resnet.torch_features(resnet, x.permute(0, 3, 1, 2), depth, train=True)


def _head(x):
    import torch

    return torch.nn.functional.normalize(torch.tanh(x), eps=1e-12)


def _embed_recipes(recipe, batch):
    """Embeds recipes, before tanh. An empty sequence gives a zero vector without entering an LSTM."""
    import torch

    table = recipe["table"]
    words, num_sentences = batch["words"], batch["num_sentences"]
    ingredients = _final_states(recipe["ingredients"], table(batch["ingredients"]), (batch["ingredients"] != 0).sum(1))
    flat = words.flatten(0, 1)
    sentences = _final_states(recipe["words"], table(flat), (flat != 0).sum(1)).view(*words.shape[:2], -1)
    instructions = _final_states(recipe["sentences"], sentences, num_sentences)
    return recipe["recipe_fc"](torch.cat([ingredients, instructions], dim=1))


def _final_states(lstm, inputs, lengths):
    """Returns (B, H), or (B, 2H) for two directions; zeros for empty sequences."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence

    states = inputs.new_zeros(len(inputs), lstm.hidden_size * (2 if lstm.bidirectional else 1))
    rows = torch.nonzero(lengths)[:, 0]
    if not len(rows):
        return states
    packed = pack_padded_sequence(inputs[rows], lengths[rows], batch_first=True, enforce_sorted=False)
    _, (hidden, _) = lstm(packed)
    return states.index_copy(0, rows, hidden.transpose(0, 1).flatten(1))


def _adamine(image, recipe, classes):
    """Computes the loss of matched pairs, anchor by anchor; `classes` is a list, 0 = background."""
    import torch

    distance = 1 - image @ recipe.T
    rows = range(len(classes))
    classed = [i for i in rows if classes[i]]
    positives = {i: [j for j in classed if j != i and classes[j] == classes[i]] for i in classed}
    negatives = {i: [j for j in classed if classes[j] != classes[i]] for i in classed}
    fewest = min((len(negatives[i]) for i in classed), default=0)
    loss = image.new_zeros(())
    for strategy, weight in WEIGHTS.items():
        from_anchor = distance if strategy.endswith("IRR") else distance.T
        if strategy.startswith("S"):
            triplets = [(i, positives[i][0], k) for i in classed if positives[i] for k in negatives[i][:fewest]]
        else:
            triplets = [(i, i, k) for i in rows for k in rows if k != i]
        costs = [torch.relu(from_anchor[i, j] - from_anchor[i, k] + MARGIN) for i, j, k in triplets]
        active = [cost for cost in costs if cost > 0]
        if active:
            loss = loss + weight * sum(active) / len(active)
    return loss / len(WEIGHTS)


def make() -> None:
    """Writes `trajectory.npz`."""
    arrays = {}
    for name, case in CASES.items():
        numbers = torch_trajectory(case)
        arrays[f"{name}/digest"] = digest(random_weights(case), random_batches(case))
        for key in ("loss", "grad_norm", *(f"final/{final}" for final in FINAL)):
            arrays[f"{name}/{key}"] = numbers[key]
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    make()
