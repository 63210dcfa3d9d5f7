"""Evaluates a JMESPath expression within a budget, so that no expression exhausts the worker that asks it of an event.

Without one some hundred characters will do: ``[@]|[@,@][]|[@,@][]|...`` doubles a list at each step.
"""

from __future__ import annotations

from typing import Any

from jmespath.visitor import TreeInterpreter

BUDGET = 1_000_000
"""Units that one event may cost: a fraction of a second, and some ten megabytes."""
PER_NODE = 10
"""Units for a node of the expression, each time that it is evaluated: about a microsecond."""
CHARACTERS = 16
"""So many characters of a text that is made, compared or searched cost a unit; an element of a list or an object costs one."""


class BudgetExceededError(ValueError):
    """The expression costs more than one event is worth."""


class BudgetedInterpreter(TreeInterpreter):  # type: ignore[misc]
    """JMESPath's own interpreter, which pays for each node before it is evaluated, and for each value before it is made.

    A value's size is that of the whole tree below it, however often the tree holds the same list: so much would it take to
    compare it or to write it down.
    """

    def __init__(self, options: Any, budget: int = BUDGET) -> None:
        super().__init__(options)
        self.left = budget
        # By id, with the value itself, so that no other gets its id.
        self._sizes: dict[int, tuple[int, Any]] = {}

    def pay(self, units: int) -> None:
        """Take units from the budget.

        :raises BudgetExceededError: when there are not so many left.
        """
        self.left -= units
        if self.left < 0:
            raise BudgetExceededError("the expression costs too much")

    def size(self, value: Any) -> int:
        """Units of a value with everything in it."""
        if isinstance(value, str):
            return 1 + len(value) // CHARACTERS
        if isinstance(value, int):
            return 1 + value.bit_length() // 64
        if not isinstance(value, list | dict):
            return 1
        known = self._sizes.get(id(value))
        if not known:
            self.pay(len(value))
            inside = value if isinstance(value, list) else value.values()
            size = 1 + sum(map(self.size, inside))
            if isinstance(value, dict):
                size += sum(map(self.size, value))
            known = self._sizes[id(value)] = size, value
        return known[0]

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluate a node."""
        self.pay(PER_NODE)
        return super().visit(node, *args, **kwargs)

    def visit_comparator(self, node: Any, value: Any) -> Any:
        """Compare two values, each of which is paid for."""
        left, right = (self.visit(child, value) for child in node["children"])
        self.pay(self.size(left) + self.size(right))
        both = [{"type": "literal", "value": side, "children": []} for side in (left, right)]
        return super().visit_comparator({**node, "children": both}, value)

    def visit_flatten(self, node: Any, value: Any) -> Any:
        """Make one list of a list's lists, once it is known how long it gets."""
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.pay(sum(len(element) if isinstance(element, list) else 1 for element in base))
        return super().visit_flatten({"children": [{"type": "literal", "value": base, "children": []}]}, value)

    def visit_slice(self, node: Any, value: Any) -> Any:
        """Copy a part of a list."""
        self.pay(len(value) if isinstance(value, list) else 0)
        return super().visit_slice(node, value)

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        """Call a function, whose arguments are paid for: what it makes is not larger than what they are together."""
        arguments = [self.visit(child, value) for child in node["children"]]
        self.pay(sum(map(self.size, arguments)))
        if node["value"] == "join" and all(isinstance(each, kind) for each, kind in zip(arguments, (str, list), strict=False)):
            self.pay(self.size(arguments[0]) * len(arguments[1]))
        return self._functions.call_function(node["value"], arguments)
