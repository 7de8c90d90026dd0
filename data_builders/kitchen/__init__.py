"""A procedural Recipe1M: drawn dishes and written recipes in the official download's layout, at any size."""
