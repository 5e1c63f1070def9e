"""TLS as clients use it: pymemcache with and without a certificate of its own, and openssl s_client."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheUnexpectedCloseError
from server import Server, free_port

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="certificates are made with openssl")


def run(*arguments: str, **options) -> str:
    return subprocess.run(
        [OPENSSL, *arguments], check=True, capture_output=True, text=True, timeout=60, **options
    ).stdout


class Certificates:
    """An authority, and what it has issued, in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.authority = self.path("ca.pem")
        self.make_key("ca.key")
        run("req", "-x509", "-new", "-key", self.path("ca.key"), "-days", "90", "-subj", "/CN=tests",
            "-out", self.authority)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def make_key(self, name: str) -> None:
        run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path(name))

    def issue(self, name: str) -> tuple[str, str]:
        """The files of a certificate for localhost and of its key."""
        self.make_key(f"{name}.key")
        request = run("req", "-new", "-key", self.path(f"{name}.key"), "-subj", f"/CN={name}")
        extensions = self.folder / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        run("x509", "-req", "-CA", self.authority, "-CAkey", self.path("ca.key"), "-CAcreateserial", "-days", "60",
            "-extfile", str(extensions), "-out", self.path(f"{name}.pem"), input=request)
        return self.path(f"{name}.pem"), self.path(f"{name}.key")

    def context(self, own: tuple[str, str] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority)
        if own:
            context.load_cert_chain(*own)
        return context


class TlsServer(Server):
    """A server with an address for TLS beside the one without."""

    def __init__(self, certificates: Certificates, *suboptions: str):
        certificate, key = certificates.issue("server")
        self.tls_port = free_port()
        listed = ",".join([f"ssl_chain_cert={certificate}", f"ssl_key={key}", *suboptions])
        super().__init__("-Z", "-o", listed)

    def command_line(self) -> list[str]:
        plain, tls = f"notls:{self.host}:{self.port}", f"{self.host}:{self.tls_port}"
        line = super().command_line()
        line[line.index("-l") + 1] = f"{plain},{tls}"
        return line

    @property
    def tls_address(self) -> tuple[str, int]:
        return (self.host, self.tls_port)


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
    text = run("s_client", "-connect", where, "-CAfile", certificates.authority, "-verify_return_error", "-quiet",
               version, input="set s 0 0 5\r\nvalue\r\nget s\r\nquit\r\n")
    assert text == "STORED\nVALUE s 0 5\nvalue\nEND\n"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client_goes_on_with_a_session(server, certificates, tmp_path, version):
    where = f"{server.host}:{server.tls_port}"
    session = str(tmp_path / "session")
    common = ["s_client", "-connect", where, "-CAfile", certificates.authority, "-ign_eof", version]
    first = run(*common, "-sess_out", session, input="version\r\nquit\r\n")
    second = run(*common, "-sess_in", session, input="version\r\nquit\r\n")
    assert "New, TLS" in first
    assert "Reused, TLS" in second
