"""Scores of windows and clips, the measures made of them, and their intervals."""
