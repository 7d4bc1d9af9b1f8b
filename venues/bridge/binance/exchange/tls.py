"""The stand-in's own certificate authority: made at the first start in a folder, trusted by nobody who is not told to.

It is kept while it lasts, so that a client which trusts it need not be told again when the exchange was killed.
"""

import datetime
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crosswire.venues.bridge.binance.exchange.settings import HOSTS, LOOPBACK
from crosswire.venues.errors import VenueError

LIFE = datetime.timedelta(days=7)
LEFT_MIN = datetime.timedelta(days=1)  # of a certificate's life, for it to be used again
CLOCK_SLACK = datetime.timedelta(hours=1)  # that a client's clock may be behind
AUTHORITY_FILE = "ca.pem"  # what a client is to trust
SERVER_FILE = "server.pem"
KEY_FILE = "server-key.pem"


def open_folder(folder: Path) -> None:
    """Make the folder, or take the one that is there if nobody else can enter it; VenueError if someone can."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.stat()
    if facts.st_uid != os.geteuid():
        raise VenueError(f"{folder}: belongs to user {facts.st_uid}: name a folder of your own")
    if facts.st_mode & 0o077:
        raise VenueError(f"{folder}: others may enter it: chmod 700 it")


def make_context(folder: Path) -> ssl.SSLContext:
    """Make the server's context, of the certificates in the folder or of new ones."""
    if not _lasts(folder):
        write_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / SERVER_FILE, folder / KEY_FILE)
    return context


def _lasts(folder: Path) -> bool:
    """Tell whether the folder's files are all there, belong together, and are good for some time yet."""
    try:
        authority, server = (
            x509.load_pem_x509_certificate((folder / name).read_bytes()) for name in (AUTHORITY_FILE, SERVER_FILE)
        )
        server.verify_directly_issued_by(authority)
        key = serialization.load_pem_private_key((folder / KEY_FILE).read_bytes(), None)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    until = datetime.datetime.now(datetime.UTC) + LEFT_MIN
    return key.public_key() == server.public_key() and server.not_valid_after_utc > until


def write_certificates(folder: Path) -> None:
    """Write a new authority and a server's certificate for loopback and the venue's host names."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Crosswire stand-in exchange")])
    authority = (
        _builder(authority_name, authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .add_extension(_usage(is_authority=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    server_key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address)) for address in LOOPBACK]
    names += [x509.DNSName(name) for name in sorted({name for _, name in HOSTS.values()})]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    server = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), authority_name, server_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(is_authority=False), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write_private(folder / AUTHORITY_FILE, authority.public_bytes(pem))
    write_private(folder / SERVER_FILE, server.public_bytes(pem))
    plain = serialization.NoEncryption()
    write_private(folder / KEY_FILE, server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
    os.replace(partial, path)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - CLOCK_SLACK,
        not_valid_after=now + LIFE,
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
