"""nginx in front, and somebody who would like to be it."""

import asyncio
import base64
import os
import socket
import uuid

import httpx
import pytest
from support.addresses import accepts
from support.processes import eventually
from support.tokens import bearer
from support.wire import Wire
from websockets.asyncio.client import connect

# What a proxy says about the client, as an attacker writes it.
FORGED = {
    "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "admin.internal",
    "X-Forwarded-Port": "1", "X-Forwarded-Prefix": "/admin", "X-Forwarded-Server": "evil", "X-Real-IP": "203.0.113.8",
    "Forwarded": "for=203.0.113.9;proto=https;host=admin.internal;by=_x", "Client-Cert": ":AAAA:",
    "Client-Cert-Chain": ":AAAA:", "X-Forwarded-Client-Cert": "By=x", "X-Client-IP": "203.0.113.10",
    "True-Client-IP": "203.0.113.11", "CF-Connecting-IP": "203.0.113.12", "Via": "1.1 evil",
    "Conduit-Caller": "jwt:https://issuer.test/root", "Conduit-Caller-Groups": "admins", "Conduit-Caller-CN": "root",
    "Conduit-Caller-Signature": "v1;t=1;key=x;mac=AA", "X_Forwarded_For": "203.0.113.13", "Conduit_Caller": "root",
    "X-Request-Id": "forged-request-id",
}
# Those which the edge itself sets, or must remove: an application takes each of them for its proxy's word.
OURS = [
    "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix",
    "x-forwarded-server", "x-real-ip", "forwarded", "client-cert", "client-cert-chain", "x-forwarded-client-cert",
    "conduit-caller", "conduit-caller-groups", "conduit-caller-cn", "conduit-caller-signature", "x_forwarded_for",
    "conduit_caller",
]


