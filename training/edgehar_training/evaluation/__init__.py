"""Evaluation of runs and bundles: scores of clips, the figures made of them, reports and comparisons."""
