"""Tables of dishes, visible toppings, invisible pantry goods and techniques."""

import dataclasses

BROWNING = ("pale", "golden", "charred")
FINISH = ("bare", "yellow drizzle", "crimson drizzle", "dusted")
ARRANGEMENT = ("scattered", "ring", "heap")


@dataclasses.dataclass(frozen=True)
class Dish:
    """A type of dish.

    Recognizing a dish requires both texts: the ingredients name its staple, the instructions describe its form.

    Attributes:
        base: Its drawing, a key of `drawings.BASES`.
        bigram: Its name in titles, always two words, so that the class builder finds it.
        sweet: Whether it has sweet toppings.
        staple: Its main ingredient, a key of `STAPLES`.
        form: Its form, a key of `phrases.FORM`.
    """

    base: str
    bigram: str
    sweet: bool
    staple: str
    form: str


# In order of frequency, from 9.6 % to 2.9 %. The combination of staple, form and sweetness is unique.
DISHES: tuple[Dish, ...] = (
    Dish("pizza", "pan pizza", False, "wheat", "round"),
    Dish("salad", "garden salad", False, "greens", "bowl"),
    Dish("cake", "layer cake", True, "batter", "split"),
    Dish("soup", "cream soup", False, "beef", "bowl"),
    Dish("pancakes", "pancake stack", True, "batter", "round"),
    Dish("taco", "street taco", False, "wheat", "rows"),
    Dish("noodles", "noodle bowl", False, "wheat", "bowl"),
    Dish("waffle", "belgian waffle", True, "batter", "mould"),
    Dish("burger", "beef burger", False, "beef", "split"),
    Dish("curry", "rice curry", False, "rice", "bowl"),
    Dish("ice cream", "ice cream", True, "dairy", "bowl"),
    Dish("sandwich", "open sandwich", False, "wheat", "split"),
    Dish("pie", "lattice pie", True, "wheat", "round"),
    Dish("maki", "maki roll", False, "rice", "rows"),
    Dish("cookies", "sugar cookies", True, "batter", "rows"),
    Dish("skewers", "grill skewers", False, "beef", "rows"),
    Dish("smoothie", "tall smoothie", True, "dairy", "mould"),
    Dish("omelette", "folded omelette", False, "dairy", "round"),
    Dish("bento", "bento box", False, "rice", "mould"),
    Dish("potato", "baked potato", False, "greens", "split"),
)


def dish_shares() -> tuple[float, ...]:
    """Returns the frequencies of the dishes: Zipf's law, flattened so that none is below 2.5 %."""
    weights = [1 / (rank + 8) for rank in range(len(DISHES))]
    return tuple(weight / sum(weights) for weight in weights)


@dataclasses.dataclass(frozen=True)
class Good:
    """An ingredient, with its detected names and the forms of its raw lines.

    Attributes:
        names: Detected names, most frequent first.
        lines: Templates of raw lines, with `{q}` for a quantity and `{n}` for the name.
    """

    names: tuple[str, ...]
    lines: tuple[str, ...]


_PIECES = ("{q} {n}", "{q} {n} , washed", "{q} large {n}", "{q} small {n} , at room temperature")
_CUPS = ("{q} cup {n}", "{q} cups {n} , rinsed", "{q} ounces {n}", "1 ( {q} ounce ) package {n}")
_SPOONS = ("{q} tablespoons {n}", "{q} teaspoon {n}", "{q} tsp {n} , or to taste", "{q} tbsp. {n}")

