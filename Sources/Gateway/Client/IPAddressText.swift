/// The strict reading of addresses.
enum IPAddressText {
    static func parse(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> IPAddress? {
        text.contains(0x3A) ? v6(text) : v4(text).map { IPAddress(v4: $0) }
    }

    /// Four numbers of 0 to 255 without leading zeros.
    static func v4(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> UInt32? {
        guard text.count <= 15 else { return nil }
        var value: UInt32 = 0
        var parts = 0
        for part in text.split(separator: 0x2E, omittingEmptySubsequences: false) {
            guard 1...3 ~= part.count, part.count == 1 || part.first != 0x30 else { return nil }
            var number: UInt32 = 0
            for byte in part {
                guard byte &- 0x30 < 10 else { return nil }
                number = number * 10 + UInt32(byte &- 0x30)
            }
            guard number < 256, parts < 4 else { return nil }
            value = value << 8 | number
            parts += 1
        }
        return parts == 4 ? value : nil
    }

    private static func v6(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> IPAddress? {
        guard 2...45 ~= text.count else { return nil }
        // The groups before and behind "::".
        var front: [UInt16] = []
        var back: [UInt16] = []
        var hasGap = false
        var index = text.startIndex
        if text[index] == 0x3A {
            guard text[index + 1] == 0x3A else { return nil }
            hasGap = true
            index += 2
        }
        while index < text.endIndex {
            let end = text[index...].firstIndex(of: 0x3A) ?? text.endIndex
            let part = text[index..<end]
            guard let groups = groups(part, isLast: end == text.endIndex) else { return nil }
            if hasGap { back += groups } else { front += groups }
            if end == text.endIndex { break }
            index = end + 1
            // A colon must be followed by a group or make the gap.
            guard index < text.endIndex else { return nil }
            if text[index] == 0x3A {
                if hasGap { return nil }
                hasGap = true
                index += 1
            }
        }
        let count = front.count + back.count
        guard hasGap ? count <= 7 : count == 8 else { return nil }
        let all = front + [UInt16](repeating: 0, count: 8 - count) + back
        return IPAddress(v6: all.reduce(UInt128(0)) { $0 << 16 | UInt128($1) })
    }

    /// One group, or two where the last part is an IPv4 address.
    private static func groups(_ part: Slice<UnsafeBufferPointer<UInt8>>, isLast: Bool) -> [UInt16]? {
        if isLast, part.contains(0x2E) {
            return v4(part).map { [UInt16(truncatingIfNeeded: $0 >> 16), UInt16(truncatingIfNeeded: $0)] }
        }
        guard 1...4 ~= part.count else { return nil }
        var value: UInt16 = 0
        for byte in part {
            guard let digit = Text.hexValue(byte) else { return nil }
            value = value << 4 | UInt16(digit)
        }
        return [value]
    }
}
