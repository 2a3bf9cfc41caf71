"""`cberl token`"""

import time
from pathlib import Path

import click

from engine.access.keys import key_file, load_keys, save_keys
from engine.access.tokens import SCOPES, Grant, Scope, issue, new_grant
from engine.config import load_settings
from engine.names import ALL_CONVERSATIONS, name_problem

MAX_DAYS = 3650.0


@click.command(
    "token",
    epilog="""\b
Examples:
  cberl token --conversation 'support-*' --speaker alice --publish --listen --days 30
  cberl token --listen --all --history         for a dashboard of all conversations
  cberl token --admin --days 1                 for everything, for a day
  cberl token --deny 3f2a9c81d07e              withdraw the token with this id
  cberl token --rotate                         sign with a new key from now on""",
)
@click.option("--conversation", default=ALL_CONVERSATIONS, help="Conversations it is for; * stands for any text.")
@click.option("--speaker", help="The only speaker it may publish as.")
@click.option("--publish", is_flag=True, help="Send media and captions.")
@click.option("--listen", is_flag=True, help="Receive the events of its conversations.")
@click.option("--all", "everything", is_flag=True, help="List conversations, and receive the events of all at once.")
@click.option("--history", is_flag=True, help="Read stored events.")
@click.option("--delete", is_flag=True, help="Delete conversations.")
@click.option("--metrics", is_flag=True, help="Read the state of the engine.")
@click.option("--admin", is_flag=True, help="All of these.")
@click.option("--days", type=click.FloatRange(0, MAX_DAYS, min_open=True), default=30.0, show_default=True)
@click.option("--deny", metavar="ID", help="Withdraw a token; sockets that use it are closed within seconds.")
@click.option("--rotate", is_flag=True, help="Make a new key. Tokens of the last two keys stay valid.")
@click.option("--keys", type=click.Path(path_type=Path), help="File with the keys  [default: the setting keys]")
def command(
    conversation: str, speaker: str | None, everything: bool, admin: bool, days: float, deny: str | None,
    rotate: bool, keys: Path | None, **scopes: bool,
) -> None:  # fmt: skip
    """Print a signed token for others to use this engine, or withdraw one.

    The token goes to stdout, its id to stderr. A running engine accepts it at once.
    """
    path = keys or key_file(load_settings().keys)
    present, _ = load_keys(path)
    if deny is not None:
        save_keys(path, present.denying(deny, time.time() + MAX_DAYS * 86_400))
        click.echo(f"Token {deny} is withdrawn.", err=True)
    if rotate:
        save_keys(path, present.rotated())
        click.echo("New tokens are signed with a new key.", err=True)
    if deny is not None or rotate:
        return
    granted: frozenset[Scope] = frozenset(
        scope for scope in SCOPES if admin or (everything if scope == "all" else scopes[scope])
    )
    if not granted:
        raise click.UsageError("say what the token is for: --publish, --listen, --all, --history, --delete, --metrics")
    if speaker is not None and (problem := name_problem("--speaker", speaker)):
        raise click.UsageError(problem)
    grant = new_grant(granted, conversation, speaker, days)
    click.echo(issue(present, grant))
    click.echo(_summary(grant), err=True)


def _summary(grant: Grant) -> str:
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(grant.expires_s))
    scopes = ", ".join(scope for scope in SCOPES if scope in grant.scopes)
    return f"Token {grant.id}: {scopes} in {grant.conversations}, until {day}."
