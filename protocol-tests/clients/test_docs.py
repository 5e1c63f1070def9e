"""The snippets of docs/: each that names a language we can run is run as it stands, and prints what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
# How each language is run; the snippet comes as a file.
COMMANDS = {"python": [sys.executable], "js": ["node"], "php": ["php"]}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n```output\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
SECONDS_MAX = 60


def snippets() -> list:
    found = []
    for page in sorted(DOCS.glob("*.md")):
        for number, (language, text, output) in enumerate(BLOCK.findall(page.read_text()), 1):
            if language in COMMANDS:
                found.append(pytest.param(language, text, output, id=f"{page.stem}-{number}-{language}"))
    return found


def test_there_are_snippets_in_each_language():
    languages = [snippet.values[0] for snippet in snippets()]
    assert all(languages.count(language) >= 1 for language in COMMANDS)
    assert all(snippet.values[2] for snippet in snippets()), "one does not say what it prints"


def test_links_lead_somewhere():
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (DOCS / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(("language", "text", "output"), snippets())
def test_a_snippet_prints_what_the_page_says(server, tmp_path, language, text, output):
    host, port = "127.0.0.1", str(server.port)
    text = text.replace("127.0.0.1:11211", f"{host}:{port}").replace("11211", port)
    script = tmp_path / "snippet"
    script.write_text(text)
    ended = subprocess.run(
        [*COMMANDS[language], str(script)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=os.environ,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, output), ended.stderr
