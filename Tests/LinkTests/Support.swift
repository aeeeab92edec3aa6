import Bytes
import Glibc
import Link
import SeededRandom
import WebSocket

/// The tests' only source of chance, with what simulations draw.
extension SeededRandom {
    /// Uniform below `bound`, which is positive.
    mutating func below(_ bound: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(bound)).high) }

    /// True once in `n` times.
    mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }

    /// Mostly small, sometimes up to `limit`: the sizes where edges are.
    mutating func size(upTo limit: Int) -> Int {
        guard limit > 1 else { return limit }
        switch below(4) {
        case 0: return 1 + below(min(limit, 4))
        case 1: return 1 + below(min(limit, 200))
        case 2: return limit
        default: return 1 + below(limit)
        }
    }
}

/// Mask keys that a test can repeat.
func maskKeys(seed: UInt64) -> MaskKeys {
    var randomness = SeededRandom(seed)
    return MaskKeys { buffer in
        for index in buffer.indices { buffer[index] = UInt8(truncatingIfNeeded: randomness.next()) }
    }
}

/// The bytes of every stream in every test: a stretch without short repetitions, at a place that depends on the stream
/// and the direction.
enum Pattern {
    private static let period = 65_521
    private static let bytes: [UInt8] = {
        var randomness = SeededRandom(42)
        let once = (0..<period).map { _ in UInt8(truncatingIfNeeded: randomness.next()) }
        return once + once
    }()

    private static func start(_ seed: UInt64, _ offset: Int) -> Int {
        Int((UInt64(offset) &+ seed &* 7_919) % UInt64(period))
    }

    static func fill(_ buffer: UnsafeMutableRawBufferPointer, seed: UInt64, offset: Int) {
        var done = 0
        while done < buffer.count {
            let from = start(seed, offset + done)
            let count = min(buffer.count - done, period)
            bytes.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[from..<from + count]))
            }
            done += count
        }
    }

    static func matches(_ buffer: UnsafeRawBufferPointer, seed: UInt64, offset: Int) -> Bool {
        var done = 0
        while done < buffer.count {
            let from = start(seed, offset + done)
            let count = min(buffer.count - done, period)
            let difference = bytes.withUnsafeBytes {
                memcmp($0.baseAddress! + from, buffer.baseAddress! + done, count)
            }
            guard difference == 0 else { return false }
            done += count
        }
        return true
    }
}

/// The frames of a link as they come off a wire, through the strict reader of the WebSocket room: it refuses wrong masks,
/// lengths that are not minimal and fragments.
struct WireReader {
    private var reader: FrameReader
    private var buffer = ByteQueueBox()

    init(receiver: LinkRole) {
        reader = FrameReader(
            role: receiver == .dialler ? .client : .server,
            maximumFramePayload: LinkFrame.headerSize + LinkFrame.maximumPayload)
    }

    enum Failure: Error { case notAMessage(String) }

    mutating func append(_ bytes: UnsafeRawBufferPointer) { buffer.queue.append(bytes) }

    /// Passes every complete frame to `body`.
    mutating func drain(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        while true {
            var consumed = 0
            let box = buffer
            try box.queue.withMutableReadable { bytes in
                switch reader.next(bytes) {
                case .needMore: break
                case .message(.binary, let payload, let size):
                    consumed = size
                    try body(UnsafeRawBufferPointer(rebasing: bytes[payload]))
                case let other: throw Failure.notAMessage("\(other)")
                }
            }
            if consumed == 0 { return }
            box.queue.consume(consumed)
        }
    }
}

final class ByteQueueBox {
    var queue = ByteQueue()
}

/// A frame as a test looks at it.
struct SeenFrame: Equatable {
    var type: FrameType
    var flags: FrameFlags
    var id: UInt64
    var payload: [UInt8]

    init(_ type: FrameType, flags: FrameFlags = [], id: UInt64 = 0, payload: [UInt8] = []) {
        self.type = type
        self.flags = flags
        self.id = id
        self.payload = payload
    }

    init?(_ message: UnsafeRawBufferPointer) {
        guard case .frame(let frame) = LinkFrame.parse(message) else { return nil }
        self.init(
            frame.type, flags: frame.flags, id: frame.streamID, payload: Array(message[LinkFrame.headerSize...]))
    }

    var bytes: [UInt8] { LinkFrame(type: type, flags: flags, streamID: id).encoded(payload: payload) }
}

func bigEndian(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) }
}

func bigEndian(_ value: UInt32) -> [UInt8] { Array(bigEndian(UInt64(value)).suffix(4)) }

func bigEndian(_ value: UInt16) -> [UInt8] { Array(bigEndian(UInt64(value)).suffix(2)) }
