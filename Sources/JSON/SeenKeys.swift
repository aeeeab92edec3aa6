/// Notices the second of two equal keys of one object.
///
/// A key costs almost nothing in the usual small object: a 64-bit filter over cheap hashes of the raw bytes says that
/// it is new. Large objects get a dictionary, which the value keeps for its own look-ups.
struct SeenKeys {
    /// Where each key is; only for objects beyond `JSONObject.searchLimit`.
    private(set) var index: [String: Int]?
    private var filter: UInt64 = 0
    /// Set by a key that is not plain ASCII: other bytes can be equal to it (escapes, canonical equivalence).
    private var comparesAll = false

    /// Takes the key of the next member, written as `raw`; returns non-nil when it is there already: the first one's
    /// position, as far as the builder knows it.
    @inline(__always)
    mutating func insert<Builder: TreeBuilder>(
        _ key: String, _ raw: UnsafeRawBufferPointer, _ members: [Builder.Member], _ builder: Builder
    ) -> JSONPosition?? {
        if index != nil {
            if let first = index?.updateValue(members.count, forKey: key) {
                return .some(builder.keyPosition(of: members[first]))
            }
            return nil
        }
        let (bit, isPlain) = Self.bit(for: raw)
        let isNew = filter & bit == 0
        filter |= bit
        if !isPlain { comparesAll = true }
        if !isNew || comparesAll, let first = members.first(where: { builder.key(of: $0) == key }) {
            return .some(builder.keyPosition(of: first))
        }
        if members.count == JSONObject.searchLimit {
            var index = [String: Int](minimumCapacity: 4 * JSONObject.searchLimit)
            for (place, member) in members.enumerated() {
                index[builder.key(of: member)] = place
            }
            index[key] = members.count
            self.index = index
        }
        return nil
    }

    /// One of 64 bits for a key, from the bytes between its quotation marks; not plain when other bytes could be equal.
    @inline(__always)
    private static func bit(for raw: UnsafeRawBufferPointer) -> (UInt64, isPlain: Bool) {
        let backslashes: UInt64 = 0x5C5C_5C5C_5C5C_5C5C
        var key = raw
        if let first = raw.first, first == UInt8(ascii: "\"") || first == UInt8(ascii: "'") {
            key = UnsafeRawBufferPointer(rebasing: raw[1..<raw.count - 1])
        }
        var hash = UInt64(truncatingIfNeeded: key.count)
        var seen: UInt64 = 0
        var escapes: UInt64 = 0
        var place = 0
        // Eight bytes at a time, the last ones filled up with zeros.
        while place < key.count {
            var word: UInt64 = 0
            if place + 8 <= key.count {
                word = key.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            } else {
                for byte in key[place...].reversed() { word = word << 8 | UInt64(byte) }
            }
            hash = (hash ^ word) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash >> 32
            seen |= word
            escapes |= zeroBytes(word ^ backslashes)
            place += 8
        }
        return (1 << (hash & 63), seen & 0x8080_8080_8080_8080 == 0 && escapes == 0)
    }

    /// Not zero when one of the eight bytes is zero.
    @inline(__always)
    private static func zeroBytes(_ word: UInt64) -> UInt64 {
        (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
    }
}
