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
        _ key: String, _ raw: Slice<UnsafeRawBufferPointer>, _ members: [Builder.Member], _ builder: Builder
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
    private static func bit(for raw: Slice<UnsafeRawBufferPointer>) -> (UInt64, isPlain: Bool) {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        var seen: UInt8 = 0
        var isPlain = true
        for byte in raw where byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "'") {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
            seen |= byte
            if byte == UInt8(ascii: "\\") { isPlain = false }
        }
        return (1 << ((hash ^ hash >> 32) & 63), isPlain && seen < 0x80)
    }
}
