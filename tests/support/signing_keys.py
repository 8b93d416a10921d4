"""Keys that sign releases."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Signer:
    """A key pair in two files."""

    def __init__(self, folder: Path, curve: ec.EllipticCurve | None = None) -> None:
        folder.mkdir()
        key = ec.generate_private_key(curve or ec.SECP256R1())
        pem, public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        self.private, self.public = folder / "private.pem", folder / "public.pem"
        no_password = serialization.NoEncryption()
        self.private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))
        self.public.write_bytes(key.public_key().public_bytes(pem, public))
