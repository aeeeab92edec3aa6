import Link
import WebSocket

/// The WebSocket close frame that ends a link: the reason as a close code, and a text for people.
enum CloseFrame {
    /// The whole frame; `masked` on the dialler's side.
    static func encode(_ reason: LinkReason, _ text: String, masked: Bool) -> [UInt8] {
        var payload = ClosePayload(CloseCode(rawValue: reason.closeCode), reason: text).bytes
        let header: FrameHeader
        if masked {
            // A close frame is rare: the system's generator, which is unpredictable, is asked each time.
            let key = UInt32.random(in: .min ... .max)
            header = FrameHeader(opcode: .close, maskKey: key, payloadLength: payload.count)
            payload.withUnsafeMutableBytes { Masking.apply(key, to: $0) }
        } else {
            header = FrameHeader(opcode: .close, payloadLength: payload.count)
        }
        let start = [UInt8](unsafeUninitializedCapacity: FrameHeader.maximumSize) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            count = header.encode(into: UnsafeMutableRawPointer(base))
        }
        return start + payload
    }
}
