/// Comparison of secrets.
public enum ConstantTime {
    /// Whether two byte strings are equal, in a time that depends on their lengths only.
    public static func equal(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in 0..<left.count {
            difference |= left[index] ^ right[index]
        }
        return conceal(difference) == 0
    }

    /// Whether two byte strings are equal, in a time that depends on their lengths only.
    public static func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in equal(left, right) }
        }
    }

    /// Whether two texts are equal byte by byte, in a time that depends on their lengths only.
    public static func equal(_ left: String, _ right: String) -> Bool {
        equal(Array(left.utf8), Array(right.utf8))
    }

    /// Keeps the optimiser from seeing that only zero matters, so that it cannot leave the loop early.
    @inline(never) @_optimize(none)
    private static func conceal(_ value: UInt8) -> UInt8 { value }
}
