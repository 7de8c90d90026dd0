"""The model card of a run: what the model is, what it was trained on, how good it is and where it fails.

After Mitchell et al., *Model Cards for Model Reporting*, FAT* 2019.
"""

import itertools
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adamine_jax.base import __version__, files
from adamine_jax.config.presets import flatten, known_fields
from adamine_jax.retrieval.bootstrap import METRICS, resample
from adamine_jax.retrieval.breakdown import break_down, largest
from adamine_jax.retrieval.protocols import DIRECTIONS, Ranked
from adamine_jax.retrieval.rank_files import ranks_path, read_ranks
from adamine_jax.runs.exported import CARD
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.runs.workdir import Trained

NAME = "MODEL_CARD.md"
SAMPLES = 500
"""Bootstrap samples of the intervals."""
_WORST, _FEWEST = 5, 10  # classes that are listed, and queries that a listed class has at least
_METRICS = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "medr": "MedR"}
_ARROWS = {"image_to_recipe": "image → recipe", "recipe_to_image": "recipe → image"}
_FRONT = """---
library_name: adamine-jax
pipeline_tag: feature-extraction
tags: [cross-modal-retrieval, recipe-retrieval, food, jax]
---
"""
_LOADING = """
```python
import adamine_jax

model = adamine_jax.load("DIR")  # this folder
photos = model.embed_photos(["dinner.jpg"])  # (1, D) rows of length 1
recipes = model.embed_recipes([{"title": "Borscht", "ingredients": ["2 beets"], "instructions": ["Boil."]}])
print(photos @ recipes.T)  # cosine similarity
```

## Limits

The model works best for dishes that are similar to its training data. It does not know what a dish contains: do not
rely on it for allergies or diets.
"""
_LICENCES = """
**Licences** are not recorded in the data set. Before you publish the model, write here under which terms its recipes,
photos and pretrained weights may be used. Recipe1M and ImageNet are for research only."""


def write_card(trained: Trained, directory: Path, classes: dict[str, str] | None = None) -> Path:
    """Writes the card of a run from its files, and returns its path.

    Args:
        trained: Model of the run.
        directory: Workdir of the run.
        classes: Class of each recipe of the test split by id, if it is known.
    """
    path = directory / NAME
    files.write_text(path, card(trained, directory, classes))
    return path


def stored(trained: Trained, directory: Path) -> str:
    """Returns the card in a workdir or an exported folder if it describes this model; "" otherwise."""
    for name in (NAME, CARD):
        if (directory / name).exists():
            text = (directory / name).read_text(encoding="utf-8")
            if f"`{trained.digest[:16]}`" in text:
                return text
    return ""


def card(trained: Trained, directory: Path, classes: dict[str, str] | None = None) -> str:
    """Returns the card; see `write_card`."""
    parts = (
        _model(trained),
        _data(trained, directory),
        _training(trained, directory),
        _scores(trained, directory, classes),
    )
    lines = [_FRONT, f"# {directory.absolute().name}", *itertools.chain(*parts), "", "## How to load it"]
    return "\n".join(lines) + "\n" + _LOADING


def _model(trained: Trained) -> Iterator[str]:
    config = trained.config
    count = sum(leaf.size for leaf in jax.tree.leaves(trained.variables["params"]))
    yield from (
        "",
        "A model for cross-modal retrieval of recipes. It embeds photos of dishes and recipes in one space, in which a",
        "photo is near its recipe.",
        "",
        "| | |",
        "|---|---|",
        f"| towers | {config.model.image.name} for photos, {config.model.recipe.name} for recipes |",
        f"| embedding | {config.model.embedding_dim} numbers |",
        f"| parameters | {count:,} |",
        f"| loss | {config.loss.name} |",
        f"| checkpoint | step {trained.step} |",
        f"| digest | `{trained.digest[:16]}` |",
    )


def _data(trained: Trained, directory: Path) -> Iterator[str]:
    config, described = trained.config, json.loads((directory / "dataset.json").read_text(encoding="utf-8"))
    yield from ("", "## Data", "")
    yield f"Trained on {described.get('train_recipes', 0):,} recipes with photos, a data set of the builder"
    yield f"`{config.data.name}`, with {len(trained.words):,} words and {len(trained.class_names) - 1:,} classes"
    yield f"(vocabulary `{trained.vocabulary_digest[:12]}`)."
    sections = {"photos": config.model.image, "recipes": config.model.recipe}
    weights = {side: section.get("weights") for side, section in sections.items()}
    pretrained = [f"{side}: `{Path(file).name}`" for side, file in weights.items() if file]
    if pretrained:
        yield f"The towers started from pretrained weights: {', '.join(pretrained)}."
    yield _LICENCES


