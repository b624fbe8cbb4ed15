"""Measure the accuracy that a model keeps when the video is darker, blurred, compressed, or has frames missing."""
