"""A run folder: its settings, splits, metrics and pictures."""
