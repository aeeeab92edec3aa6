"""Keys of a test issuer, tokens made by other libraries, DPoP proofs."""

import base64
import hashlib
import json
import time
import uuid
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://issuer.test"
AUDIENCE = "conduit-tests"


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_jwk(key, **members) -> dict:
    """The public half of a key as a JWK."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        size = (public.key_size + 7) // 8
        jwk = {"kty": "RSA", "n": b64u(numbers.n.to_bytes(size, "big")), "e": b64u(numbers.e.to_bytes(3, "big"))}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        numbers, size = public.public_numbers(), (public.curve.key_size + 7) // 8
        curve = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[public.curve.name]
        jwk = {"kty": "EC", "crv": curve, "x": b64u(numbers.x.to_bytes(size, "big")),
               "y": b64u(numbers.y.to_bytes(size, "big"))}
    else:
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64u(raw)}
    return {**jwk, **members}


def thumbprint(jwk: dict) -> str:
    """RFC 7638."""
    names = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in names}, separators=(",", ":"), sort_keys=True)
    return b64u(hashlib.sha256(text.encode()).digest())


def private_pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Issuer:
    """An issuer with a key of each kind."""

    def __init__(self, directory: Path, name: str = ISSUER, audience: str = AUDIENCE):
        self.name, self.audience = name, audience
        self.keys = {
            "rsa": rsa.generate_private_key(65537, 2048),
            "p256": ec.generate_private_key(ec.SECP256R1()),
            "p384": ec.generate_private_key(ec.SECP384R1()),
            "p521": ec.generate_private_key(ec.SECP521R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }
        self.path = directory / "jwks.json"
        self.path.write_text(json.dumps(self.jwks()))

    def jwks(self) -> dict:
        return {"keys": [public_jwk(key, kid=kid, use="sig") for kid, key in self.keys.items()]}

    def claims(self, subject: str = "alice", lifetime: float = 300, **changes) -> dict:
        """Good claims; `None` in `changes` removes one."""
        now = int(time.time())
        claims = {"iss": self.name, "sub": subject, "aud": self.audience, "iat": now, "exp": int(now + lifetime),
                  "jti": str(uuid.uuid4()), **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, subject: str = "alice", lifetime: float = 300, kid: str = "ed", algorithm: str = "EdDSA",
              **changes) -> str:
        return jwt.encode(self.claims(subject, lifetime, **changes), self.keys[kid], algorithm, headers={"kid": kid})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class ProofKey:
    """A client's DPoP key (RFC 9449)."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.jwk = public_jwk(self.key)
        self.thumbprint = thumbprint(self.jwk)

    def proof(self, method: str, url: str, token: str, nonce: str | None = None, **changes) -> str:
        claims = {"htm": method, "htu": url, "iat": int(time.time()), "jti": str(uuid.uuid4()),
                  "ath": b64u(hashlib.sha256(token.encode()).digest())}
        claims.update({"nonce": nonce, **changes})
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.key, "ES256", headers={"typ": "dpop+jwt", "jwk": self.jwk})
