"""An alarm in words: what a venue and the engine do not agree on."""

from crosswire.engine.build.market import instrument_names
from crosswire.engine.build.run import Run
from crosswire.venues.order import Applied, is_alarm

WORDS = {
    Applied.UNKNOWN_ORDER: "of an order that is not ours",
    Applied.OVERFILL: "of a fill larger than what was left",
    Applied.FILL_AFTER_CLOSE: "of a fill after its order's end",
    Applied.BAD_FILL: "of a fill of another instrument or side, or of no size that there can be",
    Applied.CONTRADICTION: "that the order's state rules out",
    Applied.BAD_PRICE: "of a fill through its order's limit",
    Applied.BAD_FEE: "of a fee far from what is configured",
    Applied.BAD_LEAVES: "that does not add up with the order's fills",
    Applied.BAD_INSTRUMENT: "of another instrument than the order's",
    Applied.BAD_EXECUTION: "with an execution id that is another fill's, or out of line",
}


def alarm_text(run: Run) -> str:
    """Say in one line what the alarm is about, "" if there is none; also once the run has logged out."""
    engine = run.engine
    said = []
    for outcome in Applied:
        count = engine.orders.outcomes[outcome]
        if is_alarm(outcome) and count != 0:
            said.append(f"{count} report{'s' if count > 1 else ''} {WORDS[outcome]}")
    for number, venue in enumerate(run.config.venue):
        lost, account = engine.gate.venues[number].lost_orders, engine.venues[number]
        if lost != 0:
            what = "one of its session's links was lost for good" if account.links_gone != 0 else "its session was lost"
            said.append(f"{venue.name}: {what} with {lost} order{'s' if lost > 1 else ''} open")
        if account.session.is_resumed != 0 and account.losses != 0:
            said.append(
                f"{venue.name}: its session could not go on where the last run had stopped, so it is not known what we"
                " have there: see crosswire reconcile"
            )
        if account.strangers != 0:
            said.append(
                f"{venue.name} has {account.strangers} order{'s' if account.strangers > 1 else ''} open or position"
                f"{'s' if account.strangers > 1 else ''} that we do not know, or not so"
            )
        if account.differences != 0:
            said += differences_at(run, number)
    if engine.gate.alarms != 0 and not said:
        said.append("what a venue had otherwise than we is settled by now, and was not when all was cancelled")
    return "; ".join(said)


def differences_at(run: Run, number: int) -> list[str]:
    """Say which positions a venue has otherwise."""
    engine, names = run.engine, instrument_names(run.config)
    return [
        f"{names[index]}: {engine.gate.positions[index].position_lots} lots by our journal,"
        f" {engine.state.told_lots[index]} by the venue's account"
        for index in range(engine.market.count)
        if engine.market.instruments[index].venue == number
        and engine.gate.positions[index].position_lots != engine.state.told_lots[index]
    ]
