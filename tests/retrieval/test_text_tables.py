"""The text table of results written by hand."""

from adamine_jax.retrieval.text_tables import format_table


def direction(medr, recalls, std=0.0):
    values = {"medr": medr, "medr_from_zero": medr - 1, **dict(zip(("r1", "r5", "r10"), recalls, strict=True))}
    return {key: {"mean": value, "std": std} for key, value in values.items()}


def test_table_of_one_draw():
    results = {
        "full": {
            "image_to_recipe": direction(3.5, (12.25, 40.0, 100.0)),
            "recipe_to_image": direction(4.0, (10.0, 38.0, 60.0)),
            "draws": 1,
            "pairs": 4000,
        }
    }
    assert format_table(results).splitlines() == [
        "full: 4,000 pairs; recall in %, MedR from 1",
        "                                MedR             R@1             R@5            R@10",
        "  image → recipe                 3.5            12.2            40.0           100.0",
        "  recipe → image                 4.0            10.0            38.0            60.0",
        "  chance                      2000.5           0.025             0.1             0.2",
    ]


def test_table_of_several_draws_shows_deviations_and_published_numbers():
    results = {
        "1k": {
            "image_to_recipe": direction(2.0, (40.0, 69.0, 77.4), std=0.5),
            "recipe_to_image": direction(2.0, (41.0, 68.0, 78.0), std=0.25),
            "draws": 10,
            "pairs": 1000,
        }
    }
    assert format_table(results).splitlines() == [
        "1k: mean ± standard deviation over 10 draws of 1,000 pairs; recall in %, MedR from 1 and from 0",
        "                                MedR          from 0     R@1             R@5            R@10",
        "  image → recipe                 2.0 ± 0.5       1.0    40.0 ± 0.5      69.0 ± 0.5      77.4 ± 0.5",
        "  recipe → image                 2.0 ± 0.2       1.0    41.0 ± 0.2      68.0 ± 0.2      78.0 ± 0.2",
        "  chance                       500.5           499.5     0.1             0.5             1.0",
        "  published, image → recipe                      1.0    39.8            69.0            77.4",
        "  published, recipe → image                      1.0    40.2            68.1            78.7",
        "",
        "published on Recipe1M: AdaMine, Carvalho et al. 2018; its MedR counts from 0",
    ]


def test_chance_on_few_pairs_is_at_most_100_percent():
    results = {"full": {"image_to_recipe": direction(1, (1, 1, 1)), "recipe_to_image": direction(1, (1, 1, 1))}}
    results["full"] |= {"draws": 1, "pairs": 4}
    assert format_table(results).splitlines()[-1].split() == ["chance", "2.5", "25.0", "100.0", "100.0"]


def test_nothing_evaluated():
    assert format_table({}) == "no protocol was evaluated"
