// Big-endian ("network order") loads and stores at any alignment. Offsets are in bytes.
//
// The pointer forms trust the caller, as raw pointers do; the buffer forms check their bounds.

extension UnsafeRawPointer {
    /// The unsigned 16-bit integer at `offset`.
    @inlinable
    public func loadBE16(at offset: Int = 0) -> UInt16 {
        UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    /// The unsigned 32-bit integer at `offset`.
    @inlinable
    public func loadBE32(at offset: Int = 0) -> UInt32 {
        UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// The unsigned 48-bit integer at `offset`, in the low bits of the result.
    @inlinable
    public func loadBE48(at offset: Int = 0) -> UInt64 {
        UInt64(loadBE16(at: offset)) << 32 | UInt64(loadBE32(at: offset + 2))
    }

    /// The unsigned 64-bit integer at `offset`.
    @inlinable
    public func loadBE64(at offset: Int = 0) -> UInt64 {
        UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

extension UnsafeMutableRawPointer {
    /// The unsigned 16-bit integer at `offset`.
    @inlinable
    public func loadBE16(at offset: Int = 0) -> UInt16 { UnsafeRawPointer(self).loadBE16(at: offset) }

    /// The unsigned 32-bit integer at `offset`.
    @inlinable
    public func loadBE32(at offset: Int = 0) -> UInt32 { UnsafeRawPointer(self).loadBE32(at: offset) }

    /// The unsigned 48-bit integer at `offset`, in the low bits of the result.
    @inlinable
    public func loadBE48(at offset: Int = 0) -> UInt64 { UnsafeRawPointer(self).loadBE48(at: offset) }

    /// The unsigned 64-bit integer at `offset`.
    @inlinable
    public func loadBE64(at offset: Int = 0) -> UInt64 { UnsafeRawPointer(self).loadBE64(at: offset) }

    /// Stores `value` in two bytes at `offset`.
    @inlinable
    public func storeBE16(_ value: UInt16, at offset: Int = 0) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }

    /// Stores `value` in four bytes at `offset`.
    @inlinable
    public func storeBE32(_ value: UInt32, at offset: Int = 0) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
    }

    /// Stores the low 48 bits of `value` in six bytes at `offset`; the bits above must be zero.
    @inlinable
    public func storeBE48(_ value: UInt64, at offset: Int = 0) {
        precondition(value >> 48 == 0, "value does not fit in 48 bits")
        storeBE16(UInt16(truncatingIfNeeded: value >> 32), at: offset)
        storeBE32(UInt32(truncatingIfNeeded: value), at: offset + 2)
    }

    /// Stores `value` in eight bytes at `offset`.
    @inlinable
    public func storeBE64(_ value: UInt64, at offset: Int = 0) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
    }
}

extension UnsafeRawBufferPointer {
    /// The start of `size` bytes at `offset`, after a bounds check.
    @inlinable
    func checked(_ offset: Int, _ size: Int) -> UnsafeRawPointer {
        precondition(offset >= 0 && size <= count - offset, "load beyond the buffer")
        return baseAddress.unsafelyUnwrapped
    }

    /// The unsigned 16-bit integer at `offset`; the buffer must hold it.
    @inlinable
    public func loadBE16(at offset: Int = 0) -> UInt16 { checked(offset, 2).loadBE16(at: offset) }

    /// The unsigned 32-bit integer at `offset`; the buffer must hold it.
    @inlinable
    public func loadBE32(at offset: Int = 0) -> UInt32 { checked(offset, 4).loadBE32(at: offset) }

    /// The unsigned 48-bit integer at `offset`, in the low bits of the result; the buffer must hold it.
    @inlinable
    public func loadBE48(at offset: Int = 0) -> UInt64 { checked(offset, 6).loadBE48(at: offset) }

    /// The unsigned 64-bit integer at `offset`; the buffer must hold it.
    @inlinable
    public func loadBE64(at offset: Int = 0) -> UInt64 { checked(offset, 8).loadBE64(at: offset) }
}

extension UnsafeMutableRawBufferPointer {
    /// The start of the buffer, after a check that `size` bytes at `offset` are within.
    @inlinable
    func checked(_ offset: Int, _ size: Int) -> UnsafeMutableRawPointer {
        precondition(offset >= 0 && size <= count - offset, "store beyond the buffer")
        return baseAddress.unsafelyUnwrapped
    }

    /// Stores `value` in two bytes at `offset`; the buffer must have them.
    @inlinable
    public func storeBE16(_ value: UInt16, at offset: Int = 0) { checked(offset, 2).storeBE16(value, at: offset) }

    /// Stores `value` in four bytes at `offset`; the buffer must have them.
    @inlinable
    public func storeBE32(_ value: UInt32, at offset: Int = 0) { checked(offset, 4).storeBE32(value, at: offset) }

    /// Stores the low 48 bits of `value` in six bytes at `offset`; the buffer must have them.
    @inlinable
    public func storeBE48(_ value: UInt64, at offset: Int = 0) { checked(offset, 6).storeBE48(value, at: offset) }

    /// Stores `value` in eight bytes at `offset`; the buffer must have them.
    @inlinable
    public func storeBE64(_ value: UInt64, at offset: Int = 0) { checked(offset, 8).storeBE64(value, at: offset) }
}
