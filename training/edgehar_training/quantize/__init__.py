"""Trained network to int8 model bundle."""
