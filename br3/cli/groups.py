"""A group of commands whose help says each command's first sentence whole, on as many lines as it takes."""

from __future__ import annotations

import click

_LONGER_THAN_ANY = 1000


class Group(click.Group):
    """As click's own, which cuts sentences off at the terminal's width."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, found.get_short_help_str(_LONGER_THAN_ANY)) for name, found in commands if found is not None]
            )
