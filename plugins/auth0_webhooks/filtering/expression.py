"""JMESPath expressions over a log event: checked when they are compiled, evaluated within a budget."""

from __future__ import annotations

import functools
import ipaddress
import itertools
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from auth0_webhooks.filtering.budget import BudgetedInterpreter

Result = TypeVar("Result")


class CannotEvaluateError(ValueError):
    """The expression makes no sense for an event; the message says why, without anything of the event."""


class Expression:
    """One compiled expression. ``tree`` is what JMESPath parsed.

    :raises ValueError: when the text is not a valid expression; the message points at the character.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree, self._options = _compiled(text)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def value(self, body: str) -> Any:
        """The result for an event's JSON.

        :raises CannotEvaluateError: for example at a comparison of a text with a number, or when the evaluation would cost more
            than the budget allows (see ``budget.py``).
        """
        return self._evaluate(body, lambda _interpreter, found: found)

    def json(self, body: str) -> str:
        """The result as JSON text, within the same budget. Raises what :meth:`value` raises."""

        def write(interpreter: BudgetedInterpreter, found: Any) -> str:
            # A list can occur in itself so often that its text would fill the memory.
            interpreter.pay(interpreter.size(found))
            return json.dumps(found, allow_nan=False)

        return self._evaluate(body, write)

    def _evaluate(self, body: str, finish: Callable[[BudgetedInterpreter, Any], Result]) -> Result:
        from auth0_webhooks.filtering.budget import BudgetedInterpreter

        try:
            interpreter = BudgetedInterpreter(self._options)
            return finish(interpreter, interpreter.visit(self.tree, _decoder.decode(body)))
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:  # every error of JMESPath is a ValueError
            raise CannotEvaluateError(_reason(error)) from None


def _reason(error: Exception) -> str:
    """Why an evaluation failed. JMESPath's own messages repeat values of the event."""
    from jmespath.exceptions import JMESPathTypeError

    from auth0_webhooks.filtering.budget import BudgetExceededError

    if isinstance(error, JMESPathTypeError):
        wanted = " or ".join(error.expected_types)
        return f"{error.function_name}() takes {wanted}, not {_KINDS.get(error.actual_type, error.actual_type)}"
    if isinstance(error, BudgetExceededError):
        return str(error)
    if isinstance(error, RecursionError):
        return "the event is nested too deeply"
    if isinstance(error, ArithmeticError) or "Out of range float" in str(error):
        return "a number is too large"
    return f"it does not fit the event ({type(error).__name__})"


_KINDS = {
    "NoneType": "null",
    "str": "string",
    "list": "array",
    "dict": "object",
    "int": "number",
    "float": "number",
    "bool": "boolean",
}


def _integer(text: str) -> int | float:
    # Python refuses to parse longer integers.
    return int(text) if len(text) < 400 else float(text)


_decoder = json.JSONDecoder(parse_int=_integer)


@functools.cache
def _compiled(text: str) -> tuple[Any, Any]:
    # Only a route with an expression pays for this import, which every parse of the DAG files repeats.
    import jmespath
    from jmespath.exceptions import EmptyExpressionError, LexerError, ParseError
    from jmespath.lexer import Lexer

    try:
        parsed = jmespath.compile(text)
        tokens = list(Lexer().tokenize(text))
    except EmptyExpressionError:
        raise ValueError("expected an expression such as connection == 'Users'") from None
    except LexerError as error:
        raise _wrong(text, error.lexer_position, error.message.rstrip(":")) from None
    except ParseError as error:
        raise _wrong(text, error.lex_position, "expected something else here, or the expression is incomplete") from None
    except RecursionError:
        raise ValueError("the expression is nested too deeply") from None
    _check_quotes(text, tokens)
    known = _functions()
    _check_calls(text, parsed.parsed, _calls(tokens), known)
    return parsed.parsed, jmespath.Options(custom_functions=known())


def _wrong(text: str, position: int, problem: str) -> ValueError:
    rest = text[position : position + 20]
    return ValueError(f"character {position + 1} of the expression{f', at {rest!r}' if rest else ', its end'}: {problem}")


