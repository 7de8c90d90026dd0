"""The web server: an API over a gallery and the page that uses it; `python -m adamine_jax.serve` starts it."""
