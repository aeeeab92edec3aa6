import Glibc
import TLS

/// The present, in Unix seconds.
func unixTime() -> Int64 { Int64(time(nil)) }

/// How a session of a pair came out of the handshake and of the first read after it.
enum Outcome {
    case connected
    case failed(TLSError)

    var error: TLSError? {
        if case .failed(let error) = self { error } else { nil }
    }
}

/// A client and a server with a wire of memory between them.
final class Pair {
    let client: TLSSession
    let server: TLSSession

    init(_ client: TLSSession, _ server: TLSSession) {
        self.client = client
        self.server = server
    }

    /// Shakes hands as far as it goes, the last alert delivered.
    func connect() -> (client: Outcome, server: Outcome) {
        var client = Outcome.connected
        var server = Outcome.connected
        for _ in 0..<12 {
            let before = (self.client.pendingOutput, self.server.pendingOutput)
            step(self.client, &client)
            deliver(from: self.client, to: self.server) { step($0, &server) }
            step(self.server, &server)
            deliver(from: self.server, to: self.client) { step($0, &client) }
            if before == (0, 0), self.client.pendingOutput == 0, self.server.pendingOutput == 0 { break }
        }
        return (client, server)
    }

    private func step(_ session: TLSSession, _ outcome: inout Outcome) {
        if outcome.error != nil { return }
        switch session.handshake() {
        case .complete:
            // A TLS 1.3 client learns here whether the server accepts its certificate.
            var byte: UInt8 = 0
            withUnsafeMutableBytes(of: &byte) {
                if case .failed(let error) = session.read(into: $0) { outcome = .failed(error) }
            }
        case .wantsInput: break
        case .failed(let error): outcome = .failed(error)
        }
    }

    /// Moves everything that is pending, in one window.
    func deliver(from: TLSSession, to: TLSSession, _ use: (TLSSession) -> Void) {
        let bytes = take(from)
        if !bytes.isEmpty { feed(bytes, to: to, use) }
    }
}

/// Takes everything out of a session's output.
func take(_ session: TLSSession) -> [UInt8] {
    var bytes: [UInt8] = []
    session.withOutput { output in
        bytes = Array(output)
        return output.count
    }
    return bytes
}

/// Gives a session a window that is gone afterwards: reading it later would be seen by the address sanitizer.
func feed(_ bytes: [UInt8], to session: TLSSession, _ use: (TLSSession) -> Void) {
    let window = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { window.deallocate() }
    window.copyBytes(from: bytes)
    session.setInput(UnsafeRawBufferPointer(window))
    use(session)
    window.initializeMemory(as: UInt8.self, repeating: 0xee)
}

/// Seals; nil on success.
@discardableResult
func write(_ bytes: [UInt8], to session: TLSSession) -> TLSError? {
    switch bytes.withUnsafeBytes({ session.write($0) }) {
    case .written(let count): count == bytes.count ? nil : TLSError(.internalFailure, "short write", hint: "")
    case .failed(let error): error
    }
}

/// What reading until there is nothing more brought.
struct Reading {
    var bytes: [UInt8] = []
    var last: ReadStep = .wantsInput

    var isClean: Bool {
        if case .closed(clean: true) = last { true } else { false }
    }
    var isTruncated: Bool {
        if case .closed(clean: false) = last { true } else { false }
    }
    var wantsInput: Bool {
        if case .wantsInput = last { true } else { false }
    }
    var error: TLSError? {
        if case .failed(let error) = last { error } else { nil }
    }
}

/// Reads until the session has nothing more.
func readAll(_ session: TLSSession, capacity: Int = 65536) -> Reading {
    var result = Reading()
    var buffer = [UInt8](repeating: 0, count: capacity)
    while true {
        let step = buffer.withUnsafeMutableBytes { session.read(into: $0) }
        guard case .bytes(let count) = step else {
            result.last = step
            return result
        }
        result.bytes += buffer[..<count]
    }
}

/// Everything pending from one session to the other, read there.
func transfer(from: TLSSession, to: TLSSession) -> Reading {
    let bytes = take(from)
    guard !bytes.isEmpty else { return readAll(to) }
    var result = Reading()
    feed(bytes, to: to) { result = readAll($0) }
    return result
}