def _check_quotes(text: str, tokens: list[Any]) -> None:
    """Reject double quotes around texts: JMESPath reads them as field names, so ``type == "f"`` would never match."""
    for before, token, after in zip([{"type": "start"}, *tokens], tokens, tokens[1:], strict=False):  # the last is the end
        if token["type"] != "quoted_identifier" or after["type"] == "colon":  # a key of the result may need quotes
            continue
        # An operand or argument that needs no quotes was meant as a text; a name that does need them may be a field.
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", token["value"]) and (
            before["type"] == "lparen" or after["type"] in _EQUALS
        )
        if before["type"] in {*_EQUALS, "comma", "colon"} or plain:
            raise _wrong(text, token["start"], "put texts in single quotes; double quotes are for field names")


_EQUALS = frozenset({"eq", "ne"})


def _calls(tokens: list[Any]) -> dict[str, list[int]]:
    """The positions at which each function is called, last one first."""
    places: dict[str, list[int]] = {}
    for token, after in itertools.pairwise(reversed(tokens)):
        if token["type"] == "lparen":
            places.setdefault(after["value"], []).append(after["start"])
    return places


def _check_calls(text: str, node: Any, calls: dict[str, list[int]], known: Any) -> None:
    """Report now what JMESPath would report only when an event reaches that part of the expression."""
    if node["type"] == "function_expression":
        name, arguments = node["value"], node["children"]
        position = calls[name].pop()
        if name not in known.FUNCTION_TABLE:
            raise _wrong(text, position, f"there is no function {name!r}; there are {', '.join(sorted(known.FUNCTION_TABLE))}")
        wanted = known.FUNCTION_TABLE[name]["signature"]
        variadic = bool(wanted and wanted[-1].get("variadic"))
        if len(arguments) < len(wanted) or (len(arguments) > len(wanted) and not variadic):
            raise _wrong(text, position, f"{name} takes {len(wanted)} arguments, not {len(arguments)}")
        if name == "in_network":
            address, network = (argument["value"] if argument["type"] == "literal" else "::" for argument in arguments)
            try:
                _address(address), _network(network)
            except ValueError:
                raise _wrong(text, position, "in_network takes an address and a network such as '10.0.0.0/8'") from None
    for child in node["children"]:
        if isinstance(child, dict):
            _check_calls(text, child, calls, known)


@functools.cache
def _functions() -> Any:
    from jmespath.functions import Functions, signature

    class EventFunctions(Functions):  # type: ignore[misc]
        """JMESPath's functions, some of them changed to treat a missing field as no match, and two new ones."""

        @signature({"types": ["string", "array", "object", "null"]})
        def _func_length(self, what: Any) -> int:
            return len(what or ())

        @signature({"types": ["array", "string", "null"]}, {"types": []})
        def _func_contains(self, where: Any, what: Any) -> bool:
            return where is not None and (
                what in where if not isinstance(where, str) else isinstance(what, str) and what in where
            )

        @signature({"types": ["string", "null"]}, {"types": ["string"]})
        def _func_starts_with(self, text: str | None, start: str) -> bool:
            return text is not None and text.startswith(start)

        @signature({"types": ["string", "null"]}, {"types": ["string"]})
        def _func_ends_with(self, text: str | None, end: str) -> bool:
            return text is not None and text.endswith(end)

        @signature({"types": ["string", "null"]})
        def _func_lower(self, text: str | None) -> str | None:
            return text.lower() if text is not None else None

        @signature({"types": ["string", "null"]}, {"types": ["string"]})
        def _func_in_network(self, address: str | None, network: str) -> bool:
            # Anything but an address raises: with a port or a list of addresses, the result cannot be evaluated.
            return bool(address) and _address(address) in _network(network)

    return EventFunctions


def _address(text: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if not isinstance(text, str):
        raise ValueError("not an address")  # noqa: TRY004 - ipaddress takes numbers, and raises this for the rest
    address = ipaddress.ip_address(text.strip())
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if not isinstance(text, str) or not re.fullmatch(r"[0-9A-Fa-f.:/]+", text):
        raise ValueError("not a network")
    return _parsed_network(text)


@functools.lru_cache(maxsize=1024)
def _parsed_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)
