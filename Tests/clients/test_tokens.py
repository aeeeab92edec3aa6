"""Tokens made by other people's libraries, DPoP proofs made in Python, API keys."""

import base64
import hashlib
import hmac
import json
import re
import time
import uuid

import httpx
import jwcrypto.jwk
import jwcrypto.jwt
import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from support.tokens import ProofKey, b64u, bearer, private_pem, public_jwk

# Algorithm and the key that it is made with.
ALGORITHMS = {
    "RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa", "PS512": "rsa",
    "ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed",
}


def by_pyjwt(issuer, algorithm, kid, claims):
    return pyjwt.encode(claims, issuer.keys[kid], algorithm, headers={"kid": kid, "typ": "JWT"})


def by_joserfc(issuer, algorithm, kid, claims):
    kind = {"rsa": joserfc_jwk.RSAKey, "ed": joserfc_jwk.OKPKey}.get(kid, joserfc_jwk.ECKey)
    key = kind.import_key(private_pem(issuer.keys[kid]))
    header = {"alg": algorithm, "kid": kid, "typ": "at+jwt"}
    return joserfc_jwt.encode(header, claims, key, algorithms=[algorithm])


def by_jwcrypto(issuer, algorithm, kid, claims):
    key = jwcrypto.jwk.JWK.from_pem(private_pem(issuer.keys[kid]))
    token = jwcrypto.jwt.JWT(header={"alg": algorithm, "kid": kid}, claims=claims)
    token.make_signed_token(key)
    return token.serialize()


