"""Servers with TLS, and the certificates that they and their clients need, for the client suites and the measurements.

Knows no client library and no test framework; certificates are made with openssl.
"""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

from server import Server, free_port

OPENSSL = shutil.which("openssl")


def openssl(*arguments: str, **options) -> str:
    return subprocess.run(
        [OPENSSL, *arguments], check=True, capture_output=True, text=True, timeout=60, **options
    ).stdout


class Certificates:
    """An authority, and what it has issued, in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.authority = self.path("ca.pem")
        self.make_key("ca.key")
        openssl("req", "-x509", "-new", "-key", self.path("ca.key"), "-days", "90", "-subj", "/CN=tests",
            "-out", self.authority)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def make_key(self, name: str) -> None:
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path(name))

    def issue(self, name: str) -> tuple[str, str]:
        """The files of a certificate for localhost and of its key."""
        self.make_key(f"{name}.key")
        request = openssl("req", "-new", "-key", self.path(f"{name}.key"), "-subj", f"/CN={name}")
        extensions = self.folder / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-CA", self.authority, "-CAkey", self.path("ca.key"), "-CAcreateserial", "-days", "60",
            "-extfile", str(extensions), "-out", self.path(f"{name}.pem"), input=request)
        return self.path(f"{name}.pem"), self.path(f"{name}.key")

    def context(self, own: tuple[str, str] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority)
        if own:
            context.load_cert_chain(*own)
        return context


class TlsServer(Server):
    """A server with an address for TLS beside the one without."""

    def __init__(self, certificates: Certificates, *suboptions: str, options: tuple[str, ...] = (), program: str = ""):
        certificate, key = certificates.issue("server")
        self.tls_port = free_port()
        listed = ",".join([f"ssl_chain_cert={certificate}", f"ssl_key={key}", *suboptions])
        super().__init__(*options, "-Z", "-o", listed, program=program)

    def command_line(self) -> list[str]:
        plain, tls = f"notls:{self.host}:{self.port}", f"{self.host}:{self.tls_port}"
        line = super().command_line()
        line[line.index("-l") + 1] = f"{plain},{tls}"
        return line

    def connect_tls(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        """A connection after its handshake, a resumed one if the server takes the session."""
        plain = socket.create_connection(self.tls_address, timeout=20)
        return context.wrap_socket(plain, server_hostname=self.host, session=session)

    @property
    def tls_address(self) -> tuple[str, int]:
        return (self.host, self.tls_port)
