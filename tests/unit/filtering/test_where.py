"""Expressions over events: what they pick, and how a wrong one is told."""

from __future__ import annotations

import json
import tracemalloc

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth0_webhooks.filtering.budget import BUDGET, CHARACTERS, PER_NODE, BudgetedInterpreter, BudgetExceededError
from auth0_webhooks.filtering.expression import _compiled
from auth0_webhooks.filtering.selection import Selection, Tally, select
from auth0_webhooks.filtering.where import Where
from tests.support.factory import events, one_batch
from tests.support.shapes import shaped_logs

EVENT = {
    "type": "fp",
    "description": "Wrong email or password.",
    "connection": "Users",
    "client_name": "Back office",
    "ip": "10.1.2.3",
    "user_name": "ada@example.com",
    "isMobile": False,
    "mapped": "::ffff:10.1.2.3",
    "with_port": "10.1.2.3:443",
    "two": "10.1.2.3, 10.4.5.6",
    "nothing": "",
    "scope": ["openid", "email"],
    "details": {"error": {"message": "invalid_grant"}, "stats": {"loginsCount": 7}, "prompts": [{"name": "mfa"}]},
}


def fits(expression, event=EVENT):
    return Where(expression).fits(json.dumps(event))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("connection == 'Users'", True),
        ("connection == 'Users' && client_name != 'Shop'", True),
        ("connection != 'Users' || !isMobile", True),
        ("ends_with(user_name, '@example.com')", True),
        ("starts_with(user_name, 'grace')", False),
        ("in_network(ip, '10.0.0.0/8')", True),
        ("!in_network(ip, '10.0.0.0/8')", False),
        ("in_network(mapped, '10.0.0.0/8')", True),
        ('"user_name" || "no-field" == \'x\'', True),
        ("\"no-field\" != 'x'", True),
        ("in_network(ip, '2001:db8::/32') || in_network(ip, '10.1.2.3')", True),
        ("contains(description, 'password')", True),
        ("contains(lower(description), 'wrong')", True),
        ("contains(scope, 'email')", True),
        ("contains(['Users', 'Partners'], connection)", True),
        ("details.error.message == 'invalid_grant'", True),
        ("details.stats.loginsCount > `5`", True),
        ("details.prompts[?name == 'mfa']", True),
        ("details.prompts[?name == 'login']", False),
        ("details.error", True),
        # What an event does not have fits nothing, and is no error.
        ("nobody == 'x'", False),
        ("contains(nobody, 'x')", False),
        ("starts_with(nobody, 'x') || ends_with(no.body, 'x') || in_network(nobody, '10.0.0.0/8')", False),
        ("lower(nobody) == 'x'", False),
        ("in_network(nothing, '10.0.0.0/8')", False),
        ("length(nobody) > `0`", False),
        # What makes no sense of this event cannot be told.
        ("connection > `5`", None),
        ("length(isMobile) > `1`", None),
        ("in_network(description, '10.0.0.0/8')", None),
        ("in_network(with_port, '10.0.0.0/8')", None),
        ("in_network(two, '10.0.0.0/8')", None),
        ("in_network(ip, connection)", None),
        ("starts_with(details, 'x')", None),
    ],
)
def test_an_expression_picks_by_any_field(expression, expected):
    assert fits(expression) is expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "expected an expression"),
        ("type = 'f'", "character 6 of the expression, at \"= 'f'\": Unknown token '='"),
        ("type == 'f' and ip", "character 13 of the expression, at 'and ip'"),
        (
            "type == 'f' && (",
            "character 17 of the expression, its end: expected something else here, or the expression is incomplete",
        ),
        ("type == 'f", "character 9 of the expression, at \"'f\": Unclosed ' delimiter"),
        ('type == "f"', "character 9 of the expression, at '\"f\"': put texts in single quotes"),
        ("a && matches(type, 'f')", "character 6 of the expression, .*there is no function 'matches'; there are abs, avg"),
        ("type == 'f' || contains(type)", "character 16 of the expression, .*contains takes 2 arguments, not 1"),
        ("x[?in_network(ip, '10.0.0.0/99')]", "character 4 of the expression, .*a network such as '10.0.0.0/8'"),
        ('"Partners" == connection', "character 1 of the expression, .*put texts in single quotes"),
        ('contains("Shop", client_name)', "character 10 of the expression, .*put texts in single quotes"),
        ("contains(a, 'b') || contains(c)", "character 21 of the expression, .*contains takes 2 arguments, not 1"),
        ("in_network('10.0.0.0/8', ip)", "character 1 of the expression, .*an address and a network"),
        ("in_network(ip, `[1]`)", "character 1 of the expression, .*an address and a network"),
        ("(" * 5000 + "a" + ")" * 5000, "nested too deeply"),
    ],
)
def test_an_expression_that_is_wrong_is_told_with_its_place(expression, message):
    with pytest.raises(ValueError, match=message):
        Where(expression)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(["ip", "connection", "details"]), inside),
        max_leaves=8,
    )
)
def test_no_event_breaks_an_expression(value):
    where = Where("in_network(ip, '10.0.0.0/8') || contains(connection, 'a') || details.x > `5` || lower(details) == 'x'")
    assert where.fits(json.dumps({"ip": value, "connection": value, "details": value})) in {True, False, None}


