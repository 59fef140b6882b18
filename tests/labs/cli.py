"""The labs on the command line: `up` stays in the foreground, and does what the other commands ask of it."""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.labs import common
from tests.labs.common import LabError


def main(
    description: str,
    name: str,
    lab_class: type,
    install: Callable[[], object],
    methods: Iterable[str],
    add_arguments_of_up: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
    shown: Callable[[Any], object] = lambda lab: lab.inventory(),
) -> None:
    """Do what the command line says.

    Args:
        description: for --help.
        name: what a lab is called when the user does not say.
        lab_class: the lab's class.
        install: makes what labs need.
        methods: those of lab_class that are commands.
        add_arguments_of_up: adds to the parser of `up` the arguments of lab_class.
        shown: what `up` prints of a lab: how to reach it.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", default=name, metavar="NAME", help="which of several labs that are up (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="make what labs need, once")
    up = commands.add_parser("up", help="start a lab, print how to reach it, and stay")
    add_arguments_of_up(up)
    for method in methods:
        command = commands.add_parser(method, help=getattr(lab_class, method).__doc__.splitlines()[0])
        command.add_argument("words", nargs="*", type=_word, metavar="ARGUMENT")
    commands.add_parser("down", help="end the lab")
    arguments = vars(parser.parse_args())
    command, socket_path = arguments.pop("command"), common.labs_dir() / f"{arguments.pop('lab')}.sock"

    with _told_to_users():
        if command in ("install", "up") and (lacks := lab_class.missing()):
            raise LabError(f"this machine lacks {lacks}")
        if command == "install":
            install()
        elif command == "up":
            with _listening(socket_path) as listener, lab_class(**arguments) as lab:
                print(json.dumps(shown(lab), indent=2), flush=True)
                _serve(listener, {method: getattr(lab, method) for method in methods})
        else:
            _ask(socket_path, command, *arguments.get("words", []))


def _word(text: str) -> int | str:
    """A word of the command line: a number where it looks like one."""
    return int(text) if text.isdecimal() else text


@contextlib.contextmanager
def _told_to_users() -> Iterator[None]:
    """End the process with a LabError's message, and quietly when the user ends it."""
    try:
        yield
    except LabError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A socket at this path; raises LabError when a lab listens there already."""
    with socket.socket(socket.AF_UNIX) as listener:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as other:
            other.connect(str(path))
            raise LabError(f"a lab is up at {path} already; give this one another name (--lab)")
        path.unlink(missing_ok=True)  # a dead one's
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _serve(listener: socket.socket, commands: Mapping[str, Callable[..., object]]) -> None:
    """Do what others _ask() for over this socket, one after the other, until one asks for `down`."""
    asked = None
    while asked != "down":
        connection, _ = listener.accept()
        with contextlib.suppress(OSError), connection, connection.makefile("rw", encoding="utf-8") as channel:
            request = channel.readline()
            if not request:
                continue  # somebody only looked whether we are here
            asked, *arguments = json.loads(request)
            channel.write(json.dumps({} if asked == "down" else _do(commands[asked], arguments)))


def _do(command: Callable[..., object], arguments: list[Any]) -> dict[str, str]:
    try:
        result = command(*arguments)
    except (LabError, TypeError) as error:  # TypeError: too few or too many arguments
        return {"error": str(error)}
    return {} if result is None else {"output": str(result)}


def _ask(path: Path, *words: object) -> None:
    """Have the lab at this socket do a command; prints its answer. Raises LabError when it failed or no lab is up."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError as error:
            raise LabError(f"no lab is up at {path} ({error.strerror}); `up` starts one") from error
        with connection.makefile("rw", encoding="utf-8") as channel:
            channel.write(json.dumps(words) + "\n")
            channel.flush()
            answer = json.loads(channel.readline() or '{"error": "the lab has ended"}')
    if "error" in answer:
        raise LabError(answer["error"])
    if output := answer.get("output", "").rstrip("\n"):
        print(output)
