"""The web server started by `python -m adamine_jax.serve`: an API over a gallery, and a page that uses it."""
