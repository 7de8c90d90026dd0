"""Figures. They are drawn with matplotlib, which is in the extra `figures`."""

from adamine_jax.base.extras import require

require("figures need", "figures", "matplotlib")
