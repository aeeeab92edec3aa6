/// A frame as a peer might send it, right or wrong. Encoded by other code than the room's own.
struct TestFrame {
    enum LengthForm { case shortest, two, eight }

    var fin = true
    var rsv: UInt8 = 0
    var opcode: UInt8
    var payload: [UInt8] = []
    var lengthForm = LengthForm.shortest
    /// The length to claim instead of the payload's.
    var claims: UInt64?
    /// Whether to mask, if not as the peer's role asks.
    var masked: Bool?
    var key: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]

    func encoded(masked byRole: Bool) -> [UInt8] {
        let isMasked = masked ?? byRole
        let length = claims ?? UInt64(payload.count)
        var bytes = [(fin ? 0x80 : 0) | rsv << 4 | opcode]
        let maskBit: UInt8 = isMasked ? 0x80 : 0
        if lengthForm == .eight || (lengthForm == .shortest && length > 0xFFFF) {
            bytes.append(maskBit | 127)
            for shift in stride(from: UInt64(56), through: 0, by: -8) { bytes.append(UInt8((length >> shift) & 0xFF)) }
        } else if lengthForm == .two || length > 125 {
            bytes += [maskBit | 126, UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF)]
        } else {
            bytes.append(maskBit | UInt8(length))
        }
        guard isMasked else { return bytes + payload }
        bytes += key
        bytes.reserveCapacity(bytes.count + payload.count)
        for (index, byte) in payload.enumerated() { bytes.append(byte ^ key[index & 3]) }
        return bytes
    }

    // The vocabulary of the tables.

    static func text(_ text: String, fin: Bool = true) -> TestFrame { bytes(1, Array(text.utf8), fin: fin) }
    static func text(_ payload: [UInt8], fin: Bool = true) -> TestFrame { bytes(1, payload, fin: fin) }
    static func binary(_ payload: [UInt8], fin: Bool = true) -> TestFrame { bytes(2, payload, fin: fin) }
    static func more(_ text: String, fin: Bool = false) -> TestFrame { bytes(0, Array(text.utf8), fin: fin) }
    static func more(_ payload: [UInt8], fin: Bool = false) -> TestFrame { bytes(0, payload, fin: fin) }
    static func last(_ text: String) -> TestFrame { bytes(0, Array(text.utf8), fin: true) }
    static func last(_ payload: [UInt8]) -> TestFrame { bytes(0, payload, fin: true) }
    static func ping(_ text: String = "") -> TestFrame { bytes(9, Array(text.utf8)) }
    static func ping(_ payload: [UInt8]) -> TestFrame { bytes(9, payload) }
    static func pong(_ text: String = "") -> TestFrame { bytes(10, Array(text.utf8)) }
    static func close(_ payload: [UInt8] = []) -> TestFrame { bytes(8, payload) }
    static func close(_ code: Int, _ reason: String = "") -> TestFrame {
        bytes(8, [UInt8(code >> 8), UInt8(code & 0xFF)] + Array(reason.utf8))
    }

    static func bytes(_ opcode: UInt8, _ payload: [UInt8], fin: Bool = true) -> TestFrame {
        TestFrame(fin: fin, opcode: opcode, payload: payload)
    }

    func with(_ change: (inout TestFrame) -> Void) -> TestFrame {
        var copy = self
        change(&copy)
        return copy
    }
}

/// A frame that the room sent, taken apart by other code than its own.
struct SentFrame: Equatable {
    var fin: Bool
    var rsv: UInt8
    var opcode: UInt8
    var masked: Bool
    var key: [UInt8]
    var payload: [UInt8]

    /// All frames in `bytes`; nil if they do not end with a whole frame or a length is not minimal.
    static func all(in bytes: [UInt8]) -> [SentFrame]? {
        var frames: [SentFrame] = []
        var at = 0
        while at < bytes.count {
            guard bytes.count - at >= 2 else { return nil }
            let (first, second) = (bytes[at], bytes[at + 1])
            at += 2
            var length = Int(second & 0x7F)
            let extra = length == 126 ? 2 : (length == 127 ? 8 : 0)
            guard bytes.count - at >= extra else { return nil }
            if extra > 0 {
                length = bytes[at..<at + extra].reduce(0) { $0 << 8 | Int($1) }
                guard length > (extra == 2 ? 125 : 0xFFFF) else { return nil }
                at += extra
            }
            let masked = second & 0x80 != 0
            var key: [UInt8] = []
            if masked {
                guard bytes.count - at >= 4 else { return nil }
                key = Array(bytes[at..<at + 4])
                at += 4
            }
            guard bytes.count - at >= length else { return nil }
            var payload = Array(bytes[at..<at + length])
            if masked { for index in payload.indices { payload[index] ^= key[index & 3] } }
            at += length
            frames.append(
                SentFrame(
                    fin: first & 0x80 != 0, rsv: first >> 4 & 7, opcode: first & 15, masked: masked, key: key,
                    payload: payload))
        }
        return frames
    }

    /// What was sent in one word: "pong:…", "close:1002".
    var summary: String {
        let body = payload.count > 64 ? "\(payload.count) bytes" : describe(payload)
        switch opcode {
        case 8: return payload.count < 2 ? "close" : "close:\(Int(payload[0]) << 8 | Int(payload[1]))"
        case 9: return "ping:\(body)"
        case 10: return "pong:\(body)"
        default: return "\(opcode == 1 ? "text" : opcode == 2 ? "binary" : "more"):\(body)"
        }
    }
}

/// Bytes for a transcript: printable ASCII as it is, all else in hex.
func describe(_ bytes: [UInt8]) -> String {
    if bytes.count > 64 { return "\(bytes.count) bytes #\(checksum(bytes))" }
    if bytes.allSatisfy({ (0x20...0x7E).contains($0) }) { return String(decoding: bytes, as: UTF8.self) }
    return "0x" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// FNV-1a over words of eight bytes, to compare long payloads.
func checksum(_ bytes: [UInt8]) -> UInt64 {
    bytes.withUnsafeBytes { buffer in
        var sum: UInt64 = 0xCBF2_9CE4_8422_2325
        var at = 0
        while at + 8 <= buffer.count {
            sum = (sum ^ buffer.loadUnaligned(fromByteOffset: at, as: UInt64.self)) &* 0x100_0000_01B3
            at += 8
        }
        while at < buffer.count {
            sum = (sum ^ UInt64(buffer[at])) &* 0x100_0000_01B3
            at += 1
        }
        return sum
    }
}