def sign(key, algorithm: str, data: bytes) -> bytes:
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}.get(algorithm[2:])
    if algorithm.startswith("RS"):
        return key.sign(data, padding.PKCS1v15(), digest)
    if algorithm.startswith("PS"):
        return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    if algorithm.startswith("ES"):
        size = (key.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(data)


def by_cryptography(issuer, algorithm, kid, claims):
    return compact({"alg": algorithm, "kid": kid}, claims, issuer.keys[kid])


def compact(header: dict, claims, key, algorithm=None) -> str:
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = b64u(json.dumps(header).encode()) + "." + b64u(payload)
    return signed + "." + b64u(sign(key, algorithm or header["alg"], signed.encode()))


LIBRARIES = {"pyjwt": by_pyjwt, "joserfc": by_joserfc, "jwcrypto": by_jwcrypto, "cryptography": by_cryptography}


@pytest.fixture
def ask(edge):
    """Sends one request from an address of its own, so that no penalty for the ones before counts."""

    def ask(path="/api/echo", method="GET", **options):
        transport = httpx.HTTPTransport(verify=edge.context(), local_address=edge.addresses.client())
        with httpx.Client(transport=transport, base_url=edge.url, timeout=20) as client:
            return client.request(method, path, **options)

    return ask


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_accepted(ask, issuer, recorder, library, algorithm):
    kid = ALGORITHMS[algorithm]
    token = LIBRARIES[library](issuer, algorithm, kid, issuer.claims(f"{library}-{algorithm}"))
    answer = ask(headers=bearer(token))
    assert answer.status_code == 200, answer.text
    told = {name.lower(): value for name, value in answer.json()["headers"]}
    assert told["conduit-caller"] == f"jwt:https://issuer.test/{library}-{algorithm}"


def test_accepted_forms(ask, issuer):
    """What is legal and not seen every day."""
    for claims in (
        {"aud": ["other", issuer.audience]}, {"nbf": int(time.time()) - 5}, {"exp": time.time() + 30.5},
        {"jti": None}, {"iat": None}, {"scope": "read write"}, {"groups": ["a", "b"]}, {"unknown": {"deep": [1, None]}},
    ):
        assert ask(headers=bearer(issuer.token(**claims))).status_code == 200, claims
    assert ask(headers={"Authorization": "bearer " + issuer.token()}).status_code == 200


def bad_tokens(issuer) -> dict[str, str]:
    """Name of the case to a token that must not be accepted."""
    now = int(time.time())
    ed, rsa, p256 = issuer.keys["ed"], issuer.keys["rsa"], issuer.keys["p256"]
    header, claims = {"alg": "EdDSA", "kid": "ed"}, issuer.claims()
    good = issuer.token()
    head, payload, signature = good.split(".")
    stranger = ec.generate_private_key(ec.SECP256R1())
    rsa_pem = rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def hs256(secret: bytes, header: dict) -> str:
        signed = b64u(json.dumps(header).encode()) + "." + b64u(json.dumps(claims).encode())
        return signed + "." + b64u(hmac.new(secret, signed.encode(), hashlib.sha256).digest())

    def without_signature(algorithm: str) -> str:
        return b64u(json.dumps({"alg": algorithm}).encode()) + "." + payload + "."

    doubled = json.dumps(claims)[:-1] + ', "sub": "root"}'
    flipped = signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]
    return {
        "expired": issuer.token(lifetime=-1),
        "not yet valid": issuer.token(nbf=now + 60),
        "issued in the future": issuer.token(iat=now + 60),
        "no expiry": issuer.token(exp=None),
        "wrong audience": issuer.token(aud="other"),
        "no audience": issuer.token(aud=None),
        "audience is a number": compact(header, {**claims, "aud": 7}, ed),
        "wrong issuer": compact(header, {**claims, "iss": "https://evil.test"}, ed),
        "no issuer": compact(header, {k: v for k, v in claims.items() if k != "iss"}, ed),
        "issuer with a slash more": compact(header, {**claims, "iss": issuer.name + "/"}, ed),
        "no subject": issuer.token(sub=None),
        "none": without_signature("none"),
        "nOnE": without_signature("nOnE"),
        "signature removed": f"{head}.{payload}.",
        "signature changed": f"{head}.{payload}.{flipped}",
        "signature of another token": f"{head}.{payload}." + issuer.token("bob").split(".")[2],
        "payload changed": f"{head}." + b64u(json.dumps({**claims, "sub": "root"}).encode()) + f".{signature}",
        "HS256 with the RSA key as secret": hs256(rsa_pem, {"alg": "HS256", "kid": "rsa"}),
        "HS256 with nothing": hs256(b"", {"alg": "HS256", "kid": "ed"}),
        "RS256 named, ES256 made": compact({"alg": "RS256", "kid": "rsa"}, claims, p256, "ES256"),
        "ES256 with the key for P-384": compact({"alg": "ES256", "kid": "p384"}, claims, p256, "ES256"),
        "another's key": compact({"alg": "ES256", "kid": "p256"}, claims, stranger),
        "embedded key": compact({"alg": "ES256", "jwk": public_jwk(stranger)}, claims, stranger),
        "embedded key and kid": compact({"alg": "ES256", "kid": "p256", "jwk": public_jwk(stranger)}, claims, stranger),
        "key by URL": compact({"alg": "ES256", "kid": "x", "jku": "https://evil.test/keys"}, claims, stranger),
        "unknown kid": compact({"alg": "EdDSA", "kid": "other"}, claims, ed),
        "critical header": compact({**header, "crit": ["exp"], "exp": now}, claims, ed),
        "unencoded payload": compact({**header, "crit": ["b64"], "b64": False}, claims, ed),
        "claims doubled": compact(header, doubled.encode(), ed),
        "claims are a list": compact(header, b"[]", ed),
        "claims are no JSON": compact(header, b"{", ed),
        "expiry is a text": compact(header, {**claims, "exp": str(now + 60)}, ed),
        "expiry beyond all": compact(header, {**claims, "exp": 1e300}, ed),
        "ECDSA signature in DER": (lambda signed: signed + "." + b64u(p256.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))))(
            b64u(b'{"alg":"ES256","kid":"p256"}') + "." + b64u(json.dumps(claims).encode())),
        "ECDSA signature of zeros": b64u(b'{"alg":"ES256","kid":"p256"}') + f".{payload}." + b64u(bytes(64)),
        "two parts": f"{head}.{payload}",
        "four parts": f"{good}.{payload}",
        "five parts": f"{good}.{payload}.{payload}",
        "padded base64": f"{head}=.{payload}.{signature}",
        "huge": compact(header, {**claims, "x": "y" * 100_000}, ed),
        "not a token": "hello",
        "bound to a key, without proof": issuer.token(cnf={"jkt": ProofKey().thumbprint}),
        "bound to a certificate, without it": issuer.token(cnf={"x5t#S256": b64u(bytes(32))}),
    }


