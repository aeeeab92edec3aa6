public import WebSocket

/// Frames that the edge makes itself.
public enum EdgeFrame {
    /// A close frame to the client.
    public static func close(_ payload: ClosePayload) -> [UInt8] { frame(.close, payload.bytes) }

    /// A close frame to the service, masked with a fresh, unpredictable key (see `Masking`).
    public static func close(_ payload: ClosePayload, maskKey: UInt32) -> [UInt8] {
        var bytes = payload.bytes
        bytes.withUnsafeMutableBytes { Masking.apply(maskKey, to: $0) }
        return frame(FrameHeader(opcode: .close, maskKey: maskKey, payloadLength: bytes.count), bytes)
    }

    /// A text message to the client in one frame.
    public static func text(_ text: String) -> [UInt8] { frame(.text, Array(text.utf8)) }

    /// A pong to the client.
    public static func pong(_ payload: [UInt8]) -> [UInt8] { frame(.pong, payload) }

    private static func frame(_ opcode: Opcode, _ payload: [UInt8]) -> [UInt8] {
        frame(FrameHeader(opcode: opcode, payloadLength: payload.count), payload)
    }

    private static func frame(_ header: FrameHeader, _ payload: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: header.encodedSize + payload.count) { buffer, count in
            let start = UnsafeMutableRawBufferPointer(buffer)
            if let base = start.baseAddress { header.encode(into: base) }
            start[header.encodedSize...].copyBytes(from: payload)
            count = header.encodedSize + payload.count
        }
    }
}
