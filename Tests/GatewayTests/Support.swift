import Bytes
import Gateway
import HTTP

/// An address that must be legal.
func ip(_ text: String) -> IPAddress {
    guard let address = IPAddress(parsing: text) else { preconditionFailure("\(text) is no address") }
    return address
}

extension IPAddress {
    /// An address that must be legal; for tables.
    static func of(_ text: String) -> IPAddress { ip(text) }
}

/// The head of a request that must be legal.
func request(
    _ method: HTTPMethod = .get, _ target: String = "/", host: String = "edge.example.org",
    _ headers: [(String, String)] = [], framing: HTTPFraming = .none
) -> HTTPRequestHead {
    do {
        return try HTTPRequestHead(method, target, host: host, headers: HTTPHeaders(headers), framing: framing)
    } catch {
        preconditionFailure("\(error)")
    }
}

/// A handshake with those subprotocols.
func handshake(
    _ protocols: [String] = [], _ more: [(String, String)] = [], target: String = "/ws"
) -> HTTPRequestHead {
    var headers = [
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    if !protocols.isEmpty { headers.append(("Sec-WebSocket-Protocol", protocols.joined(separator: ", "))) }
    return request(.get, target, headers + more)
}

/// The reason of what `body` throws; nil if it throws nothing.
func refusal(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch {
        return (error as? EdgeRefusal)?.reason ?? "\(error)"
    }
}

/// The bytes of a frame, masked with a fixed key where it is a client's.
func frame(_ first: UInt8, _ payload: [UInt8], masked: Bool = true) -> [UInt8] {
    let key: [UInt8] = [0x11, 0x22, 0x33, 0x44]
    var bytes: [UInt8] = [first]
    let bit: UInt8 = masked ? 0x80 : 0
    switch payload.count {
    case ..<126: bytes.append(bit | UInt8(payload.count))
    case ..<65536: bytes += [bit | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
    default: bytes += [bit | 127] + (0..<8).map { UInt8(payload.count >> (56 - 8 * $0) & 255) }
    }
    if masked { bytes += key }
    return bytes + (masked ? payload.enumerated().map { $0.element ^ key[$0.offset % 4] } : payload)
}
