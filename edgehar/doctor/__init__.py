"""Checks of a device before it is left to itself: each says how something is and, if not well, what to do."""
