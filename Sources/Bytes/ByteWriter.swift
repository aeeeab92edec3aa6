/// Appends big-endian values to an array of bytes. For messages that are built rarely; hot paths store into raw memory.
public struct ByteWriter: Sendable {
    /// What was written so far.
    public var bytes: [UInt8]

    /// An empty writer with room for `minimumCapacity` bytes.
    @inlinable
    public init(minimumCapacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(minimumCapacity)
    }

    /// Number of bytes written so far.
    @inlinable
    public var count: Int { bytes.count }

    /// Writes one byte.
    @inlinable
    public mutating func writeUInt8(_ value: UInt8) { bytes.append(value) }

    /// Writes two bytes.
    @inlinable
    public mutating func writeUInt16(_ value: UInt16) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// Writes four bytes.
    @inlinable
    public mutating func writeUInt32(_ value: UInt32) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// Writes the low 48 bits of `value` as six bytes; the bits above must be zero.
    @inlinable
    public mutating func writeUInt48(_ value: UInt64) {
        precondition(value >> 48 == 0, "value does not fit in 48 bits")
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0.dropFirst(2)) }
    }

    /// Writes eight bytes.
    @inlinable
    public mutating func writeUInt64(_ value: UInt64) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// Writes a copy of `source`.
    @inlinable
    public mutating func writeBytes(_ source: UnsafeRawBufferPointer) { bytes.append(contentsOf: source) }

    /// Writes a copy of `source`.
    @inlinable
    public mutating func writeBytes(_ source: [UInt8]) { bytes.append(contentsOf: source) }

    /// Writes the UTF-8 bytes of `text`, without length or terminator.
    @inlinable
    public mutating func writeString(_ text: String) { bytes.append(contentsOf: text.utf8) }

    /// Overwrites two bytes at `offset`, for a length that is known only afterwards; they must have been written.
    @inlinable
    public mutating func setUInt16(_ value: UInt16, at offset: Int) {
        bytes.withUnsafeMutableBytes { $0.storeBE16(value, at: offset) }
    }

    /// Overwrites four bytes at `offset`, for a length that is known only afterwards; they must have been written.
    @inlinable
    public mutating func setUInt32(_ value: UInt32, at offset: Int) {
        bytes.withUnsafeMutableBytes { $0.storeBE32(value, at: offset) }
    }
}