def test_refused(ask, issuer, recorder):
    reasons = {}
    for name, token in bad_tokens(issuer).items():
        marker = uuid.uuid4().hex
        answer = ask(f"/api/echo?{marker}", headers=bearer(token))
        if answer.status_code in (400, 431):  # Not even the form of a credential; larger than a head may be.
            assert name in ("padded base64", "huge"), (name, answer.text)
            reasons[name] = answer.json()["reason"]
            continue
        assert answer.status_code == 401, (name, answer.status_code, answer.text)
        challenges = answer.headers.get_list("www-authenticate")
        wanted = r'(Bearer|DPoP) .*error="(invalid_token|invalid_dpop_proof)"'
        assert any(re.match(wanted, challenge) for challenge in challenges), (name, challenges)
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert document["status"] == 401 and re.fullmatch(r"[a-z0-9_]+", document["reason"]), document
        reasons[name] = document["reason"]
        # Nothing of the token is in the answer, and nothing has reached the service.
        assert token not in answer.text and not any(token in challenge for challenge in challenges)
        assert not recorder.with_marker(marker), name
    assert len(set(reasons.values())) >= 20, reasons
    # A wrong signature is a wrong signature, whoever made it.
    assert reasons["signature changed"] == reasons["another's key"] == reasons["payload changed"]


