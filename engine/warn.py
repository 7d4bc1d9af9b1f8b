"""Showing warnings the same way in every command: after the figures, or on standard error beside JSON."""

from collections.abc import Sequence

from rich.console import Console

from crosswire.nic.warning import DataWarning


def print_warnings(warnings: Sequence[DataWarning | str], console: Console) -> None:
    """Print a line for each warning; nothing when there is none."""
    for warning in warnings:
        console.print(f"warning: {warning}", style="red", markup=False, highlight=False, soft_wrap=True)
