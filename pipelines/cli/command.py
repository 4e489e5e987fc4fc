"""The classes of commands: options in sections, all that is missing told at once, hints for what is mistyped."""

import importlib
import re
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

_WORD = re.compile(r"[a-z]+")


class Command(click.Command):
    """`sections` names the parameters of each section of the help; those of none end the last."""

    def __init__(self, *words: Any, sections: Mapping[str, Sequence[str]] | None = None, **attributes: Any) -> None:
        super().__init__(*words, **attributes)
        self._sections = sections or {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = {param.name: param for param in self.get_params(ctx) if isinstance(param, click.Option)}
        records = {name: record for name, option in options.items() if (record := option.get_help_record(ctx))}
        titled = {
            title: [records.pop(name) for name in names if name in records] for title, names in self._sections.items()
        }
        titled.setdefault([*titled][-1] if titled else "Options", []).extend(records.values())
        for title, found in titled.items():
            if found:
                with formatter.section(title):
                    formatter.write_dl(found)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if meant := self._meant(ctx, error.option_name):
                raise click.UsageError(f"{error.message} Did you mean {' or '.join(meant)}?", ctx) from None
            raise
        except click.MissingParameter as error:
            missing = self._missing(ctx, given)
            if len(missing) > 1:
                raise click.UsageError(f"Missing {' and '.join(missing)}.", ctx) from None
            raise error from None

    def _meant(self, ctx: click.Context, typed: str) -> list[str]:
        """Return the options whose name, or the beginning of whose meaning, has most words of what was typed."""
        words, scores = _words(typed), dict[str, tuple[int, int]]()
        for option in self.get_params(ctx):
            if not isinstance(option, click.Option) or not option.help or option.hidden:
                continue
            named, meaning = _words(option.opts[-1]), _words(option.help)
            if "".join(word[0] for word in named).startswith(typed.lstrip("-")):  # --lr
                scores[f"{option.opts[0]} ({_as_clause(option.help)})"] = (-1, -1)
            elif common := [word for word in words if word in (*named, *meaning)]:
                first = -1 if set(common) <= set(named) else min(map(meaning.index, set(common) & set(meaning)))
                scores[f"{option.opts[0]} ({_as_clause(option.help)})"] = (-len(common), first)
        return [text for text, score in scores.items() if score == min(scores.values())][:3]

    def _missing(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(args)
        required = [param for param in self.params if param.required]
        missing = [param for param in required if param.value_is_missing(param.consume_value(ctx, given)[0])]
        return [
            f"{param.opts[0]} ({_as_clause(param.help)})"
            if isinstance(param, click.Option) and param.help
            else param.make_metavar(ctx)
            for param in missing
        ]


def _words(text: str) -> list[str]:
    # "epochs" is meant by "--epoch", too.
    return [word.rstrip("s") for word in _WORD.findall(text.lower().partition("  [")[0])]


def _as_clause(text: str) -> str:
    sentence = text.partition("  [")[0].partition(". ")[0].rstrip(".")
    return sentence[0].lower() + sentence[1:]


class _Commands(UserDict[str, Any]):
    """Commands by name; one that stands as "module:attribute" is imported when it is asked for."""

    def __getitem__(self, key: str) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = self[key] = getattr(importlib.import_module(module), attribute)
        return found


class Group(click.Group):
    """A group of such commands; `places` says where the module of a command is, as "module:attribute".

    Modules are imported one at a time: a command pays for its own alone.
    """

    command_class = Command
    group_class = type

    def __init__(self, *words: Any, places: Mapping[str, str] | None = None, **attributes: Any) -> None:
        super().__init__(*words, **attributes)
        self.commands = _Commands(places or {})


def command(**attributes: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function."""
    return click.command(cls=Command, **attributes)


def group(**attributes: Any) -> Callable[[Callable[..., Any]], Group]:
    """Make a group of a function."""
    return click.group(cls=Group, **attributes)
