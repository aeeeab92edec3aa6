import Glibc

/// Unpredictable numbers out of a stock from the kernel: request ids, trace ids and masking keys would cost a system call
/// each. A number that was handed out is wiped from the stock.
struct BufferedRandom: RandomNumberGenerator {
    /// Numbers of one system call, which gives up to 256 bytes (getentropy(3)).
    private static let stock = 32

    private var numbers = [UInt64](repeating: 0, count: stock)
    private var left = 0

    mutating func next() -> UInt64 {
        if left == 0 { fill() }
        left -= 1
        defer { numbers[left] = 0 }
        return numbers[left]
    }

    private mutating func fill() {
        let failed = numbers.withUnsafeMutableBytes { getentropy($0.baseAddress, $0.count) }
        precondition(failed == 0, "the kernel has no random numbers: getentropy failed")
        left = Self.stock
    }
}
