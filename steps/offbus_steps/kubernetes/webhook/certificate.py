"""The webhook's certificate: created at each start, self-signed, its key never stored.

Clients trust this one certificate, so there is no authority whose key could be lost, nothing to rotate by hand, and no
Secret. The key is in a file only while OpenSSL reads it.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from offbus.errors import CouldNotRun

__all__ = ["LIFETIME", "Identity", "new_identity"]

LIFETIME = timedelta(days=365)
SKEW = timedelta(hours=1)
"""How far the clocks of two nodes may differ."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A server's certificate (PEM, public) and the context that serves it."""

    certificate: str
    context: ssl.SSLContext


def new_identity(names: Sequence[str]) -> Identity:
    """For a server with these DNS names. Raises CouldNotRun without the library."""
    key, certificate = _made(names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with TemporaryDirectory(prefix="offbus-webhook-") as folder:  # mode 0700
        path = Path(folder, "key.pem")
        path.write_bytes(key + certificate)
        context.load_cert_chain(path)
    return Identity(certificate.decode(), context)


def _made(names: Sequence[str]) -> tuple[bytes, bytes]:
    """Key and certificate, as PEM."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as err:
        raise CouldNotRun(
            "the webhook needs the package cryptography", hint="install offbus[agent] in the image"
        ) from err
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "offbus webhook")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return (
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain),
        certificate.public_bytes(encoding),
    )
