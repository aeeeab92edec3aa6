"""curl: TLS versions, uploads, server-sent events, client certificates."""

import hashlib
import json
import subprocess
import time
import uuid

import pytest
from support.processes import eventually
from support.tokens import bearer


@pytest.fixture
def curl(edge, issuer):
    """Runs curl with a token; `--write-out` becomes the last line."""

    def run(path, *arguments, token=True, check=True, ca=True, **options):
        url = path if "://" in path else edge.url + path
        command = ["curl", "--silent", "--show-error", "--max-time", "30", *map(str, arguments), url]
        if ca:
            command += ["--cacert", str(edge.ca)]
        if token:
            command += ["--header", f"Authorization: Bearer {issuer.token()}"]
        result = subprocess.run(command, capture_output=True, timeout=40, **options)
        if check:
            assert result.returncode == 0, result.stderr.decode()
        return result

    return run


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_versions(curl, version):
    result = curl("/api/echo", f"--tlsv{version}", "--tls-max", version, "--verbose")
    assert json.loads(result.stdout)["target"] == "/api/echo"
    assert f"TLSv{version}".encode() in result.stderr
    # curl offers HTTP/2 as well; we speak HTTP/1.1, and say so.
    assert b"ALPN: server accepted http/1.1" in result.stderr


def test_minimum_version(curl, edge):
    old = curl(f"https://{edge.address}:{edge.STRICT}/open/echo", "--tls-max", "1.2", check=False)
    assert old.returncode == 35 and b"alert protocol version" in old.stderr
    assert curl(f"https://{edge.address}:{edge.STRICT}/open/echo").returncode == 0


def test_unknown_ca_is_refused_by_the_client(curl):
    assert curl("/open/echo", ca=False, check=False).returncode == 60


def test_chunked_upload(curl):
    body = bytes(range(256)) * (1 << 15)  # 8 MiB
    result = curl("/api/sink", "--upload-file", "-", "--header", "Transfer-Encoding: chunked", input=body)
    told = json.loads(result.stdout)
    assert (told["method"], told["size"], told["sha256"]) == ("PUT", len(body), hashlib.sha256(body).hexdigest())
    assert ["Transfer-Encoding", "chunked"] in told["headers"]


def test_sized_upload_with_expectation(curl, recorder):
    body = b"x" * (2 << 20)
    result = curl("/api/sink", "--data-binary", "@-", "--header", "Expect: 100-continue", "--expect100-timeout", "30",
                  "--verbose", input=body)
    assert json.loads(result.stdout)["sha256"] == hashlib.sha256(body).hexdigest()
    assert b"HTTP/1.1 100 Continue" in result.stderr
    # The expectation was met here; the service has no part in it.
    assert recorder.requests[-1].get("Expect") is None


def test_upload_without_right_is_not_sent(curl, recorder):
    """With 100-continue the refusal comes before the body."""
    marker = uuid.uuid4().hex
    result = curl(f"/api/sink?{marker}", "--data-binary", "@-", "--header", "Expect: 100-continue",
                  "--expect100-timeout", "30", "--write-out", "\n%{http_code} %{size_upload}", token=False, input=b"x" * (4 << 20))
    status, uploaded = result.stdout.rsplit(b"\n", 1)[1].split()
    assert (status, int(uploaded)) == (b"401", 0)
    assert not recorder.with_marker(marker)


def test_download(curl):
    result = curl("/api/stream?size=20000000")
    block = bytes(range(256)) * 128
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256((block * 611)[:20000000]).digest()


def test_server_sent_events_are_not_buffered(curl, edge, recorder, issuer, processes):
    """Each event is sent only after the one before it has arrived: whoever buffers stands still here."""
    name = uuid.uuid4().hex
    command = ["curl", "--silent", "--no-buffer", "--cacert", edge.ca, "--header",
               f"Authorization: Bearer {issuer.token()}", f"{edge.url}/api/events?name={name}"]
    process = processes.start("curl-events", command, stdout=subprocess.PIPE)
    delays = []
    for number in range(20):
        sent = time.monotonic()
        recorder.push(name, f"event {number}")
        assert process.stdout.readline() == f"data: event {number}\n".encode()
        delays.append(time.monotonic() - sent)
        assert process.stdout.readline() == b"\n"
    recorder.push(name, None)
    assert process.wait(10) == 0
    print(f"events: median {sorted(delays)[10] * 1000:.1f} ms, worst {max(delays) * 1000:.1f} ms")


