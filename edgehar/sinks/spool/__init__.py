"""Queues on disk for events that are not delivered yet."""
