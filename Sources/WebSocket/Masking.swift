/// The masking of RFC 6455 section 5.3: byte `i` of a payload is combined with byte `i % 4` of the key by exclusive or.
///
/// **Keys.** A key is a `UInt32` whose bits 8i…8i+7 are the i-th byte on the wire: on any machine the wire bytes
/// `37 FA 21 3D` are the key `0x3D21FA37`.
///
/// A client must take a fresh key for every frame from a cryptographic source (`getrandom`, ChaCha20 …), so that
/// nobody who chooses the payload can foresee, and so choose, the bytes on the wire: that is how caches between the two
/// ends were poisoned (section 10.3). Keys from a counter, a clock or a linear generator do not do.
///
/// Works in words of eight bytes, which the compiler turns into the machine's vectors, at any alignment.
public enum Masking {
    /// Masks or unmasks `bytes` in place.
    ///
    /// - Parameters:
    ///   - key: the frame's key, in wire order as described above.
    ///   - bytes: a part of the frame's payload.
    ///   - offset: how many bytes of the payload come before `bytes`; only its value modulo 4 matters.
    @inlinable
    public static func apply(_ key: UInt32, to bytes: UnsafeMutableRawBufferPointer, offset: Int = 0) {
        guard let start = bytes.baseAddress else { return }
        let word = repeated(key, from: offset)
        let wordEnd = bytes.count & ~7
        var at = 0
        while at < wordEnd {
            let value = start.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            start.storeBytes(of: value ^ word, toByteOffset: at, as: UInt64.self)
            at &+= 8
        }
        var rest = UInt64(littleEndian: word)
        while at < bytes.count {
            let value = start.load(fromByteOffset: at, as: UInt8.self)
            start.storeBytes(of: value ^ UInt8(truncatingIfNeeded: rest), toByteOffset: at, as: UInt8.self)
            rest &>>= 8
            at &+= 1
        }
    }

    /// Writes `source`, masked or unmasked, to `destination`, in one pass; the two must not overlap.
    ///
    /// - Parameters:
    ///   - key: the frame's key, in wire order.
    ///   - source: a part of the frame's payload.
    ///   - destination: at least `source.count` writable bytes.
    ///   - offset: how many bytes of the payload come before `source`.
    @inlinable
    public static func copy(
        _ key: UInt32, from source: UnsafeRawBufferPointer, to destination: UnsafeMutableRawPointer, offset: Int = 0
    ) {
        guard let start = source.baseAddress else { return }
        let word = repeated(key, from: offset)
        let wordEnd = source.count & ~7
        var at = 0
        while at < wordEnd {
            let value = start.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            destination.storeBytes(of: value ^ word, toByteOffset: at, as: UInt64.self)
            at &+= 8
        }
        var rest = UInt64(littleEndian: word)
        while at < source.count {
            let value = start.load(fromByteOffset: at, as: UInt8.self)
            destination.storeBytes(of: value ^ UInt8(truncatingIfNeeded: rest), toByteOffset: at, as: UInt8.self)
            rest &>>= 8
            at &+= 1
        }
    }

    /// The key twice in the memory order of a word, turned so that its first byte is the one for payload byte `offset`.
    @inlinable
    static func repeated(_ key: UInt32, from offset: Int) -> UInt64 {
        let both = UInt64(key) &<< 32 | UInt64(key)
        let shift = UInt64(truncatingIfNeeded: (offset & 3) &* 8)
        return (both &>> shift | both &<< (64 &- shift)).littleEndian
    }
}
