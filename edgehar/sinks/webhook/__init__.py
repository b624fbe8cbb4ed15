"""Posting events to an HTTP address."""
