"""Where results go: JSON Lines, text and MQTT."""
