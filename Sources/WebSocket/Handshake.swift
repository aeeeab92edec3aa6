internal import Bytes

/// The opening handshake (RFC 6455 section 4), without HTTP: header values come in by a lookup, bytes or values go out.
///
/// The HTTP room parses the heads; see `Handshake+Server.swift` for the side that answers and `Handshake+Client.swift`
/// for the one that asks.
public enum Handshake {
    /// The only protocol version (section 4.1).
    public static let version = "13"

    /// All values of the fields with that name, in order, empty if there is none; names are compared without regard to
    /// case by whoever provides it.
    public typealias HeaderLookup = (_ name: String) -> [String]

    /// What the server sends as `Sec-WebSocket-Accept` for that `Sec-WebSocket-Key` (section 4.2.2).
    public static func acceptKey(_ key: String) -> String {
        Base64.encode(SHA1.digest(Array(key.utf8) + Array("258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)))
    }

    /// A `Sec-WebSocket-Key` of 16 random bytes; fresh for each handshake (section 4.1).
    public static func key(random: (UInt64, UInt64)) -> String {
        withUnsafeBytes(of: random) { Base64.encode($0) }
    }
}
