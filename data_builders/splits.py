"""The `--splits` flag, which divides recipes among train, val and test."""

from adamine_jax.base.errors import UserError


def parse_splits(text: str) -> tuple[float, float, float]:
    """Parses the relative sizes of train, val and test, such as "0.7,0.15,0.15"; they need not add up to 1.

    Raises:
        UserError: The text is not three numbers, a number is negative, or all are 0.
    """
    try:
        train, val, test = (float(share) for share in text.split(","))
    except ValueError:
        raise UserError(f"--splits {text}: give three numbers for train, val and test, such as 0.7,0.15,0.15") from None
    if not min(train, val, test) >= 0 or not 0 < train + val + test < float("inf"):
        raise UserError(f"--splits {text}: the numbers must be finite, not negative, and at least one must be positive")
    return train, val, test
