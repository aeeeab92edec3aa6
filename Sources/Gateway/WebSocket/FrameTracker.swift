import Bytes
public import WebSocket

/// Follows the frames of a WebSocket byte stream that passes by in one direction, without changing, keeping or unmasking
/// it, so that the edge knows where a frame of its own can go between two others.
///
/// Give it every byte that is passed on, in order. To insert a frame, pass on no more than `track(_:until:)` allows and
/// then look at `position`. It checks only what it needs to find the next boundary: what else is wrong is for the two ends
/// to notice. Once a header is no header of RFC 6455 the position is `.lost`: bytes may still be passed on (the receiver
/// will refuse them), nothing can be inserted any more.
public struct FrameTracker: Sendable {
    /// Where in the stream the next byte belongs.
    public enum Position: Sendable, Hashable {
        /// Between two frames. Control frames can go here; a data frame only where no fragmented message is under way.
        case boundary(insideMessage: Bool)
        /// Inside a frame.
        case insideFrame
        /// Behind a close frame: nothing may follow (RFC 6455, 5.5.1).
        case closed
        /// A header could not be read.
        case lost
    }

    /// How far to go.
    public enum Stop: Sendable, Hashable {
        /// To the last byte.
        case end
        /// To the next place where a control frame can be inserted.
        case frameBoundary
        /// To the next place where a whole message can be inserted.
        case messageBoundary
    }

    /// Where the next byte belongs.
    public private(set) var position = Position.boundary(insideMessage: false)
    /// What the close frame said, once it has passed completely; nil as well where it was malformed.
    public private(set) var closePayload: ClosePayload?

    /// Bytes of a header that is not complete.
    private var partial: (UInt64, UInt64) = (0, 0)
    private var partialCount = 0
    /// The frame under way, and how many bytes of its payload are still to come.
    private var header: FrameHeader?
    private var remaining = 0
    private var insideMessage = false
    /// The payload of a close frame, as it was masked.
    private var close: [UInt8] = []

    /// A tracker at the first byte behind the handshake.
    public init() {}

    /// Whether a control frame can be inserted now.
    public var canInsertControl: Bool { if case .boundary = position { true } else { false } }

    /// Whether a data message in one frame can be inserted now.
    public var canInsertMessage: Bool { position == .boundary(insideMessage: false) }

    /// Follows bytes that are about to be passed on; returns how many of them to pass. That is all of them with `.end`;
    /// otherwise as many as there are up to the place asked for, none where the stream is there already. Behind a close
    /// frame, and once it is lost, it follows nothing and returns them all.
    public mutating func track(_ bytes: UnsafeRawBufferPointer, until stop: Stop = .end) -> Int {
        var index = 0
        while true {
            switch position {
            case .closed, .lost: return bytes.count
            case .boundary(let inside) where stop == .frameBoundary || stop == .messageBoundary && !inside:
                return index
            case .boundary, .insideFrame: break
            }
            guard index < bytes.count else { return index }
            if header == nil {
                index += readHeader(UnsafeRawBufferPointer(rebasing: bytes[index...]))
            } else {
                let count = min(remaining, bytes.count - index)
                if header?.opcode == .close { close += bytes[index..<(index + count)] }
                remaining -= count
                index += count
                if remaining == 0 { endFrame() }
            }
        }
    }

    /// Takes bytes of a header; returns how many.
    private mutating func readHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
        if partialCount == 0 {
            // Usually the header is there as a whole.
            if case .complete(let header, let size) = FrameHeader.parse(bytes) {
                begin(header)
                return size
            }
        }
        position = .insideFrame
        var taken = 0
        while taken < bytes.count {
            let byte = bytes[taken]
            taken += 1
            let parsed = withUnsafeMutableBytes(of: &partial) { buffer in
                buffer[partialCount] = byte
                partialCount += 1
                return FrameHeader.parse(UnsafeRawBufferPointer(rebasing: buffer[..<partialCount]))
            }
            switch parsed {
            case .incomplete: continue
            case .complete(let header, _): begin(header)
            case .invalid: position = .lost
            }
            partialCount = 0
            break
        }
        return position == .lost ? bytes.count : taken
    }

    private mutating func begin(_ header: FrameHeader) {
        self.header = header
        remaining = header.payloadLength
        position = .insideFrame
        if remaining == 0 { endFrame() }
    }

    private mutating func endFrame() {
        guard let header else { return }
        self.header = nil
        if header.opcode == .close {
            close.withUnsafeMutableBytes { if header.masked { Masking.apply(header.key, to: $0) } }
            if case .success(let payload) = close.withUnsafeBytes({ ClosePayload.parse($0) }) { closePayload = payload }
            close = []
            position = .closed
            return
        }
        if !header.opcode.isControl { insideMessage = !header.fin }
        position = .boundary(insideMessage: insideMessage)
    }
}
