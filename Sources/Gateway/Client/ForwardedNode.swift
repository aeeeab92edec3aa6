/// One element of a forwarded chain: an address with or without port, or nobody in particular.
struct ForwardedNode {
    /// Nil for `unknown` and for obfuscated names (RFC 7239, 6.2 and 6.3).
    var address: IPAddress?
    var port: UInt16?

    /// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`, `unknown`, `_name`; nil for
    /// anything else. Obfuscated ports are dropped.
    init?(_ text: String) {
        if Text.equalIgnoringCase(text, "unknown") || text.utf8.first == 0x5F, text.utf8.allSatisfy(Text.isTokenByte) {
            return
        }
        if let address = IPAddress(parsing: text) {
            self.address = address
            return
        }
        let host: Substring
        let port: Substring
        if text.utf8.first == 0x5B {
            let parts = Text.split(text.dropFirst(), at: 0x5D)
            guard parts.count == 2, parts[0].utf8.contains(0x3A) else { return nil }
            host = parts[0]
            if parts[1].isEmpty {
                port = ""
            } else {
                guard parts[1].utf8.first == 0x3A else { return nil }
                port = Substring(parts[1].utf8.dropFirst())
                if port.isEmpty { return nil }
            }
        } else {
            let parts = Text.split(text, at: 0x3A)
            guard parts.count == 2, !parts[1].isEmpty else { return nil }
            host = parts[0]
            port = parts[1]
        }
        guard let address = IPAddress(parsing: String(host)) else { return nil }
        self.address = address
        if port.isEmpty { return }
        if port.utf8.first == 0x5F, Text.isToken(port) { return }
        guard let number = Text.port(port) else { return nil }
        self.port = number
    }
}
