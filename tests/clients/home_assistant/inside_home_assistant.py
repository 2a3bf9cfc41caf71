"""Runs in Home Assistant's own environment: reads what the engine sends, answers with what becomes of it.

stdin: {"discovery": payload, "state": payload, "change": payload, "other": payload, "blueprint": path, "inputs": {…}}
stdout: {"components": {name: platform}, "rendered": {name: value}, "entities": [those that trigger]}
"""

import asyncio
import json
import sys
import tempfile

from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint.models import Blueprint, BlueprintInputs
from homeassistant.components.mqtt import event, sensor
from homeassistant.components.mqtt.discovery import _merge_common_device_options, _parse_device_payload
from homeassistant.components.mqtt.models import MqttValueTemplate
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation
from homeassistant.util.yaml import load_yaml_dict

SCHEMAS = {"sensor": sensor.DISCOVERY_SCHEMA, "event": event.DISCOVERY_SCHEMA}


def components(hass, payload):
    """As `async_discovery_message_received` in Home Assistant does. Raises vol.Invalid."""
    device = _parse_device_payload(hass, payload, "device", None)
    assert device, "Home Assistant has refused the device"
    found = {}
    for name, config in device["components"].items():
        platform = config.pop("platform")
        config |= {"device": device["device"], "origin": device["origin"]}
        _merge_common_device_options(config, device)
        found[name] = platform, SCHEMAS[platform](config)
    return found


def automation(given):
    """The automation that the blueprint becomes with these inputs, checked. Raises vol.Invalid."""
    blueprint = Blueprint(
        load_yaml_dict(given["blueprint"]), expected_domain="automation", schema=AUTOMATION_BLUEPRINT_SCHEMA
    )
    inputs = BlueprintInputs(blueprint, {"use_blueprint": {"path": given["blueprint"], "input": given["inputs"]}})
    inputs.validate()
    config = inputs.async_substitute()
    config_validation.TRIGGER_SCHEMA(config["triggers"])
    config_validation.CONDITIONS_SCHEMA(config["conditions"])
    config_validation.SCRIPT_SCHEMA(config["actions"])
    return config


async def main():
    given = json.load(sys.stdin)
    hass = HomeAssistant(tempfile.mkdtemp())
    rendered, platforms = {}, {}
    for name, (platform, config) in components(hass, given["discovery"]).items():
        template = config["value_template"]
        template.hass = hass
        payload = given["change" if platform == "event" else "state"]
        rendered[name] = MqttValueTemplate(template).async_render_with_possible_json_value(payload)
        if platform == "event":
            rendered["other"] = MqttValueTemplate(template).async_render_with_possible_json_value(given["other"])
        platforms[name] = platform
    triggers = automation(given)["triggers"]
    await hass.async_stop(force=True)
    json.dump({"components": platforms, "rendered": rendered, "entities": triggers[0]["entity_id"]}, sys.stdout)


asyncio.run(main())
