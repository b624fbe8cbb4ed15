"""Trained networks fused into one, with one encoder and one head."""