def _training(trained: Trained, directory: Path) -> Iterator[str]:
    defaults, given = known_fields(trained.config), flatten(trained.config)
    changed = {name: value for name, value in sorted(given.items()) if value != defaults.get(name)}
    lines = [line for line in read_metrics(directory / "metrics.jsonl") if line.get("split") == "train"]
    seconds = sum(line.get("epoch_seconds", 0) for line in lines)
    device = jax.devices()[0]
    yield from ("", "## Training", "")
    if lines:
        yield f"{lines[-1]['step']:,} steps of {trained.config.batch_size} pairs. The log has {seconds / 3600:.2f} h of"
        yield "training, without validation, and without what an interrupted epoch had done before."
    yield f"This card was written on {len(jax.devices())} × {device.device_kind}, with adamine-jax {__version__}, jax"
    yield f"{jax.__version__} and Python {platform.python_version()}. Fields of the configuration that differ from"
    yield "`configs/adamine.py`:"
    yield from ("", "| field | value |", "|---|---|")
    yield from (f"| `{name}` | `{_shown(value)}` |" for name, value in changed.items())


def _shown(value: Any) -> str:
    """Returns a value as text; of a path, only the file name, because folders may contain private information."""
    if isinstance(value, str) and "/" in value:
        return ",".join(Path(part).name for part in value.split(","))
    return repr(value).replace("|", "\\|")


def _scores(trained: Trained, directory: Path, classes: dict[str, str] | None) -> Iterator[str]:
    yield from ("", "## Scores", "")
    path = ranks_path(directory, "test")
    if not path.exists() or (found := read_ranks(path)).step != trained.step:
        yield "This checkpoint was not tested."
        return
    yield "On the test split, with 95 % intervals over the choice of the test recipes (bootstrap), which do not include"
    yield "the differences between seeds. Recall in %, MedR from 1."
    yield from (
        "",
        f"| protocol | | {' | '.join(_METRICS[name] for name in METRICS)} |",
        f"|---|---|{'---:|' * len(METRICS)}",
    )
    for name, ranked in found.protocols.items():
        resampled = resample(ranked, SAMPLES)
        low, high = np.percentile(resampled.samples, (2.5, 97.5), axis=0)
        for number, direction in enumerate(DIRECTIONS):
            rows = zip(resampled.measured[number], low[number], high[number], strict=True)
            cells = [f"{value:.1f} ({least:.1f} to {most:.1f})" for value, least, most in rows]
            yield f"| {name}: {_pairs(ranked)} | {_ARROWS.get(direction, direction)} | {' | '.join(cells)} |"
    if classes and (protocol := largest(found.protocols)):
        yield from _by_class(found.protocols[protocol], classes)


def _pairs(ranked: Ranked) -> str:
    draws, pairs = ranked.ids.shape
    return f"{pairs:,} pairs{f', {draws} draws' if draws > 1 else ''}"


def _by_class(ranked: Ranked, classes: dict[str, str]) -> Iterator[str]:
    ids = [name.encode() for name in classes]  # as they are stored in the file of the ranks
    rows = [row for row in break_down(ranked, ids, list(classes.values())) if row["queries"] >= _FEWEST]
    mean = {row["group"]: float(np.mean([row[direction]["r10"] for direction in DIRECTIONS])) for row in rows}
    if len(rows) < 2:
        return
    ordered = sorted(rows, key=lambda row: mean[row["group"]])
    shown = ordered if len(ordered) <= 2 * _WORST else [*ordered[:_WORST], *ordered[-_WORST:]]
    yield from (
        "",
        "## Where it fails",
        "",
        "R@10 by class, among all candidates, mean of both directions; the worst and the best classes",
    )
    yield from (f"with at least {_FEWEST} queries:", "", "| class | queries | R@10, % |", "|---|---:|---:|")
    yield from (f"| {row['group']} | {row['queries']:,} | {mean[row['group']]:.1f} |" for row in shown)