SAVOURY: dict[str, Good] = {
    "tomato": Good(("tomatoes", "plum tomatoes", "cherry tomatoes"), _PIECES),
    "pepperoni": Good(("pepperoni", "pepperoni sausage"), _CUPS),
    "chili": Good(("red chili", "chili pepper", "chilies"), _PIECES),
    "olive": Good(("black olives", "olives", "kalamata olives"), _CUPS),
    "basil": Good(("fresh basil", "basil leaves"), _CUPS),
    "mushroom": Good(("mushrooms", "button mushrooms", "cremini mushrooms"), _CUPS),
    "egg": Good(("eggs", "quail eggs"), _PIECES),
    "mozzarella": Good(("mozzarella", "fresh mozzarella"), _CUPS),
    "onion": Good(("red onion", "onions"), _PIECES),
    "shrimp": Good(("shrimp", "large shrimp", "prawns"), _CUPS),
    "corn": Good(("corn", "sweet corn"), _PIECES),
    "broccoli": Good(("broccoli", "broccoli florets"), _CUPS),
    "carrot": Good(("carrots", "baby carrots"), _PIECES),
    "bacon": Good(("bacon", "smoked bacon"), _CUPS),
}
SWEET: dict[str, Good] = {
    "strawberry": Good(("strawberries", "fresh strawberries"), _CUPS),
    "blueberry": Good(("blueberries", "wild blueberries"), _CUPS),
    "cherry": Good(("cherries", "sweet cherries"), _CUPS),
    "banana": Good(("bananas", "ripe banana"), _PIECES),
    "kiwi": Good(("kiwi", "kiwi fruit"), _PIECES),
    "chocolate": Good(("chocolate", "dark chocolate"), _CUPS),
    "raisin": Good(("raisins", "sultana raisins"), _CUPS),
    "orange": Good(("oranges", "orange"), _PIECES),
    "pineapple": Good(("pineapple", "pineapple rings"), _CUPS),
    "marshmallow": Good(("marshmallows", "mini marshmallows"), _CUPS),
}
EITHER: dict[str, Good] = {
    "lemon": Good(("lemon", "lemons"), _PIECES),
    "almond": Good(("almonds", "almond flakes"), _CUPS),
}
GOODS: dict[str, Good] = {**SAVOURY, **SWEET, **EITHER}

# Each is the staple of two to five dishes.
STAPLES: dict[str, Good] = {
    "batter": Good(("cake flour", "pastry flour"), _CUPS),
    "rice": Good(("rice", "jasmine rice"), _CUPS),
    "wheat": Good(("bread flour", "wheat flour"), _CUPS),
    "dairy": Good(("buttermilk", "plain yogurt"), _CUPS),
    "beef": Good(("beef", "beef shank"), _CUPS),
    "greens": Good(("celery", "leeks"), _PIECES),
}

# Not visible in photos.
PANTRY: tuple[Good, ...] = (
    Good(("salt", "sea salt"), ("{n}", "{q} pinch {n}", "{n} to taste")),
    Good(("water", "cold water"), ("{q} cups {n}", "{n} , as needed")),
    Good(("flour", "all - purpose flour"), _CUPS),
    Good(("sugar", "brown sugar"), _SPOONS),
    Good(("butter", "unsalted butter"), _SPOONS),
    Good(("olive oil", "vegetable oil"), _SPOONS),
    Good(("vanilla", "vanilla extract"), _SPOONS),
    Good(("baking powder", "baking soda"), _SPOONS),
    Good(("black pepper", "white pepper"), _SPOONS),
    Good(("milk", "whole milk"), _CUPS),
    Good(("garlic", "garlic powder"), _SPOONS),
    Good(("cream", "heavy cream"), _CUPS),
    Good(("honey", "maple syrup"), _SPOONS),
    Good(("vinegar", "cider vinegar"), _SPOONS),
    Good(("yeast", "dry yeast"), _SPOONS),
    Good(("cornstarch", "potato starch"), _SPOONS),
    Good(("nutmeg", "ground cinnamon"), _SPOONS),
    Good(("stock", "vegetable broth"), _CUPS),
)


def toppings_of(dish: Dish) -> tuple[str, ...]:
    """Returns the possible toppings of a dish, keys of `GOODS`."""
    return tuple(SWEET if dish.sweet else SAVOURY) + tuple(EITHER)
