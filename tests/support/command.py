"""The `crosswire` command, run in this process."""

from typer.testing import CliRunner

from crosswire.engine.cli import app


def ask(*words: object) -> tuple[int, list[str], str]:
    """Exit code, lines on standard output, and standard error, of a command. A traceback fails the test."""
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "400"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout.splitlines(), result.stderr
