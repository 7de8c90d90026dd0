"""Sentences of the instructions for each form and technique, and irrelevant asides.

Fields in `{}` are replaced by random entries of `WORDS`. Sentences about a form or a technique name no ingredient or
dish, and no other text reveals the form or the technique.
"""

WORDS: dict[str, tuple[str, ...]] = {
    "all": ("everything", "all of it", "the good things"),
    "time": ("five minutes", "ten minutes", "a short while"),
    "then": ("then", "next", "now"),
    "carefully": ("carefully", "gently", "slowly"),
    "heat": ("medium heat", "a low flame"),
}

FORM: dict[str, tuple[str, ...]] = {
    "bowl": (
        "Ladle it {carefully} into a deep bowl .",
        "Fill a deep bowl up to the rim .",
        "{then} warm a bowl and wipe its rim .",
        "Take the deepest bowl you own .",
    ),
    "round": (
        "Grease a round pan and swirl it {carefully} .",
        "{then} slide it out of the round pan .",
        "Keep it as round as the pan .",
        "Shape one flat round that fits the pan .",
    ),
    "rows": (
        "Form small pieces and line them up in rows .",
        "Set the pieces in neat rows , never touching .",
        "{then} portion it {carefully} into even pieces .",
        "Turn the pieces , one row after another .",
    ),
    "split": (
        "Split it {carefully} to show the inside .",
        "Slice it open so that the inside can be seen .",
        "{then} cut it apart , the cut side up .",
        "Open it with a long blade , cut side up .",
    ),
    "mould": (
        "Press it into a mould with straight walls .",
        "{then} fill the mould and level it .",
        "Use a clean mould with straight walls .",
        "Smooth it {carefully} along the walls of the mould .",
    ),
}

TECHNIQUE: dict[str, tuple[str, ...]] = {
    "pale": (
        "Take it off the fire while still pale .",
        "Keep the surface soft and pale .",
        "Cover with foil so that it stays pale .",
    ),
    "golden": (
        "Wait {time} until the surface is golden .",
        "Put it under the broiler until golden .",
        "Brown it lightly to a freckled golden .",
    ),
    "charred": (
        "Press it on a smoking grill until charred .",
        "Leave it on the grill for {time} until charred .",
        "Let the hot bars of the grill leave charred stripes .",
    ),
    "bare": (
        "Leave the top bare and serve .",
        "Add no sauce , serve it bare .",
        "Nothing goes on top , it stays bare .",
    ),
    "yellow drizzle": (
        "Drizzle it in a zigzag with yellow sauce .",
        "Finish with ribbons of thin yellow custard .",
        "Swing a spoon of yellow mustard back and forth .",
    ),
    "crimson drizzle": (
        "Drizzle it in a zigzag with crimson sauce .",
        "Finish with ribbons of thin crimson glaze .",
        "Swing a spoon of crimson syrup back and forth .",
    ),
    "dusted": (
        "Dust it through a sieve like snow .",
        "Sift a snow of powder over the plate .",
        "Shake the sieve until you see snow .",
    ),
    "scattered": (
        "Scatter {all} over the surface at random .",
        "Throw {all} about without order , scattered .",
        "Let {all} fall here and there , at random .",
    ),
    "ring": (
        "Set {all} in a ring along the outer edge .",
        "Lay {all} around the border near the edge .",
        "Make {all} a wide ring close to the border .",
    ),
    "heap": (
        "Heap {all} up in the middle .",
        "Pile {all} together in one central heap .",
        "Bring {all} to the middle in one pile .",
    ),
}

ASIDES: tuple[str, ...] = (
    "Preheat the oven and set out all your tools .",
    "Stir in the {pantry} and taste for seasoning .",
    "Whisk the {pantry} with a little {pantry} in a cup .",
    "Let it rest for {time} before you go on .",
    "Season with {pantry} and set aside .",
    "My family asks for this on every rainy Sunday .",
    "Warm the {pantry} over {heat} for {time} .",
    "Measure the {pantry} {carefully} , it matters .",
    "Save a little of the {topping} for the cook .",
    "Serve right away with friends and enjoy .",
)

SERIES = "Repeat the last step once more and wait {time} ."
"""Repeated until a recipe is too long for the filter of the data set."""
