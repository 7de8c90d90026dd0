"""Imports your own recipes into the layout of a Recipe1M download."""
