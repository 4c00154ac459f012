"""Settable properties from the wire to the queue: names, types and what null means (RFC 7396: back to the default)."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from pydantic import BaseModel

from daemon.api.problem import field_error
from daemon.schema import JobProperties
from jobqueue.job import Priority, Properties

_DEFAULTS = {item.name: item.default for item in fields(Properties) if item.default is not MISSING}
_GROUPS = {
    "notify": {"flags": "notify_flags", "command": "notify_command", "minimum_interval_ms": "notify_interval_ms"},
    "proxy": {"usage": "proxy_usage", "list": "proxy_list", "bypass": "proxy_bypass"},
}


def property_values(request: JobProperties) -> dict[str, object]:
    """Members of jobqueue's Properties that the request sets. Raises RefusedError."""
    values: dict[str, object] = {}
    for name in request.model_fields_set & set(JobProperties.model_fields):
        value = getattr(request, name)
        if name in _GROUPS:
            values |= _members(value, _GROUPS[name])
        else:
            values[name] = _value(name, value)
    if "proxy_usage" in values and values["proxy_usage"] != "OVERRIDE":
        values = {"proxy_list": None, "proxy_bypass": None} | values
    return values


def _members(group: BaseModel | None, names: Mapping[str, str]) -> dict[str, object]:
    """The members that are given; all of them back to their defaults when the group itself is null."""
    if group is None:
        return {name: _DEFAULTS[name] for name in names.values()}
    return {names[name]: _value(names[name], getattr(group, name)) for name in group.model_fields_set}


def _value(name: str, value: Any) -> object:  # noqa: ANN401 - every type a property can have
    if value is None:
        if name == "display_name":
            raise field_error("display_name", "a job must have a display_name")
        return _DEFAULTS[name]
    if name == "priority":
        return Priority(value)
    return tuple(value) if isinstance(value, list) else value
