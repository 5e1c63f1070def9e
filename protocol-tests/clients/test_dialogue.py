"""Whole dialogues from dialogue.txt, typed line by line, all at once, and byte by byte."""

import re
import socket
from pathlib import Path

import pytest

SCRIPT = (Path(__file__).parent / "dialogue.txt").read_text()
DIALOGUES = {
    title: text.splitlines()
    for title, text in re.findall(r"^== (.+)\n((?:.*\n)*?)(?=\n== |\Z)", SCRIPT, re.MULTILINE)
}
UNIQUE = "<unique>"


def steps(lines: list[str]) -> list[tuple[str, str]]:
    """The dialogue as (typed, answered) pairs, each in whole lines."""
    pairs = [["", ""]]
    for line in lines:
        if line.startswith(">"):
            if pairs[-1][1]:
                pairs.append(["", ""])
            pairs[-1][0] += line[2:] + "\r\n"
        else:
            pairs[-1][1] += line + "\r\n"
    return [(typed, answered) for typed, answered in pairs]


def expect(connection: socket.socket, answer: str, typed: str) -> str:
    """Reads as many lines as `answer` has and compares; gives back what <unique> stood for."""
    found = b""
    while found.count(b"\n") < answer.count("\n"):
        received = connection.recv(65_536)
        assert received, f"closed after {found!r} in answer to {typed!r}"
        found += received
    pattern = re.escape(answer).replace(UNIQUE, r"(\d+)")
    match = re.fullmatch(pattern, found.decode())
    assert match, f"{typed!r}: {found.decode()!r}, not {answer!r}"
    return match[1] if match.groups() else ""


def check_end(connection: socket.socket) -> None:
    """Nothing was left unread, and the server closes at `quit`."""
    connection.sendall(b"quit\r\n")
    assert connection.recv(1) == b""


def test_the_script_was_read_whole():
    assert len(DIALOGUES) == SCRIPT.count("\n== ")
    assert all(len(steps(lines)) > 1 for lines in DIALOGUES.values())


@pytest.mark.parametrize("title", DIALOGUES)
def test_line_by_line(server, title):
    unique = ""
    with server.connect() as connection:
        for typed, answer in steps(DIALOGUES[title]):
            connection.sendall(typed.replace(UNIQUE, unique).encode())
            unique = expect(connection, answer, typed) or unique
        check_end(connection)


# A typed <unique> can only be filled in from an earlier answer.
FIXED = [title for title, lines in DIALOGUES.items() if not any(UNIQUE in line for line in lines)]


@pytest.mark.parametrize("title", FIXED)
def test_all_at_once(server, title):
    typed = "".join(typed for typed, _ in steps(DIALOGUES[title]))
    answers = "".join(answer for _, answer in steps(DIALOGUES[title]))
    with server.connect() as connection:
        connection.sendall(typed.encode())
        expect(connection, answers, typed)
        check_end(connection)


@pytest.mark.parametrize("title", FIXED)
def test_byte_by_byte(server, title):
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for typed, answer in steps(DIALOGUES[title]):
            for byte in typed.encode():
                connection.sendall(bytes([byte]))
            expect(connection, answer, typed)
        check_end(connection)
