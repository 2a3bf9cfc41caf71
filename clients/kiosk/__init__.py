"""A kiosk that greets by mood: listens to an engine's MQTT broker. `python -m clients.kiosk --help`."""