@pytest.fixture(scope="module")
def nginx(edge, processes, work):
    """nginx with TLS of its own, which connects to the edge from the address that the edge trusts."""
    directory = work / "nginx"
    directory.mkdir()
    leaf = edge.authority.issue("nginx", dns=["front.test"], ips=[edge.proxy])

    def server(port, target):
        return f"""server {{
            listen {edge.proxy}:{port} ssl; ssl_certificate {leaf.certificate}; ssl_certificate_key {leaf.key};
            client_max_body_size 0;
            location / {{
                proxy_pass {target}; {f"proxy_bind {edge.proxy};" if "unix" not in target else ""} proxy_http_version 1.1; proxy_buffering off;
                proxy_request_buffering off; proxy_read_timeout 60s; proxy_ssl_verify off;
                proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
                proxy_set_header Forwarded "";
                proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
            }} }}"""

    temporary = "\n".join(f"{kind}_temp_path {directory}/{kind};" for kind in
                          ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.getuid() == 0 else ""
    config = directory / "nginx.conf"
    config.write_text(f"""
        load_module /usr/lib/nginx/modules/ngx_stream_module.so;
        daemon off; pid {directory}/pid; error_log {directory}/error.log; worker_processes 1;
        {user}
        events {{ worker_connections 512; }}
        http {{ access_log off; {temporary}
            map $http_upgrade $connection_upgrade {{ default upgrade; "" close; }}
            {server(443 + 8000, f"http://{edge.address}:{edge.BEHIND}")}
            {server(444 + 8000, f"http://{edge.address}:{edge.AUTO}")}
            {server(445 + 8000, f"https://{edge.address}:{edge.AUTO}")}
            {server(446 + 8000, f"http://unix:{edge.unix}:")}
        }}
        stream {{ server {{ listen {edge.proxy}:8447 ssl; ssl_certificate {leaf.certificate};
            ssl_certificate_key {leaf.key}; proxy_pass {edge.address}:{edge.PROXY}; proxy_bind {edge.proxy};
            proxy_protocol on; }} }}
    """)
    processes.start("nginx", ["/usr/sbin/nginx", "-p", directory, "-e", directory / "error.log", "-c", config])
    eventually(lambda: accepts(edge.proxy, 8447), "nginx listens")
    return edge.proxy


WAYS = {"behind_proxy": 8443, "auto, plain": 8444, "auto, TLS again": 8445, "Unix socket": 8446, "PROXY protocol": 8447}


@pytest.mark.parametrize("way", WAYS)
def test_nginx_in_front(nginx, edge, recorder, issuer, echo, way):
    """The client's address, scheme and host get through, whichever way nginx hands the request on."""
    port, marker, source = WAYS[way], uuid.uuid4().hex, edge.addresses.client()
    url = f"https://{nginx}:{port}"
    transport = httpx.HTTPTransport(verify=edge.context(), local_address=source)
    with httpx.Client(transport=transport, headers=bearer(issuer.token("behind"))) as client:
        answer = client.get(f"{url}/api/echo?{marker}")
        assert answer.status_code == 200, answer.text
        told = client.post(f"{url}/api/sink", content=iter([b"x" * 100_000] * 10)).json()
        assert told["size"] == 1_000_000
    (request,) = recorder.with_marker(marker)
    assert request.get("Conduit-Caller") == "jwt:https://issuer.test/behind"
    assert request.get("X-Forwarded-For").split(",")[0].strip() == source
    if way != "PROXY protocol":  # It says nothing of TLS and hosts in version 1.
        assert request.get("X-Forwarded-Proto") == "https"
        assert request.get("X-Forwarded-Host") == f"{nginx}:{port}"

    async def talk():
        name = uuid.uuid4().hex
        async with connect(f"wss://{nginx}:{port}/echo?id={name}", ssl=edge.context(), proxy=None,
                           subprotocols=["echo.v1", f"bearer.{issuer.token('behind')}"]) as connection:
            assert connection.subprotocol == "echo.v1"
            await connection.send("x" * 100_000)
            assert await connection.recv() == "x" * 100_000
            await connection.close(4000, "bye")
        assert echo.finished(name).close == (4000, "bye")

    asyncio.run(talk())


def test_events_through_nginx(nginx, edge, recorder, issuer):
    name = uuid.uuid4().hex
    with httpx.stream("GET", f"https://{nginx}:8443/api/events?name={name}", verify=edge.context(),
                      headers=bearer(issuer.token())) as answer:
        lines = answer.iter_lines()
        for number in range(5):
            recorder.push(name, str(number))
            assert next(lines) == f"data: {number}" and next(lines) == ""
        recorder.push(name, None)


def test_forged_chain_through_nginx(nginx, edge, recorder, issuer):
    """nginx appends to what a client sends: only what nginx wrote itself counts."""
    marker, source = uuid.uuid4().hex, edge.addresses.client()
    transport = httpx.HTTPTransport(verify=edge.context(), local_address=source)
    with httpx.Client(transport=transport) as client:
        client.get(f"https://{nginx}:8443/open/echo?{marker}",
                   headers={"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.8"})
    (request,) = recorder.with_marker(marker)
    assert request.get("X-Forwarded-For") == source
    assert "203.0.113." not in str(request.fields)


def facts(request) -> list:
    """What the service is told about the client, without what differs from request to request."""
    return sorted((name.lower(), value) for name, value in request.fields
                  if name.lower() in OURS and name.lower() != "conduit-caller-signature")


@pytest.mark.parametrize("port", ["TLS", "AUTO", "PLAIN"])
def test_spoofer(edge, recorder, issuer, port):
    """None of the forged fields changes anything: what the service sees of the client is the same without them."""
    number = getattr(edge, port)
    seen = []
    for forged in ({}, FORGED, {name.lower(): value for name, value in FORGED.items()}):
        marker = uuid.uuid4().hex
        fields = "".join(f"{name}: {value}\r\n" for name, value in forged.items())
        with edge.wire(number) as wire:
            answer = wire.request(f"GET /api/echo?{marker} HTTP/1.1\r\nHost: {edge.address}:{number}\r\n"
                                  f"Authorization: Bearer {issuer.token()}\r\n{fields}\r\n")
        assert answer.status == 200, answer.body
        (request,) = recorder.with_marker(marker)
        seen.append(facts(request))
        text = str(request.fields)
        assert "203.0.113" not in text and "admin" not in text and "root" not in text and "evil" not in text.replace("1.1 evil", "")
    assert seen[0] == seen[1] == seen[2]
    assert ("x-forwarded-for", "127.0.0.1") in seen[0]


def test_one_forged_field_at_a_time(edge, recorder, issuer):
    """The same with each field alone, in one connection, also named in Connection and in trailers."""
    baseline = None
    with edge.wire() as wire:
        for name, value in [("X-None", "1"), *FORGED.items()]:
            for twist in ("", f"Connection: {name}\r\n", "Connection: X-Forwarded-For, Conduit-Caller\r\n"):
                marker = uuid.uuid4().hex
                answer = wire.request(
                    f"GET /api/echo?{marker} HTTP/1.1\r\nHost: {edge.address}:{edge.TLS}\r\n{twist}"
                    f"Authorization: Bearer {issuer.token()}\r\n{name}: {value}\r\n\r\n")
                assert answer.status == 200
                (request,) = recorder.with_marker(marker)
                baseline = baseline or facts(request)
                assert facts(request) == baseline, (name, twist)
        marker = uuid.uuid4().hex
        trailers = "".join(f"{name}: {value}\r\n" for name, value in FORGED.items())
        answer = wire.request(
            f"POST /api/echo?{marker} HTTP/1.1\r\nHost: {edge.address}:{edge.TLS}\r\nTransfer-Encoding: chunked\r\n"
            f"Trailer: X-Forwarded-For\r\nAuthorization: Bearer {issuer.token()}\r\n\r\n2\r\nhi\r\n0\r\n{trailers}X-Fine: yes\r\n\r\n")
        assert answer.status == 200
        (request,) = recorder.with_marker(marker)
        names = {name.lower() for name, _ in request.trailers}
        assert facts(request) == baseline and not names & set(OURS), names


def test_untrusted_peer_at_behind_proxy(edge, recorder):
    """Whoever is not the proxy is not even listened to."""
    for port in (edge.BEHIND, edge.PROXY):
        marker = uuid.uuid4().hex
        try:
            with edge.wire(port) as wire:
                wire.send(f"GET /open/echo?{marker} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n".encode())
                data = wire.read_to_end()
            assert b" 200 " not in data and wire.end != "silent"
        except ConnectionResetError:
            pass  # Faster than connect() returns.
        assert not recorder.with_marker(marker)


def test_auto_decides_by_who_connects(edge, recorder):
    """In mode auto the proxy may speak plain HTTP, everybody else is told to use TLS, whatever he claims."""
    request = f"GET /open/echo HTTP/1.1\r\nHost: {edge.address}\r\nX-Forwarded-Proto: https\r\n\r\n"
    with edge.wire(edge.AUTO, context=None) as wire:
        assert wire.request(request).status == 400
    with edge.wire(edge.AUTO, source=edge.proxy, context=None) as wire:
        assert wire.request(request).status == 200


def test_loopback_is_not_trusted_by_itself(edge, recorder):
    marker = uuid.uuid4().hex
    with edge.wire(edge.PLAIN) as wire:
        wire.request(f"GET /open/echo?{marker} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
    assert recorder.with_marker(marker)[0].get("X-Forwarded-For") == "127.0.0.1"


def proxy_v2(source: str, destination: str) -> bytes:
    body = socket.inet_aton(source) + socket.inet_aton(destination) + b"\x12\x34\x01\xbb"
    return b"\r\n\r\n\x00\r\nQUIT\n" + b"\x21\x11" + len(body).to_bytes(2, "big") + body


def test_proxy_protocol(edge, recorder):
    """Required from the proxy, in both versions; forwarded fields of whoever is behind it do not count."""
    request = "GET /open/echo?{} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n"
    for header in (b"PROXY TCP4 203.0.113.50 10.0.0.1 5000 443\r\n", proxy_v2("203.0.113.50", "10.0.0.1")):
        marker = uuid.uuid4().hex
        with edge.wire(edge.PROXY, source=edge.proxy) as wire:
            answer = wire.request(header + request.format(marker).encode())
        assert answer.status == 200, answer.body
        assert recorder.with_marker(marker)[0].get("X-Forwarded-For").startswith("203.0.113.50")
        assert "198.51.100.1" not in str(recorder.with_marker(marker)[0].fields)
    for bad in (b"", b"PROXY TCP4 203.0.113.50 10.0.0.1 5000\r\n", b"PROXY TCP4 300.0.113.50 10.0.0.1 5000 443\r\n",
                b"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x00", b"proxy TCP4 203.0.113.50 10.0.0.1 5000 443\r\n"):
        marker = uuid.uuid4().hex
        with edge.wire(edge.PROXY, source=edge.proxy) as wire:
            wire.send(bad + request.format(marker).encode())
            wire.read_to_end()
        assert not recorder.with_marker(marker), bad
    # From anybody else, and where it is not spoken, it is no PROXY header.
    for port in (edge.TLS, edge.AUTO):
        with edge.wire(port, context=None) as wire:
            wire.send(b"PROXY TCP4 203.0.113.50 10.0.0.1 5000 443\r\n" + request.format("no-proxy").encode())
            assert b" 200 " not in wire.read_to_end()
    assert not recorder.with_marker("no-proxy")


def test_client_cert_field(edge, recorder):
    """RFC 9440: only from a proxy that is itself authenticated, here by the Unix socket."""
    der = edge.authority.issue("partner", client=True).der
    field = f"Client-Cert: :{base64.b64encode(der).decode()}:\r\n"
    request = "GET /open/echo?{} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.50\r\n" + field + "\r\n"
    for open_wire, common_name in (
        (lambda: Wire(edge.unix), "partner"),
        (lambda: edge.wire(edge.BEHIND, source=edge.proxy), None),
        (lambda: edge.wire(edge.TLS), None),
    ):
        marker = uuid.uuid4().hex
        with open_wire() as wire:
            assert wire.request(request.format(marker)).status == 200
        (received,) = recorder.with_marker(marker)
        assert received.get("Conduit-Caller-CN") == common_name
        assert received.get("Client-Cert") is None


def test_certificate_in_reply_is_of_the_asked_name(edge):
    for name in ("edge.test", "shop.apps.test"):
        with edge.wire(server_name=name) as wire:
            assert wire.request(f"GET /open/echo HTTP/1.1\r\nHost: {name}\r\n\r\n").status == 200
