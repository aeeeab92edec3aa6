/// The input ended before the value that was to be read.
public struct Truncated: Error, Equatable, Sendable {
    /// How many bytes were asked for.
    public let needed: Int
    /// How many were left.
    public let available: Int

    /// Creates the error.
    @inlinable
    public init(needed: Int, available: Int) {
        self.needed = needed
        self.available = available
    }
}

/// Reads big-endian values one after the other from bytes that belong to somebody else.
///
/// Each read either takes its bytes or throws `Truncated` and takes nothing; `try?` makes an optional of it. The reader
/// is valid as long as the buffer it was made from.
public struct ByteReader {
    @usableFromInline let buffer: UnsafeRawBufferPointer
    @usableFromInline var position: Int

    /// A reader at the start of `buffer`.
    @inlinable
    public init(_ buffer: UnsafeRawBufferPointer) {
        self.buffer = buffer
        position = 0
    }

    /// Offset of the next byte to be read.
    @inlinable
    public var offset: Int { position }

    /// Number of bytes not yet read.
    @inlinable
    public var remaining: Int { buffer.count &- position }

    /// Whether everything was read.
    @inlinable
    public var isAtEnd: Bool { position == buffer.count }

    /// Reads one byte.
    @inlinable
    public mutating func readUInt8() throws(Truncated) -> UInt8 {
        try take(1).load(as: UInt8.self)
    }

    /// Reads two bytes.
    @inlinable
    public mutating func readUInt16() throws(Truncated) -> UInt16 {
        try take(2).loadBE16()
    }

    /// Reads four bytes.
    @inlinable
    public mutating func readUInt32() throws(Truncated) -> UInt32 {
        try take(4).loadBE32()
    }

    /// Reads six bytes.
    @inlinable
    public mutating func readUInt48() throws(Truncated) -> UInt64 {
        try take(6).loadBE48()
    }

    /// Reads eight bytes.
    @inlinable
    public mutating func readUInt64() throws(Truncated) -> UInt64 {
        try take(8).loadBE64()
    }

    /// Takes the next `count` bytes without copying them; `count` must not be negative.
    @inlinable
    public mutating func readBytes(_ count: Int) throws(Truncated) -> UnsafeRawBufferPointer {
        if count == 0 { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: try take(count), count: count)
    }

    /// Takes all the bytes that remain, without copying them.
    @inlinable
    public mutating func readRemaining() -> UnsafeRawBufferPointer {
        let rest = UnsafeRawBufferPointer(rebasing: buffer[position...])
        position = buffer.count
        return rest
    }

    /// Reads `count` bytes of UTF-8; nil where they are not valid UTF-8 (they are taken nevertheless).
    @inlinable
    public mutating func readString(utf8 count: Int) throws(Truncated) -> String? {
        String(validating: try readBytes(count), as: UTF8.self)
    }

    /// Skips `count` bytes; `count` must not be negative.
    @inlinable
    public mutating func skip(_ count: Int) throws(Truncated) {
        if count != 0 { _ = try take(count) }
    }

    /// Steps over `size` bytes and returns where they start.
    @inlinable
    mutating func take(_ size: Int) throws(Truncated) -> UnsafeRawPointer {
        precondition(size >= 0, "negative length")
        guard size <= buffer.count &- position, let base = buffer.baseAddress else {
            throw Truncated(needed: size, available: remaining)
        }
        defer { position &+= size }
        return base + position
    }
}
