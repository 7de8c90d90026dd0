"""Scores of an evaluated split by class and by recipe length, `breakdown_<split>.json`."""

import json
from pathlib import Path

from adamine_jax.base import files
from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.input.damage import Damage
from adamine_jax.input.reading import read_recipes
from adamine_jax.retrieval.breakdown import bin_of, break_down, by_bins, largest
from adamine_jax.retrieval.text_tables import format_breakdown
from adamine_jax.runs import workdir
from adamine_jax.runs.evaluation import Evaluated

BY = ("class", "ingredients", "sentences")
_FIELDS = {"ingredients": "ingredients", "sentences": "instructions"}  # of `RecipeText`


def parse_by(text: str) -> list[str]:
    """Parses a comma-separated list of groupings.

    Raises:
        UserError: A name is unknown.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(","))) if text else []
    for name in names:
        if name not in BY:
            raise UserError(
                f"--by {name!r}: must be class, ingredients or sentences, or a comma-separated list of them"
            )
    return names


def write_breakdown(
    trained: workdir.Trained, directory: Path, split: str, evaluated: Evaluated, by: list[str], damage: Damage
) -> None:
    """Prints the scores of each group and writes `breakdown_<split>.json`.

    The ranks are those of the largest evaluated protocol, pooled over its draws. Records that have become unreadable
    are left out.
    """
    protocol = largest(evaluated.ranked)
    assert protocol is not None, "at least one protocol was evaluated"
    ranked, ids = evaluated.ranked[protocol], [name.decode() for name in evaluated.index.ids[evaluated.numbers]]
    groups = _groups(trained, evaluated, by, damage)
    broken_down = {name: break_down(ranked, ids, groups[name]) for name in by}
    for name in by:
        if name != "class":
            broken_down[name] = by_bins(broken_down[name])
    draws, pairs = ranked.ids.shape
    content = {"protocol": protocol, "draws": draws, "pairs": pairs, "step": trained.step, "by": broken_down}
    files.write_text(directory / f"breakdown_{split}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    of_draw, pooled = (" of the draw", f", pooled over {draws} draws") if draws > 1 else ("", "")
    print(f"{split} split by {', '.join(by)}: ranks under {protocol}; recall in %, MedR counted from 1")
    print(f"ranks are among all {pairs:,} candidates{of_draw}, not only those of the group")
    print(f"n: number of queries of the group in each direction{pooled}\n")
    print(
        "\n\n".join(format_breakdown(rows, name) for name, rows in broken_down.items() if rows), end="\n\n", flush=True
    )


def _groups(
    trained: workdir.Trained, evaluated: Evaluated, by: list[str], damage: Damage
) -> dict[str, list[str | None]]:
    """The group of each row by grouping; None for a record that cannot be read."""
    groups = {name: [] for name in by}
    if "class" in by:
        names = trained.open_dataset().class_names
        groups["class"] = [names[number] for number in evaluated.index.class_id[evaluated.numbers]]
    if lengths := [name for name in by if name != "class"]:
        with Progress("counting ingredients and sentences", len(evaluated.numbers), "recipe") as progress:
            for recipe in read_recipes(evaluated.index, evaluated.numbers, damage):
                for name in lengths:
                    groups[name].append(None if recipe is None else bin_of(len(getattr(recipe.text, _FIELDS[name]))))
                progress.update()
    return groups
