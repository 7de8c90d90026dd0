"""The losses by their definitions, entry by entry, in float64: the reference for the fast implementations."""

import numpy as np


def distance(x, y):
    """Returns 1 − cos(x, y); a zero vector has distance 1 from every vector."""
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    return 1 - (np.dot(x, y) / norms if norms else 0)


def distances_of_triplets(strategy, image, recipe, recipe_class, image_class, match, positives, negatives):
    """Lists (positive distance, negative distances, number of zeroed entries) for each anchor and positive."""
    embeddings, classes = {"I": image, "R": recipe}, {"I": image_class, "R": recipe_class}
    anchor, candidate = strategy[-3], strategy[-1]
    rows = range(len(image))

    def distances(i, modality, others):
        return [distance(embeddings[anchor][i], embeddings[modality][j]) for j in others]

    if strategy[0] != "S":
        matched = [i for i in rows if match[i] > 0]
        return [
            (*distances(i, strategy[1], [i]), distances(i, candidate, [j for j in matched if j != i]), 1)
            for i in matched
        ]
    classed = [i for i in rows if classes[anchor][i] != 0]
    others = {i: [j for j in rows if classes[candidate][j] not in (0, classes[anchor][i])] for i in classed}
    fewest = min(map(len, others.values()), default=0)
    triplets = []
    for i in classed:
        same = [j for j in rows if j != i and classes[candidate][j] == classes[anchor][i]]
        to_negatives = distances(i, candidate, others[i][:fewest] if negatives == "smallest" else others[i])
        for to_positive in distances(i, candidate, same if positives == "all" else same[:1]):
            triplets.append((to_positive, to_negatives, 0))
    return triplets


def triplet(
    strategy,
    image,
    recipe,
    recipe_class,
    match,
    image_class=None,
    *,
    margin=0.3,
    num_negatives=None,
    sampling="hardest",
    aggregation="valid",
    semantic_positives="first",
    semantic_negatives="smallest",
):
    """Returns (loss, bad_pairs) of one strategy, for all samplings except 'random'."""
    image_class = recipe_class if image_class is None else image_class
    batch = (image, recipe, recipe_class, image_class, match)
    entries = []
    for to_positive, to_negatives, zeroed in distances_of_triplets(
        strategy, *batch, semantic_positives, semantic_negatives
    ):
        costs = [max(0.0, to_positive - to_negative + margin) for to_negative in to_negatives]
        if sampling == "semi_hard":
            costs = [cost for cost in costs if 0 < cost < margin]
        else:
            costs += [0.0] * zeroed
        entries += sorted(costs, reverse=True)[:num_negatives]
    entries = np.array(entries)
    count = np.sum(entries > 0) if aggregation == "valid" else len(entries)
    return (entries.sum() / count if count else 0.0), (np.mean(entries == 0) if len(entries) else 0.0)


def lifted(image, recipe, match, margin=0.3, published_scale=False):
    """Returns (loss, bad_pairs) of the lifted structured loss."""
    matched = [i for i in range(len(image)) if match[i] > 0]
    costs = []
    for i in matched:
        others = [j for j in matched if j != i]
        total = sum(np.exp(margin - distance(image[j], recipe[i])) for j in others)
        total += sum(np.exp(margin - distance(image[i], recipe[j])) for j in others)
        costs.append(max(0.0, distance(image[i], recipe[i]) + np.log(total)) if others else 0.0)
    costs = np.array(costs)
    if not len(costs):
        return 0.0, 0.0
    square = np.sum(costs**2) / 2
    return (square * len(costs) if published_scale else square / len(costs)), np.mean(costs == 0)
