internal import Bytes
internal import WebSocket

/// What the log still holds of one stream.
extension Outbox {
    /// The bytes of DATA of the stream `id` in frames that the peer has not acknowledged, sent or not. Leaves the log as it is.
    func unacknowledgedBytes(of id: UInt64) -> [UInt8] {
        precondition(reserved < 0, "reading with room reserved")
        var bytes: [UInt8] = []
        var next = sequence > acknowledged ? head : nil
        while let segment = next {
            next = segment.next
            var number = segment.firstSequence
            guard number + segment.sequencedFrames > acknowledged else { continue }
            var offset = Segment.start
            while offset < segment.used {
                let frame = LoggedFrame(segment.base + offset)
                offset += frame.size
                let (type, stream) = frame.header
                guard type & 0x80 == 0 else { continue }
                number += 1
                if number > acknowledged, type == FrameType.data.rawValue, stream == id {
                    frame.appendPayload(to: &bytes)
                }
            }
        }
        return bytes
    }
}

/// A frame in the log, as it is on the wire, masked or not.
private struct LoggedFrame {
    private let body: UnsafeMutableRawPointer
    private let length: Int
    /// Zero: not masked.
    private let key: UInt32
    /// Bytes that the frame takes in the log.
    let size: Int

    init(_ start: UnsafeMutableRawPointer) {
        let second = start.load(fromByteOffset: 1, as: UInt8.self)
        let short = Int(second & 0x7F)
        length = short == 126 ? Int(start.loadBE16(at: 2)) : short
        var header = short == 126 ? 4 : 2
        let isMasked = second & 0x80 != 0
        key = isMasked ? UInt32(littleEndian: start.loadUnaligned(fromByteOffset: header, as: UInt32.self)) : 0
        if isMasked { header += Outbox.keySize }
        body = start + header
        size = header + length
    }

    /// Type and stream id.
    var header: (type: UInt8, stream: UInt64) {
        // The key's four bytes cover the header twice.
        let mask = UInt64(UInt32(bigEndian: key.littleEndian))
        let plain = UnsafeRawBufferPointer(start: body, count: LinkFrame.headerSize).loadBE64() ^ (mask << 32 | mask)
        return (UInt8(truncatingIfNeeded: plain >> 56), plain & LinkFrame.maximumStreamID)
    }

    func appendPayload(to bytes: inout [UInt8]) {
        let start = bytes.count
        bytes.append(
            contentsOf: UnsafeRawBufferPointer(start: body + LinkFrame.headerSize, count: length - LinkFrame.headerSize)
        )
        bytes.withUnsafeMutableBytes {
            Masking.apply(key, to: UnsafeMutableRawBufferPointer(rebasing: $0[start...]), offset: LinkFrame.headerSize)
        }
    }
}
