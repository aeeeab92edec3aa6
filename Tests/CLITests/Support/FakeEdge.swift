import Foundation

/// An edge as `mesh connect --edge` meets one, in Python: TLS, the handshake, and a service's stream as docs/connect.md has it.
/// What it does is in the service's name.
final class FakeEdge {
    let port: Int
    private let process = Process()

    private static let script = """
        import base64, hashlib, json, socket, ssl, struct, sys, threading
        certificate, key, ca, mode = sys.argv[1:5]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        if ca:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED

        def frame(opcode, payload):
            size = len(payload)
            head = bytes([0x80 | opcode])
            if size < 126: head += bytes([size])
            elif size < 65536: head += bytes([126]) + struct.pack(">H", size)
            else: head += bytes([127]) + struct.pack(">Q", size)
            return head + payload

        class Reader:
            def __init__(self, connection): self.connection, self.buffer = connection, b""
            def need(self, count):
                while len(self.buffer) < count:
                    more = self.connection.recv(65536)
                    if not more: raise EOFError
                    self.buffer += more
                out, self.buffer = self.buffer[:count], self.buffer[count:]
                return out
            def line(self):
                while b"\\r\\n" not in self.buffer:
                    more = self.connection.recv(65536)
                    if not more: raise EOFError
                    self.buffer += more
                line, self.buffer = self.buffer.split(b"\\r\\n", 1)
                return line.decode()
            def frame(self):
                first, second = self.need(2)
                size = second & 127
                if size == 126: size = struct.unpack(">H", self.need(2))[0]
                elif size == 127: size = struct.unpack(">Q", self.need(8))[0]
                assert second & 128, "not masked"
                mask = self.need(4)
                data = self.need(size)
                whole = int.from_bytes(data, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big") if size else 0
                return first & 15, whole.to_bytes(size, "big")

        def problem(connection, status, reason, *fields):
            body = json.dumps({"status": status, "reason": reason, "detail": "the words of " + reason}).encode()
            lines = ["HTTP/1.1 %d X" % status, "Content-Type: application/problem+json", "Content-Length: %d" % len(body)]
            connection.sendall(("\\r\\n".join(lines + list(fields)) + "\\r\\n\\r\\n").encode() + body)

        def serve(raw):
            try:
                connection = raw if mode == "plain" else context.wrap_socket(raw, server_side=True)
                reader = Reader(connection)
                while True:
                    path = reader.line().split(" ")[1]
                    fields = {}
                    while True:
                        line = reader.line()
                        if not line: break
                        name, value = line.split(": ", 1)
                        fields[name.lower()] = value
                    if not answer(connection, reader, path, fields): return
            except (EOFError, OSError, ssl.SSLError) as error:
                print("ended", repr(error), flush=True)

        def answer(connection, reader, path, fields):
            service = path.rsplit("/", 1)[1]
            if service.startswith("status-"):
                status = int(service[7:])
                problem(connection, status, "reason_%d" % status, "Retry-After: 7")
                return True
            if service.startswith("refuse-"):
                problem(connection, 400, service[7:])
                return True
            if service == "html":
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\\r\\nContent-Length: 4\\r\\n\\r\\n<p>x")
                return True
            if service == "silent-close":
                connection.close()
                return False
            if service == "nonce" and '"nonce":"n-1"' not in decode(fields.get("dpop", "..")):
                problem(connection, 401, "use_dpop_nonce", "DPoP-Nonce: n-1",
                        'WWW-Authenticate: DPoP error="use_dpop_nonce"')
                return True
            accept = base64.b64encode(hashlib.sha1(
                (fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
            offered = fields.get("sec-websocket-protocol")
            chosen = "Sec-WebSocket-Protocol: %s\\r\\n" % offered if offered == "conduit.stream.v1" else ""
            connection.sendall(("HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                                "Sec-WebSocket-Accept: %s\\r\\n%s\\r\\n" % (accept, chosen)).encode())
            stream(connection, reader, path, service, fields)
            return False

        def decode(proof):
            part = proof.split(".")[1] if proof.count(".") == 2 else ""
            return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()

        def stream(connection, reader, path, service, fields):
            def close(code, text=""):
                connection.sendall(frame(8, struct.pack(">H", code) + text.encode()))
                try:
                    while reader.frame()[0] != 8: pass
                except (EOFError, OSError): pass
                connection.close()
            if service == "who" or service == "nonce":
                words = [path] + ["%s=%s" % (n, fields[n]) for n in ("host", "authorization", "x-api-key") if n in fields]
                if "dpop" in fields: words.append("proof=" + decode(fields["dpop"]))
                connection.sendall(frame(2, ("\\n".join(words) + "\\n").encode()) + frame(2, b""))
            elif service == "text":
                connection.sendall(frame(1, b"text"))
            elif service.startswith("close-"):
                code, _, reason = service[6:].partition("-")
                connection.sendall(frame(2, b"some"))
                return close(int(code), reason)
            elif service == "cut":
                connection.sendall(frame(2, b"some"))
                raw = connection.detach() if mode == "plain" else connection.unwrap
                connection.close()
                return
            ended = service in ("who", "nonce")
            total = 0
            while True:
                opcode, data = reader.frame()
                if opcode == 8:
                    print("close", struct.unpack(">H", data[:2])[0], flush=True)
                    connection.sendall(frame(8, data))
                    return
                if opcode == 9:
                    connection.sendall(frame(10, data))
                    continue
                if service == "count":
                    total += len(data)
                    if data: continue
                    connection.sendall(frame(2, b"%d\\n" % total) + frame(9, b"p") + frame(2, b""))
                elif service == "echo":
                    connection.sendall(frame(2, data))
                if not data and ended: pass

        listener = socket.create_server(("127.0.0.1", 0))
        print("port", listener.getsockname()[1], flush=True)
        while True:
            raw, _ = listener.accept()
            if mode == "mute":
                threading.Event().wait(0)
                keep = globals().setdefault("kept", []); keep.append(raw)
                continue
            if mode == "greeting":
                raw.sendall(b"220 mail.example ESMTP\\r\\n"); raw.close()
                continue
            threading.Thread(target=serve, args=(raw,), daemon=True).start()
        """

    /// What speaks there.
    enum Mode: String {
        case tls, plain, greeting
    }

    init(_ workspace: Workspace, certificate: String = "certs/localhost", clientCA: String = "", mode: Mode = .tls)
        throws
    {
        let log = workspace.url.appendingPathComponent("edge-\(UUID().uuidString).log")
        _ = FileManager.default.createFile(atPath: log.path, contents: nil)
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c", Self.script, certificate + ".crt", certificate + ".key", clientCA, mode.rawValue,
        ]
        process.currentDirectoryURL = workspace.url
        process.standardInput = FileHandle.nullDevice
        let output = try FileHandle(forWritingTo: log)
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let limit = Date(timeIntervalSinceNow: 30)
        while true {
            let text = (try? String(contentsOf: log, encoding: .utf8)) ?? ""
            if let line = text.split(separator: "\n").first(where: { $0.hasPrefix("port ") }),
                let number = Int(line.dropFirst(5))
            {
                port = number
                return
            }
            guard Date() < limit, process.isRunning else {
                throw NSError(domain: "FakeEdge", code: 1, userInfo: [NSLocalizedDescriptionKey: text])
            }
            usleep(10_000)
        }
    }

    deinit {
        // Not SIGTERM: what this process blocks is blocked in its children.
        kill(process.processIdentifier, SIGKILL)
    }
}
