"""Help pages: plain text, as wide as the terminal, without the types of Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from typer.core import TyperCommand, TyperGroup

HEADING = "Examples:"
KEEP_LINES = "\b"  # the next paragraph keeps its lines
CONTINUED = "\\\n"


class Command(TyperCommand):
    """A command whose help page lists its arguments and options in words."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What follows the name of the command in the line `Usage:`."""
        arguments = [p for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(_name(argument) for argument in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The arguments, then the options: name, what it does, default."""
        _list_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """A command that holds others; its help page lists them by what they are for."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The commands of each panel, then the options."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                panels.setdefault(panel, []).append((name, _first_sentence(command.help or "")))
        widest = max(len(name) for rows in panels.values() for name, _ in rows)
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), text) for name, text in rows])
        _list_parameters(self, ctx, formatter)


def help_text(command: Callable[..., Any]) -> str:
    """The docstring of a command: one line for each paragraph, the examples as they are."""
    text = inspect.getdoc(command) or ""
    said, heading, examples = text.partition(HEADING)
    said = "\n\n".join(" ".join(paragraph.split()) for paragraph in said.strip().split("\n\n"))
    return f"{said}\n\n{KEEP_LINES}\n{HEADING}{examples.rstrip()}" if heading else said


def examples_of(command: Callable[..., Any]) -> list[str]:
    """The command lines in the docstring of a command; a continued line is joined to its first."""
    _, _, examples = (inspect.getdoc(command) or "").partition(HEADING)
    return [line.strip() for line in examples.replace(CONTINUED, " ").splitlines() if line.strip()]


def _list_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    shown = [p for p in command.get_params(ctx) if not getattr(p, "hidden", False)]
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        rows = [(_name(p), _explained(p, ctx)) for p in shown if p.param_type_name == kind]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows, col_max=28)


def _name(parameter: Any) -> str:
    """How a parameter is written on the command line, as `--out FOLDER`."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    names = ", ".join(sorted(parameter.opts, key=len))
    return names if parameter.is_flag else f"{names} {parameter.metavar}"


def _explained(parameter: Any, ctx: Any) -> str:
    """The help of a parameter with its default, or that it must be given."""
    text = parameter.help or ""
    if parameter.required:
        return text if parameter.param_type_name == "argument" else f"{text} [required]"
    default = parameter.show_default
    if default is True and not parameter.is_flag:
        default = parameter.get_default(ctx, call=False)
        default = f"{default:g}" if isinstance(default, float) else default
    return text if default is None or isinstance(default, bool) else f"{text} [default: {default}]"


def _first_sentence(text: str) -> str:
    return text.split("\n\n")[0].removesuffix(".")
