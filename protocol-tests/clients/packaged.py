"""A pytest plugin that points pymemcache's own packaged tests at the server under test.

pymemcache brings `pymemcache/test/test_integration.py` in its wheel; its conftest takes the server's
address as options, which this plugin fills in once the server runs.
"""

import pytest
from server import Server

# Tests of the package that cannot say anything about the server, each with the reason.
LEFT_OUT = {
    "test_tls": "needs a TLS listener and the package's own certificates, which its wheel lacks",
}


def pytest_configure(config: pytest.Config) -> None:
    config.larder_server = Server()
    config.larder_server.__enter__()
    config.option.server = config.larder_server.host
    config.option.port = str(config.larder_server.port)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.larder_server.__exit__(None, None, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        reason = LEFT_OUT.get(item.originalname)
        if reason:
            item.own_markers = [mark for mark in item.own_markers if mark.name != "skip"]
            item.add_marker(pytest.mark.skip(reason=reason))
