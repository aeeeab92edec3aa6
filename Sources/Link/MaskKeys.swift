import Glibc

/// Fresh, unpredictable WebSocket mask keys (RFC 6455 §5.3, §10.3), drawn from the system a thousand at a time. One source
/// per worker; not Sendable.
public final class MaskKeys {
    /// Fills a buffer with randomness that nobody can predict.
    public typealias Fill = (UnsafeMutableRawBufferPointer) -> Void

    private static let size = 4_096
    private let buffer: UnsafeMutableRawBufferPointer
    private var position = MaskKeys.size
    private let fill: Fill

    /// A source that draws from `fill`, by default the system's generator.
    public init(fill: @escaping Fill = MaskKeys.systemRandom) {
        self.fill = fill
        buffer = .allocate(byteCount: MaskKeys.size, alignment: 16)
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { buffer.deallocate() }

    /// The next key. Its four bytes in memory order are those of the frame's header, in order.
    func next() -> UInt32 {
        if position == MaskKeys.size {
            fill(buffer)
            position = 0
        }
        defer { position += 4 }
        return buffer.load(fromByteOffset: position, as: UInt32.self)
    }

    /// Fills `buffer` with bytes from the system's generator (getentropy(3), 256 bytes at a time as it demands).
    public static func systemRandom(_ buffer: UnsafeMutableRawBufferPointer) {
        var done = 0
        while done < buffer.count, let base = buffer.baseAddress {
            let count = min(256, buffer.count - done)
            let result = getentropy(base + done, count)
            precondition(result == 0, "the kernel gives no randomness")
            done += count
        }
    }
}
