/// Sebastiano Vigna's SplitMix64: the same values for the same seed everywhere, so that a failing case can be run again.
public struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// A generator that begins at `seed`.
    public init(_ seed: UInt64) { state = seed }

    /// The next value; each is as likely as any other.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// `count` bytes.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            for offset in stride(from: 0, to: count, by: 8) {
                withUnsafeBytes(of: next()) { word in
                    for index in 0..<min(8, count - offset) {
                        buffer.initializeElement(at: offset + index, to: word[index])
                    }
                }
            }
            initialized = count
        }
    }
}
