/// Slows down whoever is refused again and again, by address. Pure: the time is a parameter.
///
/// Every refusal takes one of ten tokens, and one comes back every six seconds. The table has a bound: beyond it the address
/// that was refused longest ago is forgotten.
public struct RefusalLimiter: Sendable {
    private struct Bucket {
        var tokens: Double
        var updated: Int64
    }

    /// Refusals in a row that are answered with their own reason.
    public static let burst = 10.0
    /// Refusals per second thereafter.
    public static let rate = 1.0 / 6
    /// Addresses that are remembered.
    public static let capacity = 4096

    /// By whom refusals are counted: an IPv4 address, of IPv6 the network of 64 bits, which is what one host can have.
    ///
    /// - Parameter bytes: the address in network order, 4 or 16 bytes. An IPv4 address in IPv6's form is the IPv4 address.
    public static func source(address bytes: [UInt8]) -> String {
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        let address = bytes.count == 16 && bytes.starts(with: mapped) ? Array(bytes.suffix(4)) : bytes
        guard address.count == 16 else { return address.map { String($0) }.joined(separator: ".") }
        let groups = (0..<4).map { String(Int(address[2 * $0]) << 8 | Int(address[2 * $0 + 1]), radix: 16) }
        return groups.joined(separator: ":") + "::/64"
    }

    private var buckets: [String: Bucket] = [:]

    /// A limiter that has seen nobody.
    public init() {}

    /// How many addresses are remembered.
    public var count: Int { buckets.count }

    /// Whether an address is heard now; `now` in milliseconds of a clock that does not go back.
    public func admits(_ address: String, now: Int64) -> Bool {
        guard let bucket = buckets[address] else { return true }
        return Self.filled(bucket, now).tokens >= 1
    }

    /// Counts a refusal.
    public mutating func refused(_ address: String, now: Int64) {
        var bucket = buckets[address].map { Self.filled($0, now) } ?? Bucket(tokens: Self.burst, updated: now)
        bucket.tokens = max(0, bucket.tokens - 1)
        if buckets[address] == nil, buckets.count >= Self.capacity { forget(now) }
        buckets[address] = bucket
    }

    private mutating func forget(_ now: Int64) {
        buckets = buckets.filter { Self.filled($0.value, now).tokens < Self.burst }
        guard buckets.count >= Self.capacity, let oldest = buckets.min(by: { $0.value.updated < $1.value.updated })
        else { return }
        buckets[oldest.key] = nil
    }

    private static func filled(_ bucket: Bucket, _ now: Int64) -> Bucket {
        let passed = Double(max(0, now - bucket.updated)) / 1000
        return Bucket(tokens: min(burst, bucket.tokens + passed * rate), updated: max(now, bucket.updated))
    }
}
