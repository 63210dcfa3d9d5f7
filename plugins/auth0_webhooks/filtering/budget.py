"""Evaluates a JMESPath expression within a budget, so that no expression can exhaust a worker.

Without a budget, a hundred characters are enough: ``[@]|[@,@][]|[@,@][]|...`` doubles a list at each step.
"""

from __future__ import annotations

from typing import Any

from jmespath.visitor import TreeInterpreter

BUDGET = 1_000_000
"""Units that one event may cost: a fraction of a second, and tens of megabytes."""
PER_NODE = 10
"""Units for each evaluation of a node of the expression: about a microsecond."""
CHARACTERS = 16
"""Characters of a text per unit, when it is created, compared or searched; an element of a list or object costs one unit."""


class BudgetExceededError(ValueError):
    """The expression costs more than one event may."""


class BudgetedInterpreter(TreeInterpreter):  # type: ignore[misc]
    """JMESPath's own interpreter, charging for each node before evaluating it, and for each value before creating it.

    A value's size is the size of the whole tree below it, even if the same list occurs in it many times: that is what
    comparing or serializing the value costs.
    """

    def __init__(self, options: Any, budget: int = BUDGET) -> None:
        super().__init__(options)
        self.left = budget
        # By id; the value is kept, too, so that no other object can get the same id.
        self._sizes: dict[int, tuple[int, Any]] = {}

    def pay(self, units: int) -> None:
        """Charge units to the budget.

        :raises BudgetExceededError: when fewer are left.
        """
        self.left -= units
        if self.left < 0:
            raise BudgetExceededError("the expression costs too much")

    def size(self, value: Any) -> int:
        """Units for a value and everything in it."""
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
        """Compare two values, charging for both."""
        left, right = (self.visit(child, value) for child in node["children"])
        self.pay(self.size(left) + self.size(right))
        both = [{"type": "literal", "value": side, "children": []} for side in (left, right)]
        return super().visit_comparator({**node, "children": both}, value)

    def visit_flatten(self, node: Any, value: Any) -> Any:
        """Flatten a list of lists, charging for the result first."""
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.pay(sum(len(element) if isinstance(element, list) else 1 for element in base))
        return super().visit_flatten({"children": [{"type": "literal", "value": base, "children": []}]}, value)

    def visit_slice(self, node: Any, value: Any) -> Any:
        """Slice a list."""
        self.pay(len(value) if isinstance(value, list) else 0)
        return super().visit_slice(node, value)

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        """Call a function, charging for its arguments: its result is no larger than they are together."""
        arguments = [self.visit(child, value) for child in node["children"]]
        self.pay(sum(map(self.size, arguments)))
        if node["value"] == "join" and all(isinstance(each, kind) for each, kind in zip(arguments, (str, list), strict=False)):
            self.pay(self.size(arguments[0]) * len(arguments[1]))
        return self._functions.call_function(node["value"], arguments)
