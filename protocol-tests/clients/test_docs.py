"""The snippets of docs/: each that names a language we can run is run as it stands, and prints what the page says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).resolve().parent
ROOT = CLIENTS.parents[1]
DOCS = ROOT / "docs"
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
# The file that the snippet becomes, and how each language is run beside it.
COMMANDS = {
    "python": ("snippet.py", [sys.executable, "snippet.py"]),
    "js": ("snippet.js", ["node", "snippet.js"]),
    "php": ("snippet.php", ["php", "snippet.php"]),
    "go": ("snippet.go", ["go", "run", "snippet.go"]),
    "rust": ("examples/snippet.rs", ["cargo", "run", "--quiet", "--locked", "--example", "snippet"]),
}
# Go finds Debian's packages of libraries there, and so needs no modules. Rust's are built in the folder of the suite
# async-memcached, so that they are built once.
VARIABLES = {
    "go": {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(TARGET / "client-go")},
    "rust": {"CARGO_TARGET_DIR": str(TARGET / "client-async-memcached")},
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n```output\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
# Compilers take a while where their libraries are not built yet.
SECONDS_MAX = 300


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
    name, command = COMMANDS[language]
    folder = tmp_path / "snippet"
    if language == "rust":
        # A package with the crates that the snippet needs, as its suite has them locked.
        shutil.copytree(CLIENTS / "async-memcached", folder)
    script = folder / name
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(text)
    ended = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=os.environ | VARIABLES.get(language, {}),
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, output), ended.stderr
