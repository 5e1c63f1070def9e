"""TLS as clients use it: pymemcache with and without a certificate of its own, and openssl s_client."""

import ssl

import pytest
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheUnexpectedCloseError
from tls_server import OPENSSL, Certificates, TlsServer, openssl

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="certificates are made with openssl")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates):
    with TlsServer(certificates) as running:
        yield running


@pytest.fixture(scope="module")
def strict_server(certificates):
    with TlsServer(certificates, "ssl_verify_mode=2", f"ssl_ca_cert={certificates.authority}") as running:
        yield running


def check(client) -> None:
    assert client.set("k", b"v" * 100_000)
    assert client.get("k") == b"v" * 100_000
    assert client.set_many({f"k{n}": str(n).encode() for n in range(500)}) == []
    assert len(client.get_many([f"k{n}" for n in range(500)])) == 500
    assert client.incr("k7", 3) == 10
    assert client.delete("k7")
    client.close()


def test_every_client_class(server, certificates):
    context = certificates.context()
    check(Client(server.tls_address, timeout=20, tls_context=context, default_noreply=False))
    check(PooledClient(server.tls_address, timeout=20, tls_context=context, default_noreply=False))
    check(HashClient([server.tls_address], timeout=20, tls_context=context, default_noreply=False))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions(server, certificates, version):
    context = certificates.context()
    context.minimum_version = context.maximum_version = version
    check(Client(server.tls_address, timeout=20, tls_context=context, default_noreply=False))


def test_what_is_stored_through_tls_is_there_without(server, certificates):
    secret = Client(server.tls_address, timeout=20, tls_context=certificates.context(), default_noreply=False)
    plain = Client((server.host, server.port), timeout=20)
    secret.set("shared", "value")
    assert plain.get("shared") == b"value"
    plain.close()
    secret.close()


def test_a_client_with_a_certificate(strict_server, certificates):
    context = certificates.context(certificates.issue("friend"))
    check(Client(strict_server.tls_address, timeout=20, tls_context=context, default_noreply=False))


def test_a_client_without_one_where_it_is_required(strict_server, certificates):
    client = Client(strict_server.tls_address, timeout=20, tls_context=certificates.context())
    # With TLS 1.3 a client believes that it is connected until it reads.
    with pytest.raises((OSError, MemcacheUnexpectedCloseError)):
        client.get("k")


def test_a_client_that_does_not_trust_the_server(server, certificates, tmp_path):
    others = Certificates(tmp_path)
    client = Client(server.tls_address, timeout=20, tls_context=others.context())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.get("k")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client(server, certificates, version):
    where = f"{server.host}:{server.tls_port}"
    text = openssl("s_client", "-connect", where, "-CAfile", certificates.authority, "-verify_return_error", "-quiet",
               version, input="set s 0 0 5\r\nvalue\r\nget s\r\nquit\r\n")
    assert text == "STORED\nVALUE s 0 5\nvalue\nEND\n"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client_goes_on_with_a_session(server, certificates, tmp_path, version):
    where = f"{server.host}:{server.tls_port}"
    session = str(tmp_path / "session")
    common = ["s_client", "-connect", where, "-CAfile", certificates.authority, "-ign_eof", version]
    first = openssl(*common, "-sess_out", session, input="version\r\nquit\r\n")
    second = openssl(*common, "-sess_in", session, input="version\r\nquit\r\n")
    assert "New, TLS" in first
    assert "Reused, TLS" in second