@given(shaped_logs())
def test_an_expression_is_decided_for_events_of_every_type(made):
    where = Where("in_network(ip, '203.0.113.0/25') || contains(lower(user_name), 'ada') && details.session_id != 'x'")
    for event in made:
        read = json.loads(event.body)
        inside = "ip" in read and int(read["ip"].rpartition(".")[2]) < 128
        assert where.fits(event.body) is (inside or "ada" in read.get("user_name", ""))


def test_numbers_that_python_refuses_can_be_compared():
    assert Where("n > `5`").fits('{"n": ' + "9" * 5000 + "}") is True
    assert Where("n > `5`").fits('{"n": 1e999}') is True


def test_a_number_that_no_function_can_take_leaves_the_event_undecided():
    assert Where("floor(n) > `5`").fits('{"n": 1e999}') is None


def again(step: str, times: int = 40) -> str:
    return "|".join([step] * times)


LARGE = {"texts": ["word"] * 500, "text": "x" * 10_000, "number": 1}
GREEDY = {
    "doubles a list": f"[@]|{again('[@,@][]')}",
    "doubles a list of lists, to write it down": f"{again('[@,@]')}|to_string(@)",
    "doubles two lists of lists, to compare them": f"({again('[@,@]')}) == ({again('[@,@]')})",
    "doubles two lists of lists, to find one in the other": f"contains({again('[@,@]')}, {again('[@,@]', 39)})",
    "doubles an object": f"{again('{a:@,b:@}')}|to_string(@)",
    "doubles by projections": f"texts[*].[@,@][]|{again('[*].[@,@][]')}",
    "doubles by map": f"texts|{again('map(&[@,@],@)|[]')}",
    "doubles a text": f"text|{again('join(@,[@,@])')}",
    "doubles a text's escapes": again("to_string([@,@])"),
    "joins by a long text": f"join(join('', texts), texts)|{again('join(@, [@,@,@])')}",
    "sorts what it doubles": f"texts|{again('sort([@,@][])')}",
    "sorts by a key what it doubles": f"texts|{again('sort_by([@,@][],&@)')}",
    "reverses what it doubles": f"texts|{again('[@,@][]|[::-1]')}",
    "merges what it doubles": f"@|{again('merge(@,{x:@,y:@})')}|to_string(@)",
    "flattens one list many times": f"texts|{again('[' + ','.join('@' * 150) + ']', 2)}|[]|[]",
}


@pytest.mark.parametrize("expression", GREEDY.values(), ids=GREEDY.keys())
def test_an_expression_that_costs_too_much_leaves_the_event_undecided(expression):
    assert Where(expression).fits(json.dumps(LARGE)) is None


@pytest.mark.parametrize(
    "name",
    ["doubles a list", "doubles a text", "doubles a list of lists, to write it down", "flattens one list many times"],
)
def test_an_expression_that_costs_too_much_takes_little_memory(name):
    body, where = json.dumps(LARGE), Where(GREEDY[name])
    tracemalloc.start()
    try:
        where.fits(body)
        assert tracemalloc.get_traced_memory()[1] < 64_000_000
    finally:
        tracemalloc.stop()


def test_what_is_undecided_for_its_cost_is_selected_and_counted():
    tally = Tally()
    selected = select(one_batch(events(3)), Selection(where=Where(GREEDY["doubles a list"])), tally)
    assert (len(selected.events), tally.undecided, tally.selected_types) == (3, 3, {"s": 3})


def test_usual_expressions_over_a_large_event_cost_a_small_part_of_the_budget():
    event = {**EVENT, "details": {**EVENT["details"], "prompts": [{"name": f"p{n}", "text": "x" * 100} for n in range(200)]}}
    for expression in (
        "details.prompts[?name == 'p7' && contains(text, 'x')]",
        "contains(['Users', 'Partners'], connection) && !in_network(ip, '203.0.113.0/24')",
        "contains(to_string(@), 'invalid_grant')",
        "length(details.prompts[*].name | sort(@)) > `100`",
    ):
        parsed, options = _compiled(expression)
        interpreter = BudgetedInterpreter(options)
        assert interpreter.visit(parsed, event)
        assert interpreter.left > BUDGET * 0.9