def test_service_learns_that_the_reader_is_gone(edge, recorder, issuer, processes):
    name = uuid.uuid4().hex
    before = recorder.lost
    process = processes.start(
        "curl-gone", ["curl", "--silent", "--no-buffer", "--cacert", edge.ca, "--header",
                      f"Authorization: Bearer {issuer.token()}", f"{edge.url}/api/events?name={name}"],
        stdout=subprocess.PIPE)
    recorder.push(name, "one")
    assert process.stdout.readline() == b"data: one\n"
    processes.stop(process)

    def lost():
        recorder.push(name, "more")
        return recorder.lost > before

    eventually(lost, "the service's connection is closed")


def test_keep_alive(curl, edge):
    result = curl("/api/echo", f"{edge.url}/api/echo", f"{edge.url}/open/echo", "--write-out", "\n%{num_connects}\n")
    assert [line for line in result.stdout.split(b"\n") if line in (b"0", b"1")] == [b"1", b"0", b"0"]


def test_client_certificate(curl, edge, recorder):
    partner = edge.authority.issue("partner", client=True)
    stranger = edge.authority.issue("stranger", client=True)

    def with_certificate(leaf, path, **options):
        return curl(path, "--cert", leaf.certificate, "--key", leaf.key, "--write-out", "\n%{http_code}", **options)

    told = with_certificate(partner, "/certificate/echo", token=False).stdout
    headers = {name.lower(): value for name, value in json.loads(told.rsplit(b"\n", 1)[0])["headers"]}
    assert (headers["conduit-caller-cn"], headers["conduit-caller"]) == ("partner", "node:partner")
    # Nobody, and somebody whom the policy does not know.
    assert curl("/certificate/echo", "--write-out", "\n%{http_code}", token=False).stdout.endswith(b"\n401")
    assert with_certificate(stranger, "/certificate/echo", token=False).stdout.endswith(b"\n403")
    # Both, and either.
    assert with_certificate(partner, "/both/echo").stdout.endswith(b"\n200")
    assert with_certificate(partner, "/both/echo", token=False).stdout.endswith(b"\n401")
    assert curl("/both/echo", "--write-out", "\n%{http_code}").stdout.endswith(b"\n401")
    assert with_certificate(partner, "/either/echo", token=False).stdout.endswith(b"\n200")
    assert curl("/either/echo", "--write-out", "\n%{http_code}").stdout.endswith(b"\n200")


def test_client_certificate_of_a_foreign_ca(curl, edge, work):
    from support.certificates import Authority

    foreign = Authority(work / "foreign", "Foreign CA").issue("partner", client=True)
    result = curl("/open/echo", "--cert", foreign.certificate, "--key", foreign.key, token=False, check=False)
    assert result.returncode == 56 and b"unknown ca" in result.stderr


def test_plain_http_on_a_tls_port(curl, edge):
    result = curl(f"http://{edge.address}:{edge.TLS}/open/echo", "--include")
    assert result.stdout.startswith(b"HTTP/1.1 400") and b"https" in result.stdout
    moved = curl(f"http://{edge.address}:{edge.STRICT}/open/echo?a=1", "--write-out", "%{http_code} %{redirect_url}",
                 "--output", "/dev/null")
    assert moved.stdout.decode() == f"308 https://{edge.address}:{edge.STRICT}/open/echo?a=1"


def test_security_headers_on_tls_answers_only(curl, edge):
    assert b"strict-transport-security: max-age=31536000" in curl("/open/echo", "--include").stdout.lower()
    plain = curl(f"http://{edge.address}:{edge.PLAIN}/open/echo", "--include").stdout.lower()
    assert b"strict-transport-security" not in plain
