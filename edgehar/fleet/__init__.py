"""Many devices, seen through the MQTT broker that they publish to."""
