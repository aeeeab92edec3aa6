public import HTTP

/// Ids of requests.
public enum RequestID {
    /// The id of a request: from X-Request-Id where a trusted proxy set it and it is one to 128 letters, digits, "-", "_",
    /// "." or ":"; else 128 random bits in hexadecimal. Clients do not choose what our logs say.
    public static func of(
        _ headers: HTTPHeaders, client: ClientInfo, using random: inout some RandomNumberGenerator
    ) -> String {
        if client.cameThroughProxy {
            let values = headers.values("X-Request-Id")
            if values.count == 1, isUsable(values[0]) { return values[0] }
        }
        return hex(random.next()) + hex(random.next())
    }

    private static func isUsable(_ text: String) -> Bool {
        1...128 ~= text.utf8.count && text.utf8.allSatisfy { Text.isAlphanumeric($0) || "-_.:".utf8.contains($0) }
    }

    /// Sixteen digits, lower case.
    static func hex(_ value: UInt64) -> String {
        String(unsafeUninitializedCapacity: 16) { digits in
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * index)) & 15
                digits[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
            }
            return 16
        }
    }
}
