# SPDX-License-Identifier: Apache-2.0
"""SPIFFE certificates for the lab: the root the nodes share, and leaves good and bad."""
import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ONE_DAY = datetime.timedelta(days=1)


def _now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)] if text else [])


def _pem_key(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Authority:
    """A root key with its certificate."""

    def __init__(self, key, cert):
        self.key = key
        self.cert = cert

    @classmethod
    def new(cls, organization="culvert lab"):
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(digital_signature=False, content_commitment=False,
                              key_encipherment=False, data_encipherment=False,
                              key_agreement=False, key_cert_sign=True, crl_sign=True,
                              encipher_only=False, decipher_only=False)
        cert = (x509.CertificateBuilder()
                .subject_name(_name(organization)).issuer_name(_name(organization))
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(_now() - ONE_DAY).not_valid_after(_now() + 365 * ONE_DAY)
                .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                .add_extension(usage, critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
                               critical=False)
                .sign(key, hashes.SHA256()))
        return cls(key, cert)

    @classmethod
    def load(cls, path):
        """Reads a file that holds a private key and a certificate in PEM."""
        with open(path, "rb") as f:
            pem = f.read()
        at = pem.index(b"-----BEGIN CERTIFICATE")
        before, after = pem[:at], pem[at:]
        end = after.index(b"-----END CERTIFICATE-----") + len(b"-----END CERTIFICATE-----")
        key_pem = before if b"PRIVATE KEY" in before else after[end:]
        return cls(serialization.load_pem_private_key(key_pem.strip() + b"\n", None),
                   x509.load_pem_x509_certificate(after[:end] + b"\n"))

    def clone(self):
        """The forger's root: same name, same dates, another key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (x509.CertificateBuilder()
                   .subject_name(self.cert.subject).issuer_name(self.cert.issuer)
                   .public_key(key.public_key()).serial_number(self.cert.serial_number)
                   .not_valid_before(self.cert.not_valid_before)
                   .not_valid_after(self.cert.not_valid_after))
        for extension in self.cert.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        return Authority(key, builder.sign(key, hashes.SHA256()))

    def pem(self):
        return self.cert.public_bytes(serialization.Encoding.PEM)

    def crl(self, serials, signer=None):
        """A revocation list in PEM; signer: another authority, which forges it."""
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.cert.subject)
                   .last_update(_now() - ONE_DAY).next_update(_now() + ONE_DAY))
        for serial in serials:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial)
                .revocation_date(_now() - ONE_DAY).build())
        return builder.sign((signer or self).key, hashes.SHA256()).public_bytes(
            serialization.Encoding.PEM)

    def leaf(self, uris, dns=(), not_before=None, not_after=None, usages=None, key_id=False,
             addresses=()):
        """Returns (key PEM, certificate PEM) with one subjectAltName entry per uri.

        key_id: say which key of the authority's name it was
        """
        key = ec.generate_private_key(ec.SECP256R1())
        not_before = not_before or _now() - datetime.timedelta(minutes=5)
        not_after = not_after or _now() + ONE_DAY
        names = ([x509.UniformResourceIdentifier(u) for u in uris]
                 + [x509.DNSName(d) for d in dns]
                 + [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses])
        usage = x509.KeyUsage(digital_signature=True, content_commitment=False,
                              key_encipherment=False, data_encipherment=False,
                              key_agreement=False, key_cert_sign=False, crl_sign=False,
                              encipher_only=False, decipher_only=False)
        usages = usages or [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (x509.CertificateBuilder()
                   .subject_name(_name("")).issuer_name(self.cert.subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(not_before).not_valid_after(not_after)
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(usage, critical=True)
                   .add_extension(x509.ExtendedKeyUsage(usages), critical=False))
        if key_id:
            builder = builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.cert.public_key()),
                critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        cert = builder.sign(self.key, hashes.SHA256())
        return _pem_key(key), cert.public_bytes(serialization.Encoding.PEM)

    def write(self, path, *also):
        """The file every node of the lab is given: root key, root certificate, further roots."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as f:
            f.write(_pem_key(self.key) + self.pem() + b"".join(a.pem() for a in also))


def serial_of(pair):
    """The serial number of a (key PEM, certificate PEM)."""
    return x509.load_pem_x509_certificate(pair[1]).serial_number


def write_leaf(directory, stem, pair):
    """Writes key and certificate apart and together; returns the three paths."""
    key_pem, cert_pem = pair
    paths = [os.path.join(directory, stem + end) for end in (".key", ".crt", ".pem")]
    for path, content in zip(paths, (key_pem, cert_pem, cert_pem + key_pem)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as f:
            f.write(content)
    return paths
