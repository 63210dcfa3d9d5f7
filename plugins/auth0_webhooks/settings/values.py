"""The values of a route's settings as they are written in YAML: what each accepts, and the error if it is something else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from auth0_webhooks.errors import SeveralMistakesError
from auth0_webhooks.filtering.api_endpoints import parse_endpoint
from auth0_webhooks.filtering.log_types import LEVELS, parse_level, types_of
from auth0_webhooks.filtering.where import Where
from auth0_webhooks.payload.body import Body
from auth0_webhooks.times import parse_time
from auth0_webhooks.webhook.pacing import MOST_CALLS


def parse_types(value: Any) -> list[str]:
    """Turn a list or a comma-separated text of log types into a list without spaces and repeats.

    :raises ValueError: when it is neither.
    """
    if value is None:
        return []
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list) or not all(isinstance(code, str) for code in value):
        raise ValueError("expected a list of log types, or a text with commas between them")
    return list(dict.fromkeys(code.strip() for code in value if code.strip()))


def _parse_start(value: Any) -> Any:
    if value in ("oldest", "now"):
        return value
    try:
        return parse_time(value)
    except ValueError:
        raise ValueError("expected oldest, now, or a date-time such as 2026-11-22T10:00:00Z") from None


def _parse_watch(value: Any) -> Any:
    # YAML reads "off" as false.
    if value is False or value in ("off", None):
        return None
    if isinstance(value, bool):
        raise ValueError("expected off, or the seconds between two checks")  # noqa: TRY004 - pydantic reports only ValueError
    return value


def _no_bool(expected: str) -> BeforeValidator:
    # YAML reads "yes" and "on" as true, which pydantic would take for the number 1.
    def check(value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError(f"expected {expected}")  # noqa: TRY004 - pydantic reports only ValueError
        return value

    return BeforeValidator(check)


def _parse_where(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("expected an expression such as connection == 'Users'")  # noqa: TRY004 - pydantic reports only ValueError
    Where(value)
    return value


def _parse_body(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        # Without quotes, YAML reads an expression in braces as a mapping.
        raise ValueError("expected an expression in quotes, or on the lines after '>-', such as '{text: description}'")
    Body(value)
    return value


def _parse_categories(value: Any) -> list[str]:
    return _checked(types_of, parse_types(value))


def _parse_endpoints(value: Any) -> list[str]:
    return list(dict.fromkeys(map(parse_endpoint, _checked(parse_endpoint, parse_types(value)))))


def _checked(parse: Callable[[str], object], items: list[str]) -> list[str]:
    """The items; an error for each that cannot be parsed."""
    if wrong := {item: problem for item in items if (problem := _problem(parse, item))}:
        raise SeveralMistakesError(wrong)
    return items


def _problem(parse: Callable[[str], object], text: str) -> str | None:
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None


_LIST = WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}, {"type": "null"}]})

Level = Annotated[int, BeforeValidator(parse_level), WithJsonSchema({"enum": [*LEVELS, *range(len(LEVELS))]})]
Types = Annotated[list[str], BeforeValidator(parse_types), _LIST]
Categories = Annotated[list[str], BeforeValidator(_parse_categories), _LIST]
Endpoints = Annotated[list[str], BeforeValidator(_parse_endpoints), _LIST]
Count = Annotated[int, _no_bool("a whole number")]
CountOrNone = Annotated[int | None, _no_bool("a whole number")]
PerSecond = Annotated[float | None, _no_bool("a number")]
Calls = Annotated[
    Annotated[int, Field(ge=1, le=MOST_CALLS), _no_bool("a whole number"), Tag("number")]
    | Annotated[Literal["auto"], Tag("auto")],
    Discriminator(lambda value: "auto" if value == "auto" else "number"),
]
Start = Annotated[Literal["oldest", "now"] | datetime, BeforeValidator(_parse_start)]
Condition = Annotated[str | None, BeforeValidator(_parse_where)]
BodyExpression = Annotated[str | None, BeforeValidator(_parse_body)]
_Seconds = Annotated[float, Field(ge=1, le=3600)]
Watch = Annotated[_Seconds | None, BeforeValidator(_parse_watch, json_schema_input_type=_Seconds | Literal["off", False] | None)]
