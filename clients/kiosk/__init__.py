"""A kiosk that greets by mood: subscribes to the MQTT broker of an engine. `python -m clients.kiosk --help`."""
