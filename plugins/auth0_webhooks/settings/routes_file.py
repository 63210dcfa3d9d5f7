"""The YAML file of the routes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from auth0_webhooks.settings.route import Route, describe


class _UniqueKeyLoader(yaml.SafeLoader):
    """Rejects repeated keys: PyYAML would keep only the last one, and silently lose a route that is defined twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is defined twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def beside(path: str | os.PathLike[str], file: str | os.PathLike[str]) -> Path:
    """A path that, where it is relative, counts from the folder of a file, usually the DAG file that names it."""
    return Path(file).parent / path


def load_routes(path: str | os.PathLike[str]) -> tuple[list[Route], list[str]]:
    """Read a route file: ``routes`` has one entry per route; ``defaults`` has settings for routes that do not set them.

    :param path: the route file, YAML in UTF-8.
    :returns: the valid routes, and for each mistake one sentence that names file, route and key. A broken route does not
        affect the valid ones.
    """
    path = Path(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        return [], [f"{path.name}: cannot be read: {error.strerror}"]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return [], [f"{path.name}: not valid YAML: {' '.join(str(error).split())}"]
    if not isinstance(content, dict) or not isinstance(content.get("routes"), dict):
        return [], [f"{path.name}: expected the key 'routes' with one entry per route, such as 'auth0_log_webhooks:'"]
    unknown = [key for key in content if key not in {"routes", "defaults"}]
    errors = [f"{path.name}: unknown key {key!r}: expected 'routes' or 'defaults'" for key in unknown]
    defaults, routes = _none_as_empty(content.get("defaults")), []
    if not _is_settings(defaults):
        return [], [*errors, f"{path.name}: defaults: {_SETTINGS_EXPECTED}"]
    for name, settings in content["routes"].items():
        own = _none_as_empty(settings)
        if not _is_settings(own):
            errors.append(f"{path.name}: route {name!r}: {_SETTINGS_EXPECTED}")
            continue
        try:
            routes.append(Route(name=name, **{**defaults, **own}))
        except ValidationError as error:
            for detail in error.errors():
                inherited = detail["loc"] and detail["loc"][0] in defaults.keys() - own.keys()
                errors.append(f"{path.name}: {'defaults' if inherited else f'route {name!r}'}: {describe(detail)}")
    return routes, list(dict.fromkeys(errors))


_SETTINGS_EXPECTED = "expected settings as 'key: value' lines (and no 'name' key)"


def _none_as_empty(value: Any) -> Any:
    return {} if value is None else value


def _is_settings(value: Any) -> bool:
    return isinstance(value, dict) and "name" not in value and all(isinstance(key, str) for key in value)
