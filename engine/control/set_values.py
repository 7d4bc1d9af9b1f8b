"""A SET in the loop: every value is judged beside all others, then all of them are set or none."""

from crosswire.engine.control.mailbox import NOBODYS, Control, Outcome
from crosswire.nic.memory.raw import load_i64, store_i64
from crosswire.nic.unit.compile import compiled


@compiled
def judge_values(control: Control) -> int:
    """Judge what would stand there; `detail` says which item, or which rule."""
    command = control.command
    for place in range(control.parameter_count):
        control.parameters[place].staged = load_i64(control.parameters[place].address)
    for number in range(command.item_count):
        item = command.items[number]
        control.detail = number
        if item.parameter < 0 or item.parameter >= control.parameter_count:
            return Outcome.BAD_PARAMETER
        for before in range(number):
            if command.items[before].parameter == item.parameter:
                return Outcome.BAD_PARAMETER
        parameter = control.parameters[item.parameter]
        if item.value < parameter.least or item.value > parameter.most:
            return Outcome.OUT_OF_RANGE
        parameter.staged = item.value
    for place in range(control.rule_count):
        if staged_sum(control, place) > control.rules[place].most:
            control.detail = place
            return Outcome.CONTRADICTION
    control.detail = 0
    return Outcome.DONE


@compiled
def staged_sum(control: Control, place: int) -> int:
    """Return the sum of a rule, from what would stand there."""
    rule = control.rules[place]
    first, second = control.parameters[rule.first].staged, control.parameters[rule.second].staged
    return first * rule.first_factor + second * rule.second_factor


@compiled
def set_values(control: Control) -> None:
    """Set what was judged, and what is derived from it: that only grows, as sums that were counted rely on it."""
    for number in range(control.command.item_count):
        parameter = control.parameters[control.command.items[number].parameter]
        store_i64(parameter.address, parameter.staged)
    for place in range(control.rule_count):
        rule = control.rules[place]
        if rule.address != 0:
            store_i64(rule.address, max(load_i64(rule.address), staged_sum(control, place)))


@compiled
def strategies_changed(control: Control) -> int:
    """Tell of which strategies a SET has parameters: a bit each."""
    changed = 0
    for number in range(control.command.item_count):
        strategy = control.parameters[control.command.items[number].parameter].strategy
        if strategy != NOBODYS:
            changed |= 1 << strategy
    return changed