# Random expressions over random events: every one ends within the budget, and says what JMESPath says.
names = st.sampled_from(["a", "b", "c", "texts", "@", "a.b", "*", "[*]", "[]", "a[]", "b[*].a", "[0]", "[::-1]", "[-1:]", "a.*"])
literals = st.sampled_from(["`1`", "`0`", "`[1,[2,[3]]]`", "`{}`", "'x'", "'a'", "`null`", "`true`", "`1e999`", "`[]`"])


growing = st.sampled_from(
    ["[@,@][]", "[@,@]", "map(&[@,@],@)", "to_string([@,@])", "join(@,[@,@])", "{a:@,b:@}", "[*].[@,@][]", "merge(@,{a:@,b:@})"]
)


def larger(inside):
    def call(name, *arguments):
        return st.tuples(*arguments).map(lambda made: f"{name}({', '.join(made)})")

    pairs = st.tuples(inside, inside)
    one = ["to_string", "to_array", "to_number", "length", "sort", "reverse", "keys", "values", "type", "sum", "avg", "abs"]
    return st.one_of(
        pairs.map(lambda pair: f"{pair[0]}|{pair[1]}"),
        pairs.map(lambda pair: f"[{pair[0]},{pair[1]}]"),
        pairs.map(lambda pair: f"[{pair[0]},{pair[1]}][]"),
        pairs.map(lambda pair: f"{{a:{pair[0]},b:{pair[1]}}}"),
        st.tuples(inside, st.sampled_from(["==", "!=", "<", ">=", "&&", "||"]), inside).map(lambda three: f"({' '.join(three)})"),
        pairs.map(lambda pair: f"[?{pair[0]}].[{pair[1]}]"),
        inside.map(lambda one: f"!({one})"),
        st.tuples(inside, st.integers(2, 30)).map(lambda pair: again(pair[0], min(pair[1], 1 + 2_000 // len(pair[0])))),
        st.tuples(inside, growing, st.integers(2, 30)).map(lambda three: f"{three[0]}|{again(*three[1:])}"),
        *(call(name, inside) for name in (*one, "max", "min", "floor", "ceil", "lower")),
        *(call(name, inside, inside) for name in ("join", "contains", "merge", "not_null", "starts_with", "in_network")),
        *(call(name, inside, inside.map("&{}".format)) for name in ("sort_by", "max_by", "min_by")),
        call("map", inside.map("&{}".format), inside),
    )


expressions = st.recursive(names | literals, larger, max_leaves=25)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("x" * 1_000),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.sampled_from("abc"), inside),
    max_leaves=20,
)
LITTLE = 20_000


class Watched(BudgetedInterpreter):
    """Counts what it evaluates, and how large what comes out is."""

    nodes = longest_list = longest_text = 0

    def visit(self, node, *args, **kwargs):
        value = super().visit(node, *args, **kwargs)
        self.nodes += 1
        if isinstance(value, list | dict):
            self.longest_list = max(self.longest_list, len(value))
        if isinstance(value, str):
            self.longest_text = max(self.longest_text, len(value))
        return value


def outcome(search):
    """What it finds, or how it fails."""
    try:
        return search()
    except BudgetExceededError:
        raise
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        return repr(type(error))


@settings(max_examples=120, deadline=None)
@given(expressions, st.fixed_dictionaries({"a": anything, "b": anything, "texts": st.just(["word"] * 20)}))
def test_every_expression_ends_within_its_budget_and_says_what_jmespath_says(expression, event):
    body = json.dumps(event)
    event = json.loads(body)
    try:
        parsed, options = _compiled(expression)
    except ValueError:
        return
    watched = Watched(options, LITTLE)
    try:
        found = outcome(lambda: watched.visit(parsed, event))
        watched.pay(watched.size(found))  # it may hold a list again and again, and then takes long to write down
    except BudgetExceededError:
        pass
    else:
        plain = outcome(lambda: jmespath.compile(expression).search(event, options=options))
        assert json.dumps(found, default=repr) == json.dumps(plain, default=repr)
    assert watched.nodes <= LITTLE // PER_NODE
    assert watched.longest_list <= LITTLE
    # A join can write what it is given and what stands between, and JSON six characters for one.
    assert watched.longest_text <= 6 * CHARACTERS * LITTLE
    assert Where(expression).fits(body) in {True, False, None}
