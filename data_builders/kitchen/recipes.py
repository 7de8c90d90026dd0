"""Generates one recipe from (seed, index) alone: its scene and its texts."""

import dataclasses
import string
from collections.abc import Sequence

import numpy as np

from data_builders.kitchen import dishes, phrases
from data_builders.kitchen.defects import Defect, defect_of, with_odd_unicode
from data_builders.kitchen.dishes import DISHES, GOODS, PANTRY, STAPLES, Dish, Good
from data_builders.kitchen.photo import Scene

PARTITIONS = ("train", "val", "test")

# Random number streams of a recipe; photo k of a recipe uses stream _PHOTO + k.
_SCENE, _TEXT, _PHOTO = 0, 1, 2

_NAME_LIST = """
Ada Agnes Alma Amir Anouk Arlo Aya Bela Bruno Carmen Celia Clara Dario Dora Edith Elio Elsa Emre Enzo Esther Fadi
Felix Flora Frida Gita Greta Hana Hugo Ida Igor Ines Iris Ivo Jana Joan Jonas Juno Kaito Lana Leif Lena Lila Linus
Luca Maeve Mara Marta Milo Mina Nadia Nils Nora Olga Omar Oscar Otis Paula Petra Pia Rafa Rosa Ruben Ruth Samir Selma
Sven Tariq Tess Theo Tilda Ugo Uma Vera Viola Wanda Xenia Yara Yusuf Zoe
"""
_NAMES = tuple(_NAME_LIST.split())
_OCCASION_LIST = """
afterthought anniversary answer apology ambition bargain birthday breakthrough celebration comeback compromise
confession daydream delight detour discovery encore escape evening excuse farewell favourite festival fortune
handshake harvest holiday homecoming inheritance invention jackpot journey keepsake lullaby masterpiece memory
midnight miracle mischief morning mystery obsession opinion overture parade picnic pride promise proposal reunion
revenge reward riddle sabbatical secret serenade souvenir specialty sunday surprise talisman temptation traditional
treasure triumph tuesday vacation victory voyage weekend whim wish wonder
"""
_OCCASIONS = tuple(_OCCASION_LIST.split())
_QUANTITIES = ("1", "2", "3", "4", "6", "8", "12", "1 1/2", "1/2", "3/4", "1/4", "2 1/4")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A recipe with the content of its records.

    Attributes:
        index: Number of the recipe, from 0.
        id: Ten hexadecimal digits.
        partition: "train", "val" or "test".
        title: Title.
        ingredients: Raw ingredient lines.
        names: Detected ingredient of each line.
        valid: Whether each detection is certain.
        instructions: Sentences.
        scene: What its photos show.
        photo_ids: Ten hexadecimal digits for each photo.
        defect: Its planted defect, if any.
    """

    index: int
    id: str
    partition: str
    title: str
    ingredients: tuple[str, ...]
    names: tuple[str, ...]
    valid: tuple[bool, ...]
    instructions: tuple[str, ...]
    scene: Scene
    photo_ids: tuple[str, ...]
    defect: Defect


def recipe(seed: int, index: int, splits: tuple[float, float, float]) -> Recipe:
    """Generates recipe `index` of kitchen `seed`.

    Args:
        seed: Seed of the kitchen.
        index: Number of the recipe.
        splits: Shares of train, val and test, which only determine the partition.
    """
    rng = np.random.default_rng([seed, index, _SCENE])
    partition = PARTITIONS[int(rng.choice(3, p=np.array(splits) / sum(splits)))]
    dish = DISHES[int(rng.choice(len(DISHES), p=dishes.dish_shares()))]
    scene = _scene(dish, rng)
    defect = defect_of(seed, index)
    rng = np.random.default_rng([seed, index, _TEXT])
    lines, names, valid, pantry = _ingredients(dish, scene, defect, rng)
    title = _title(dish, scene, rng)
    instructions = _instructions(dish.form, scene, pantry, defect, rng)
    if defect.kind == "odd_unicode":
        title, lines, instructions = with_odd_unicode(title, lines, instructions, rng)
    photos = tuple(hex_id(seed, 8 * index + 1 + k) for k in range(defect.photos))
    return Recipe(
        index, hex_id(seed, 8 * index), partition, title, lines, names, valid, instructions, scene, photos, defect
    )


def photo_rng(seed: int, index: int, photo: int) -> np.random.Generator:
    """Returns the random numbers of one photo of recipe `index`."""
    return np.random.default_rng([seed, index, _PHOTO + photo])


def hex_id(seed: int, number: int) -> str:
    """Returns ten pseudorandom hexadecimal digits, unique for numbers below 2^40 of one seed."""
    mask = (1 << 40) - 1
    value = (number + 0x9E3779B9 * (seed + 1)) & mask
    for factor in (0xD6E8FEB867, 0x2545F4914D):  # odd, hence invertible modulo 2^40
        value = (value * factor) & mask
        value ^= value >> 19
    return f"{value:010x}"


def _scene(dish: Dish, rng: np.random.Generator) -> Scene:
    possible = dishes.toppings_of(dish)
    count = int(rng.choice((2, 3, 4), p=(0.5, 0.4, 0.1)))
    toppings = tuple(possible[k] for k in rng.permutation(len(possible))[:count])
    choices = (dishes.BROWNING, dishes.FINISH, dishes.ARRANGEMENT)
    return Scene(dish.base, toppings, *(options[int(rng.integers(len(options)))] for options in choices))


def _title(dish: Dish, scene: Scene, rng: np.random.Generator) -> str:
    """Returns a title that names the dish's bigram in half of the cases and contains no other potential class.

    The class builder counts pairs of adjacent words. The other words are separated by `'s`, which it forbids, or by a
    stop word, so that their pair is not found in a title.
    """
    name, occasion = _pick(rng, _NAMES), _pick(rng, _OCCASIONS)
    if rng.uniform() < 0.5:
        return _pick(rng, (f"{name}'s {occasion}", f"{name}'s {occasion} , the best", f"The {occasion} of {name}"))
    topping = _pick(rng, GOODS[_pick(rng, scene.toppings)].names)
    bigram = dish.bigram.title() if rng.uniform() < 0.5 else dish.bigram
    return _pick(rng, (f"{name}'s {bigram}", f"{bigram} with {topping}", f"{name}'s {bigram} with {topping}", bigram))


def _ingredients(
    dish: Dish, scene: Scene, defect: Defect, rng: np.random.Generator
) -> tuple[tuple, tuple, tuple, list[str]]:
    """Returns raw lines, detected names, valid flags, and the pantry names for the instructions."""
    many = defect.kind == "many_ingredients"
    count = len(PANTRY) if many else int(rng.integers(2, 5))
    pantry = [PANTRY[k] for k in rng.permutation(len(PANTRY))[:count]]
    goods = [*pantry, STAPLES[dish.staple], *(GOODS[topping] for topping in scene.toppings)]
    if many:
        goods += [good for key, good in GOODS.items() if key not in scene.toppings][:8]
    items = [(good, _name(good, rng)) for good in goods]
    pantry_names = [name for _, name in items[:count]]
    rows = [(_line(good, name, rng), name, bool(rng.uniform() < 0.94)) for good, name in _shuffled(items, rng)]
    if rng.uniform() < 0.05:
        heading = _pick(rng, ("For the topping :", "SAUCE", "*** for serving ***"))
        rows.insert(int(rng.integers(len(rows))), (heading, heading.strip(" :*").lower(), False))
    lines, names, valid = zip(*rows, strict=True)
    return lines, names, valid, pantry_names


def _name(good: Good, rng: np.random.Generator) -> str:
    return good.names[0] if rng.uniform() < 0.6 else _pick(rng, good.names)


def _line(good: Good, name: str, rng: np.random.Generator) -> str:
    quantity = _pick(rng, _QUANTITIES)
    if rng.uniform() < 0.04:
        quantity = quantity.replace("/", "")  # "14 cup" for 1/4 cup
    return _pick(rng, good.lines).format(q=quantity, n=name)


def _instructions(
    form: str, scene: Scene, pantry: list[str], defect: Defect, rng: np.random.Generator
) -> tuple[str, ...]:
    """Returns three to nine sentences about form and technique in varying order."""
    if defect.kind == "no_instructions":
        return ()
    first, second = _shuffled(phrases.FORM[form], rng)[:2]
    choices = [_pick(rng, phrases.TECHNIQUE[choice]) for choice in (scene.browning, scene.arrangement, scene.finish)]
    sentences = [first, *_shuffled([*choices, second], rng)]
    for _ in range(int(rng.integers(0, 2))):
        sentences.insert(int(rng.integers(len(sentences) + 1)), _pick(rng, phrases.ASIDES))
    if defect.kind == "many_instructions":
        sentences += [phrases.SERIES] * (20 - len(sentences) + int(rng.integers(0, 5)))
    if rng.uniform() < 0.02:
        sentences.insert(0, "1.")
    toppings = [GOODS[topping].names[0] for topping in scene.toppings]
    return tuple(_fill(sentence, pantry, toppings, rng) for sentence in sentences)


def _fill(sentence: str, pantry: list[str], toppings: list[str], rng: np.random.Generator) -> str:
    pieces = []
    for text, field, _, _ in string.Formatter().parse(sentence):
        pieces.append(text)
        if field:
            pieces.append(_pick(rng, {"pantry": pantry, "topping": toppings}.get(field) or phrases.WORDS[field]))
    filled = "".join(pieces)
    return filled[0].upper() + filled[1:]


def _pick(rng: np.random.Generator, options):
    return options[int(rng.integers(len(options)))]


def _shuffled(items: Sequence, rng: np.random.Generator) -> list:
    return [items[k] for k in rng.permutation(len(items))]
