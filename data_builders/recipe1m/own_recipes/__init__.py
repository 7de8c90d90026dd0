"""A person's own recipes, written in the layout of a download of Recipe1M."""
