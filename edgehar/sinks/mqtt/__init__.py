"""Publishing over MQTT: connection, session, topics, commands and Home Assistant discovery."""
