"""Raw connections: exactly these bytes go out, and what comes back is read strictly."""

import socket
import ssl
from dataclasses import dataclass, field


class Wire:
    """A client socket, plain or TLS, with a buffer."""

    def __init__(self, address, context: ssl.SSLContext | None = None, source: str | None = None,
                 server_name: str | None = None, timeout: float = 20):
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(
                address, timeout=timeout, source_address=(source, 0) if source else None
            )
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._name = server_name or (address if isinstance(address, str) else address[0])
        self.buffer = b""
        # How the other side ended: None, "clean", "abnormal", "silent" (a timeout).
        self.end: str | None = None
        if context:
            self.start_tls(context)

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(self.socket, server_hostname=self._name, suppress_ragged_eofs=False)

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except (ConnectionError, ssl.SSLError):
            pass  # The other side has heard enough; what it said can still be read.

    def receive(self) -> bytes:
        """Some bytes, or b"" at the end, which `end` describes."""
        if self.end:
            return b""
        try:
            data = self.socket.recv(1 << 18)
            if not data:
                self.end = "clean"
        except TimeoutError:
            self.end, data = "silent", b""
        except (ConnectionError, ssl.SSLError, OSError):
            self.end, data = "abnormal", b""
        self.buffer += data
        return data

    def read_to_end(self) -> bytes:
        while self.receive():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def take(self, count: int) -> bytes | None:
        while len(self.buffer) < count:
            if not self.receive():
                return None
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def take_until(self, mark: bytes) -> bytes | None:
        while mark not in self.buffer:
            if not self.receive():
                return None
        data, _, self.buffer = self.buffer.partition(mark)
        return data + mark

    def response(self, to: str = "GET") -> "Response | None":
        """The next final response, whole; None when the connection ended before one."""
        while True:
            head = self.take_until(b"\r\n\r\n")
            if head is None:
                return None
            lines = head[:-4].split(b"\r\n")
            version, status, *_ = lines[0].split(b" ", 2)
            fields = []
            for line in lines[1:]:
                name, _, value = line.partition(b":")
                fields.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
            answer = Response(int(status), fields)
            if answer.status // 100 != 1 or answer.status == 101:
                break
        if answer.status == 101 or to == "HEAD" or answer.status in (204, 304):
            return answer
        if answer["transfer-encoding"] == "chunked":
            while True:
                size = int(self.take_until(b"\r\n").split(b";")[0], 16)
                if size == 0:
                    while (line := self.take_until(b"\r\n")) != b"\r\n":
                        name, _, value = line.partition(b":")
                        answer.trailers.append((name.decode().lower(), value.strip().decode()))
                    return answer
                answer.body += self.take(size)
                assert self.take(2) == b"\r\n"
        if answer["content-length"] is not None:
            answer.body = self.take(int(answer["content-length"]))
        else:
            answer.body = self.read_to_end()
        return answer

    def request(self, text: str | bytes, to: str = "GET") -> "Response | None":
        self.send(text.encode("latin-1") if isinstance(text, str) else text)
        return self.response(to)

    def reset(self) -> None:
        """Ends the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        plain = socket.socket(fileno=self.socket.detach())
        plain.close()

    def close(self) -> None:
        try:
            self.socket.close()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@dataclass
class Response:
    status: int
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: list = field(default_factory=list)

    def __getitem__(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name.lower()]


def client_context(ca=None, certificate=None, minimum=None, maximum=None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["http/1.1"])
    if certificate:
        context.load_cert_chain(certificate.certificate, certificate.key)
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    return context
