"""Outputs of results: JSON Lines, text, files, MQTT and webhooks."""
