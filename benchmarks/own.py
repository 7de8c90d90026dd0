"""Trains `configs/own.py` on a small real collection, beside a bag of words by scikit-learn and PyTorch, three seeds.

    python -m benchmarks.own --source DOWNLOAD --features DOWNLOAD/features.npy --out runs/own

The claim: the preset for one's own recipes finds more of them than a linear layer on TF-IDF weights. The temperature of
the preset, and the dropout of `configs/features.py`, were chosen by cross-validation on the train and val partitions.
Rerun the command to resume it.
"""

import json
from pathlib import Path

import numpy as np

from adamine_jax.input.features import read_matrix
from benchmarks.harness import describe_machine, results_parser, write_page
from benchmarks.scores import chance, command, scores_table, test_ranks, trained_scores

SEEDS = (1, 2, 3)
PEER_SEEDS = range(10)  # three differ by 4 points from three others
PARTS = {
    "with titles": "('title','ingredients','instructions')",
    "without titles": "('ingredients','instructions')",
}
OTHERS = {
    "AdaMine's triplets in place of InfoNCE, with titles": ("configs/own.py:loss=triplet",),
    "LSTM and triplets (`configs/features.py`)": ("configs/features.py",),
    "LSTM and triplets, with titles": ("configs/features.py", "--config.model.recipe.title=True"),
}
CONVERSION = ("--word-min-count=3", "--word-dim=100", "--unknown-ingredients=words")
SAMPLES = 10_000


def main() -> None:
    """Runs what is missing and writes the page."""
    parser = results_parser("own", __doc__, "--results")
    parser.add_argument("--source", type=Path, required=True, help="collection in Recipe1M's layout")
    parser.add_argument("--features", type=Path, required=True, help="features of its photos, see docs/features.md")
    parser.add_argument("--out", type=Path, required=True, help="folder for the data set and the workdirs")
    flags = parser.parse_args()
    data, features = flags.out.resolve() / "data", flags.features.resolve()
    command("data_builders.recipe1m", f"--source={flags.source.resolve()}", f"--out={data}", *CONVERSION)
    fields = (f"--config.data.dir={data}", f"--config.data.image_features={features}")

    def ranks_of(name: str, config: str, *more: str) -> tuple[list[float], np.ndarray]:
        """Returns the mean scores over the seeds, and the (3, 2, m) ranks in the order of the ids."""
        scores, ranks = [], []
        for seed in SEEDS:
            directory = flags.out.resolve() / f"{name}_{seed}"
            scores.append(trained_scores(directory, [f"--config={config}", *fields, f"--config.seed={seed}", *more])[0])
            ranks.append(test_ranks(directory))
        return list(np.mean(scores, axis=0)), np.array(ranks)

    rows: list[tuple] = []
    notes = []
    pairs = 0
    for number, (name, parts) in enumerate(PARTS.items()):
        peer = baseline(flags.source, features, title=not number)
        pairs = peer.shape[-1]
        scores, ours = ranks_of(f"own{number}", "configs/own.py", f"--config.model.recipe.parts={parts}")
        rows.append((f"`configs/own.py`, {name}", *scores))
        rows.append((f"TF-IDF, linear layer, InfoNCE (scikit-learn, PyTorch), {name}", *mean_scores(peer)))
        notes.append(f"{name} {difference(ours, peer)}")
    for number, (name, arguments) in enumerate(OTHERS.items()):
        rows.append((name, *ranks_of(f"other{number}", *arguments)[0]))
    rows.append(("chance", *chance(pairs)))
    lines = [
        "# A small real collection with given image features",
        "",
        f"`python -m benchmarks.own`: {pairs} test pairs, mean of {len(SEEDS)} seeds ({len(PEER_SEEDS)} of the "
        f"bag of words). {describe_machine()}",
        "",
        *scores_table(rows),
        "",
        "R@K is in percent, and the best MedR is 1. The standard error of one seed's R@10 is about "
        f"{100 * np.sqrt(0.24 / pairs):.0f} points. Mean R@10 of both directions minus that of the bag of words, with "
        f"the 95 % interval of a paired bootstrap over the test pairs: {'; '.join(notes)}.",
    ]
    write_page(flags.page, lines)


def baseline(source: Path, features: Path, title: bool) -> np.ndarray:
    """Returns the (10, 2, m) ranks of the baseline on the test recipes, in the order of their ids."""
    from benchmarks.peers.tfidf_linear import ranks

    layer2 = {entry["id"]: entry["images"] for entry in json.loads((source / "layer2.json").read_text())}
    matrix = read_matrix("data.image_features", features)
    row_of = {name.decode(): row for row, name in enumerate(matrix.ids)}
    recipes = sorted(json.loads((source / "layer1.json").read_text()), key=lambda recipe: recipe["id"])
    first = {recipe["id"]: (layer2.get(recipe["id"]) or [{"id": ""}])[0]["id"] for recipe in recipes}
    recipes = [recipe for recipe in recipes if first[recipe["id"]].removesuffix(".jpg") in row_of]
    photos = matrix.values[[row_of[first[recipe["id"]].removesuffix(".jpg")] for recipe in recipes]].astype(np.float32)
    partition = np.array([recipe["partition"] for recipe in recipes])
    train, test = np.flatnonzero(partition == "train"), np.flatnonzero(partition == "test")
    texts = [text_of(recipe, title) for recipe in recipes]
    return np.array([ranks(texts, photos, train, test, seed) for seed in PEER_SEEDS])


def text_of(recipe: dict, title: bool) -> str:
    """Returns a recipe as text; its title counts three times."""
    lines = [line["text"] for part in ("ingredients", "instructions") for line in recipe[part]]
    return " ".join([recipe["title"]] * (3 if title else 0) + lines)


def mean_scores(ranks: np.ndarray) -> list[float]:
    """Returns MedR, R@1 and R@10 of each direction, means over the seeds, for (S, 2, m) ranks."""
    scores = []
    for direction in range(2):
        found = ranks[:, direction]
        scores += [np.median(found, axis=1).mean(), 100 * (found <= 1).mean(), 100 * (found <= 10).mean()]
    return scores


def difference(ours: np.ndarray, peer: np.ndarray) -> str:
    """Describes the difference of the mean R@10 and its interval, for (S, 2, m) ranks of the same pairs."""
    gains = 100 * ((ours <= 10).mean((0, 1)) - (peer <= 10).mean((0, 1)))
    drawn = np.random.default_rng(0).integers(0, len(gains), (SAMPLES, len(gains)))
    low, high = np.percentile(gains[drawn].mean(1), [2.5, 97.5])
    return f"{gains.mean():+.1f} points ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
