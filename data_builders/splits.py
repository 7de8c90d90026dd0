"""The flag that divides recipes among train, val and test."""

from adamine_jax.base.errors import UserError


def parse_splits(text: str) -> tuple[float, float, float]:
    """The shares of train, val and test, which need not add up to 1, from "0.7,0.15,0.15".

    Raises:
        UserError: they are not three numbers, one is negative, or all are 0.
    """
    try:
        train, val, test = (float(share) for share in text.split(","))
    except ValueError:
        raise UserError(f"--splits {text}: give three numbers, train,val,test, such as 0.7,0.15,0.15") from None
    if not min(train, val, test) >= 0 or not 0 < train + val + test < float("inf"):
        raise UserError(f"--splits {text}: the shares must not be negative, and one must be above 0")
    return train, val, test
