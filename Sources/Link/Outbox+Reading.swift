internal import Bytes
internal import WebSocket

/// What the log still holds of one stream.
extension Outbox {
    /// How many frames `bytes(of:in:)` looks at, those without a number left out.
    func readLength(of frames: Range<UInt64>) -> Int {
        var count: UInt64 = 0
        visit(frames) { count += $0.sequencedFrames }
        return Int(clamping: count)
    }

    /// The bytes of DATA of the stream `id` in frames with these numbers that are still in the log, sent or not. Leaves the log as
    /// it is.
    func bytes(of id: UInt64, in frames: Range<UInt64>) -> [UInt8] {
        precondition(reserved < 0, "reading with room reserved")
        var bytes: [UInt8] = []
        visit(frames) { segment in
            var number = segment.firstSequence
            var offset = Segment.start
            while offset < segment.used, number < frames.upperBound {
                let frame = LoggedFrame(segment.base + offset)
                offset += frame.size
                let (type, stream) = frame.header
                guard type & 0x80 == 0 else { continue }
                if number >= frames.lowerBound, type == FrameType.data.rawValue, stream == id {
                    frame.appendPayload(to: &bytes)
                }
                number += 1
            }
        }
        return bytes
    }

    /// Passes the segments that hold some of these frames to `body`.
    private func visit(_ frames: Range<UInt64>, _ body: (Segment) -> Void) {
        var next = head
        while let segment = next, segment.firstSequence < frames.upperBound {
            next = segment.next
            if segment.firstSequence + segment.sequencedFrames > frames.lowerBound { body(segment) }
        }
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
