"""Generates a synthetic Recipe1M of any size: drawn dishes and recipes in the layout of the official download."""
