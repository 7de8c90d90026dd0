"""One file a preset; each has `get_config()`. `adamine.py` is the base, the others change a few of its fields."""
