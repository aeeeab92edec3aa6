import Glibc

extension PeerVerification {
    /// Whether the peer is whom the dialler meant.
    static func checkName(of identity: PeerIdentity, _ expected: Expectation) throws(CertificateError) {
        if let node = expected.node {
            let actual = identity.nodeName
            guard let actual, actual.utf8.elementsEqual(node.utf8) else {
                throw CertificateError(
                    .wrongName,
                    "dialled the node \"\(node)\", but the peer is \(actual.map { "\"\($0)\"" } ?? "\(identity)")",
                    hint: "check the address configured for \(node), or make its certificate: "
                        + NewCertificate.commands(node))
            }
        }
        if let host = expected.hostName, !matches(host, identity) {
            let names = identity.dnsNames + identity.ipAddresses
            let list = names.isEmpty ? "no host name at all (a CN does not count)" : names.joined(separator: ", ")
            throw CertificateError(
                .wrongName, "dialled the host \"\(host)\", but the certificate is for \(list)",
                hint: expected.isForeignServer
                    ? "connect by a name that it has, or say by which it is known; look at it: openssl s_client "
                        + "-connect \(isIPv6(host) ? "[\(host)]" : host):PORT -showcerts"
                    : "issue it with that name: mesh ca issue NODE --\(isAddress(host) ? "ip" : "dns") \(host)")
        }
    }

    private static func matches(_ host: String, _ identity: PeerIdentity) -> Bool {
        if let address = addressBytes(host) {
            return identity.ipAddresses.contains { addressBytes($0) == address }
        }
        return identity.dnsNames.contains { matchesHost($0, host) }
    }

    /// Whether a DNS name of a certificate covers a host name (RFC 6125): without regard to ASCII case; a wildcard
    /// is a whole left-most label, stands for exactly one label and leaves at least two.
    public static func matchesHost(_ pattern: String, _ host: String) -> Bool {
        func fold(_ text: String) -> [UInt8] {
            var bytes = text.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
            if bytes.last == 0x2E { bytes.removeLast() }
            return bytes
        }
        let pattern = fold(pattern)
        let host = fold(host)
        guard !host.isEmpty, !host.contains(0x2A), !host.contains(0) else { return false }
        guard pattern.contains(0x2A) else { return pattern == host }
        guard pattern.starts(with: [0x2A, 0x2E]) else { return false }
        let rest = pattern.dropFirst(2)
        guard rest.contains(0x2E), !rest.contains(0x2A), let dot = host.firstIndex(of: 0x2E), dot > 0 else {
            return false
        }
        return host[(dot + 1)...].elementsEqual(rest)
    }

    /// Whether a certificate is for a host, a DNS name or an IP address; `*.` as the first label means any one label, so
    /// that only the same wildcard covers it.
    public static func covers(_ leaf: Certificate, _ host: String) -> Bool {
        if let address = addressBytes(host) {
            return leaf.ipAddresses.contains { addressBytes($0) == address }
        }
        if host.hasPrefix("*.") { return leaf.dnsNames.contains { $0.lowercased() == host.lowercased() } }
        return leaf.dnsNames.contains { matchesHost($0, host) }
    }

    private static func isAddress(_ host: String) -> Bool { addressBytes(host) != nil }

    private static func isIPv6(_ host: String) -> Bool { addressBytes(host)?.count == 16 }

    /// The 4 or 16 bytes of an IP address; nil for anything else.
    static func addressBytes(_ text: String) -> [UInt8]? {
        guard !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes.prefix(4)) }
        return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
    }
}