def test_requests_with_credentials_that_are_none(ask, issuer):
    good = issuer.token()
    for headers, status in (
        ({}, 401), ({"Authorization": "Basic YTpi"}, 401), ({"Authorization": "Bearer"}, 400),
        ({"Authorization": f"Bearer  {good} {good}"}, 400), ({"Authorization": f"Bearer {good}, Bearer {good}"}, 400),
        ([("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")], 400),
        ([("Authorization", f"Bearer {good}"), ("X-API-Key", "cmk_x")], 400),
    ):
        answer = ask(headers=headers)
        assert answer.status_code == status, (headers, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        if status == 401:
            assert answer.headers["www-authenticate"].startswith("Bearer")
    # In the query only where it is switched on, which it is not.
    assert ask(f"/api/echo?access_token={good}").status_code == 401


def test_penalty_for_repeated_failures(edge, issuer):
    """Whoever goes on presenting bad tokens is slowed down; his neighbours are not."""
    token = issuer.token()[:-6] + "AAAAAA"
    source = edge.addresses.client()
    transport = httpx.HTTPTransport(verify=edge.context(), local_address=source)
    with httpx.Client(transport=transport, base_url=edge.url) as client:
        statuses = []
        while not statuses or statuses[-1] == 401:
            assert len(statuses) < 60, statuses
            answer = client.get("/api/echo", headers=bearer(token))
            statuses.append(answer.status_code)
        assert statuses[0] == 401 and statuses[-1] == 429, statuses
        assert int(answer.headers["retry-after"]) >= 1
    neighbour = httpx.HTTPTransport(verify=edge.context(), local_address=edge.addresses.client())
    with httpx.Client(transport=neighbour, base_url=edge.url) as client:
        assert client.get("/api/echo", headers=bearer(issuer.token())).status_code == 200


def test_dpop(edge, ask, issuer):
    key, path = ProofKey(), "/api/echo"
    token = issuer.token("prover", cnf={"jkt": key.thumbprint})
    nonce = None

    def present(proof, path=path, scheme="DPoP", method="GET"):
        return ask(path, method, headers={"Authorization": f"{scheme} {token}", **({"DPoP": proof} if proof else {})})

    # A server may ask for its nonce (RFC 9449, 8).
    answer = present(key.proof("GET", edge.url + path, token))
    if answer.status_code == 401:
        assert 'error="use_dpop_nonce"' in answer.headers["www-authenticate"]
        nonce = answer.headers["dpop-nonce"]

    def proof(key=key, method="GET", url=edge.url + path, **changes):
        return key.proof(method, url, token, **{"nonce": nonce, **changes})

    used = proof()
    assert present(used).status_code == 200
    assert present(proof(), path=path + "?query=is-ignored").status_code == 200
    assert present(proof(url=edge.url + "/api/../api/echo"), path=path).status_code in (200, 401)
    refused = {
        "replayed": present(used),
        "wrong method": present(proof(method="POST")),
        "wrong path": present(proof(url=edge.url + "/api/other")),
        "wrong host": present(proof(url="https://evil.test" + path)),
        "old": present(proof(iat=int(time.time()) - 600)),
        "future": present(proof(iat=int(time.time()) + 600)),
        "another token": present(proof(ath=b64u(hashlib.sha256(b"x").digest()))),
        "another key": present(proof(key=ProofKey())),
        "no jti": present(proof(jti=None)),
        "none at all": present(None),
        "as Bearer": present(proof(), scheme="Bearer"),
        "wrong nonce": present(proof(nonce="wrong")),
    }
    for name, answer in refused.items():
        assert answer.status_code == 401, (name, answer.text)
        assert any(challenge.startswith("DPoP ") for challenge in answer.headers.get_list("www-authenticate")), name
    assert len({answer.json()["reason"] for answer in refused.values()}) >= 8


def test_token_bound_to_a_certificate(edge, issuer):
    leaf = edge.authority.issue("partner", client=True)
    other = edge.authority.issue("other", client=True)
    token = issuer.token(cnf={"x5t#S256": b64u(hashlib.sha256(leaf.der).digest())})

    def status(certificate):
        source = edge.addresses.client()
        transport = httpx.HTTPTransport(verify=edge.context(certificate=certificate), local_address=source)
        with httpx.Client(transport=transport, base_url=edge.url) as client:
            return client.get("/api/echo", headers=bearer(token)).status_code

    assert (status(leaf), status(other), status(None)) == (200, 401, 401)


def test_api_key(edge, ask, work):
    file = work / "keys.json"
    made = json.loads(edge.mesh.run("apikey", "create", "ci", "--file", file, "--scope", "write", "--json"))
    key, identifier = made["key"], made["id"]
    assert key not in file.read_text()
    for headers in (bearer(key), {"X-API-Key": key}):
        answer = wait_for(lambda: ask("/scoped/echo", headers=headers), 200)
        told = {name.lower(): value for name, value in answer.json()["headers"]}
        assert told["conduit-caller"] == f"key:{identifier}"
        assert "x-api-key" not in told and key not in str(told)
    # A wrong secret and an unknown id cannot be told apart.
    wrong = key[:-1] + ("A" if key[-1] != "A" else "E")
    unknown = "cmk_" + "0" * 16 + key[20:]
    answers = [ask(headers={"X-API-Key": bad}) for bad in (wrong, unknown)]
    documents = [{k: v for k, v in answer.json().items() if k not in ("instance", "request", "requestID", "request_id")}
                 for answer in answers]
    assert [answer.status_code for answer in answers] == [401, 401] and documents[0] == documents[1]
    edge.mesh.run("apikey", "revoke", identifier, "--file", file)
    assert wait_for(lambda: ask(headers=bearer(key)), 401).json()["reason"] == "api_key_revoked"


def wait_for(ask, status: int):
    """Files are looked at twice a second."""
    end = time.monotonic() + 20
    while (answer := ask()).status_code != status and time.monotonic() < end:
        time.sleep(0.1)
    assert answer.status_code == status, answer.text
    return answer


def test_local_issuer(edge, ask, work):
    token = edge.mesh.run("token", "issue", "--key", work / "local.json", "--subject", "laptop", "--audience", "local",
                          "--ttl", "10m").strip()
    answer = ask(headers=bearer(token))
    assert answer.status_code == 200, answer.text
    told = {name.lower(): value for name, value in answer.json()["headers"]}
    assert told["conduit-caller"] == "jwt:conduit-mesh/laptop"
    # Anybody can check it with the keys that the edge serves.
    keys = ask("/.well-known/jwks.json").json()
    kid = pyjwt.get_unverified_header(token)["kid"]
    (jwk,) = [key for key in keys["keys"] if key["kid"] == kid]
    claims = pyjwt.decode(token, pyjwt.PyJWK(jwk), algorithms=["EdDSA"], audience="local", issuer="conduit-mesh")
    assert claims["sub"] == "laptop" and "d" not in jwk
    assert base64.urlsafe_b64decode(jwk["x"] + "=")
