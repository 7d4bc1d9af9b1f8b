"""What an operator has asked of a run, in words."""

from crosswire.engine.control.mailbox import CommandKind, Flattening, Outcome, client_text
from crosswire.engine.state import Engine


class CommandTeller:
    """Tells of commands that were taken, as somebody sees who looks now and then: the last one, and how many."""

    def __init__(self, engine: Engine) -> None:
        self.control = engine.control
        self.taken = 0
        self.flattening = (0, int(Flattening.NONE))  # number of its command, and how far it is

    def take_lines(self) -> list[str]:
        """Give a line for what has come since, and one for a FLATTEN that has ended."""
        lines = []
        taken = sum(self.control.outcomes)
        if taken != self.taken:
            more = f" (and {taken - self.taken - 1} before it)" if taken - self.taken > 1 else ""
            self.taken = taken
            lines.append(f"{command_text(self.control.command.kind)} by {self.client}: {self.outcome}{more}")
        flatten = self.control.flatten
        if self.flattening != (flatten.number, flatten.state):
            self.flattening = (flatten.number, flatten.state)
            if flatten.state == Flattening.FLAT:
                lines.append("flatten: nothing is held")
            elif flatten.state == Flattening.LEFT:
                lines.append(f"flatten: {flatten.left} instruments are still held, and its tries are used up")
        return lines

    @property
    def client(self) -> str:
        """Who gave the last command."""
        return client_text(bytes(self.control.command.client))

    @property
    def outcome(self) -> str:
        """What became of it."""
        return name_text(Outcome, self.control.outcome)


def command_text(kind: int) -> str:
    """Name a command; one that there is not, too."""
    return name_text(CommandKind, kind)


def name_text(names: type[CommandKind] | type[Outcome], value: int) -> str:
    """Name a number in words."""
    return names(value).name.lower().replace("_", " ") if value in list(names) else f"{value}"
