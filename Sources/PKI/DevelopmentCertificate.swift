internal import Glibc

/// A server's certificate for development, from a CA of its own that signs nothing else: its key is forgotten at once, so
/// that whoever trusts the CA's certificate trusts this one server and no other.
///
/// Nobody but who was given ``authority`` trusts it. It is not for production: say so loudly where one is made.
public struct DevelopmentCertificate: Sendable {
    /// The CA's certificate, which clients have to trust (`curl --cacert`).
    public let authority: Certificate
    /// The server's certificate and key.
    public let credentials: Credentials

    /// 30 days: long enough to develop with, short enough not to end in production.
    public static let defaultValidity: Int64 = 30 * 86_400

    /// Makes one.
    ///
    /// - Parameters:
    ///   - name: For people: the CN. It is also the first alternative name where it can be one.
    ///   - dnsNames: DNS names; `*.` as the first label is allowed.
    ///   - ipAddresses: IP addresses, which become IP alternative names: clients look for addresses there only.
    ///   - validity: In seconds from `now`.
    ///   - now: Unix seconds.
    ///
    /// Errors: `bad_name`, `bad_request` (the validity), `library_failure`.
    public static func make(
        name: String, dnsNames: [String] = [], ipAddresses: [String] = [], validity: Int64 = defaultValidity,
        now: Int64
    ) throws(CertificateError) -> DevelopmentCertificate {
        guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else {
            throw CertificateError(
                .badName, "\"\(name.prefix(80))\" cannot be the name of a certificate",
                hint: "use 1 to 64 visible ASCII characters")
        }
        // Apple's and Chromium's limit for certificates of public CAs; more would only bring trouble.
        guard (1...398 * 86_400).contains(validity) else {
            throw CertificateError(
                .badRequest, "a validity of \(validity) seconds", hint: "ask for one second to 398 days")
        }
        let alternatives = try alternativeNames(name, dnsNames, ipAddresses)
        let start = now - CertificateAuthority.backdating
        let caKey = try PrivateKey.generate(.p256)
        var ca = CertificateBuilder(
            subject: [.commonName(String("development CA of \(name)".prefix(64)))], publicKey: caKey.publicKey,
            notBefore: start, notAfter: now + validity)
        ca.basicConstraints = BasicConstraints(isCA: true, pathLength: 0)
        ca.keyUsage = [.keyCertSign]
        ca.extendedKeyUsage = nil
        let authority = try ca.build(signedBy: .own(caKey))
        let key = try PrivateKey.generate(.p256)
        var leaf = CertificateBuilder(
            subject: [.commonName(name)], publicKey: key.publicKey, notBefore: start, notAfter: now + validity)
        leaf.extendedKeyUsage = [.serverAuth]
        leaf.alternativeNames = alternatives
        let certificate = try leaf.build(signedBy: .issuer(authority, caKey))
        return DevelopmentCertificate(
            authority: authority, credentials: try Credentials(chain: [certificate], key: key))
    }

    private static func alternativeNames(
        _ name: String, _ dnsNames: [String], _ ipAddresses: [String]
    ) throws(CertificateError) -> [AlternativeName] {
        var dns: [String] = []
        var addresses: [String] = []
        if PeerVerification.addressBytes(name) != nil {
            addresses.append(name)
        } else if IssueRequest.isHostName(name) {
            dns.append(name)
        }
        for other in dnsNames where !dns.contains(other) {
            guard IssueRequest.isHostName(other) else {
                throw CertificateError(
                    .badName, "\"\(other.prefix(80))\" cannot be a DNS name in a certificate",
                    hint: PeerVerification.addressBytes(other) == nil
                        ? "write it like shop.test or *.shop.test" : "it is an IP address: --ip \(other)")
            }
            dns.append(other)
        }
        for other in ipAddresses where !addresses.contains(other) { addresses.append(other) }
        guard !dns.isEmpty || !addresses.isEmpty else {
            throw CertificateError(
                .badName, "the certificate would be for no host, since \"\(name)\" is none",
                hint: "give the DNS names and IP addresses by which clients connect")
        }
        var names = dns.map { AlternativeName.dns($0) }
        for address in addresses { names.append(try .ip(address)) }
        return names
    }

    // MARK: - Names of a listener

    /// The names by which clients reach listeners, as far as this host knows: for an automatic certificate.
    ///
    /// - Parameter hosts: The IP addresses at which is listened. `0.0.0.0` and `::` stand for all addresses of this host.
    /// - Returns: `localhost` where a loopback address is among them, this host's name where another one is, and the
    ///   addresses.
    public static func names(forListenersAt hosts: [String]) -> (dnsNames: [String], ipAddresses: [String]) {
        var addresses: [String] = []
        for host in hosts {
            let found = host == "0.0.0.0" || host == "::" ? localAddresses(onlyIPv4: host == "0.0.0.0") : [host]
            for address in found where !addresses.contains(address) && PeerVerification.addressBytes(address) != nil {
                addresses.append(address)
            }
        }
        let loopback = addresses.filter { isLoopback($0) }
        var names = loopback.isEmpty ? [] : ["localhost"]
        if loopback.count < addresses.count, let own = hostName(), !names.contains(own) { names.append(own) }
        return (names, addresses)
    }

    private static func isLoopback(_ address: String) -> Bool { address.hasPrefix("127.") || address == "::1" }

    private static func hostName() -> String? {
        var text = [CChar](repeating: 0, count: 256)
        guard gethostname(&text, text.count - 1) == 0 else { return nil }
        let name = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self).lowercased()
        return IssueRequest.isHostName(name) ? name : nil
    }

    /// The addresses of this host's interfaces, link-local ones aside: they need a zone, which no certificate has.
    private static func localAddresses(onlyIPv4: Bool) -> [String] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return ["127.0.0.1"] }
        defer { freeifaddrs(list) }
        var found: [String] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr, let text = text(of: address, onlyIPv4: onlyIPv4) else {
                continue
            }
            if !found.contains(text), !text.hasPrefix("fe80:") { found.append(text) }
        }
        return found.isEmpty ? ["127.0.0.1"] : found
    }

    private static func text(of address: UnsafeMutablePointer<sockaddr>, onlyIPv4: Bool) -> String? {
        let family = Int32(address.pointee.sa_family)
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let written: UnsafePointer<CChar>?
        switch family {
        case AF_INET:
            written = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                inet_ntop(family, &$0.pointee.sin_addr, &text, socklen_t(text.count))
            }
        case AF_INET6 where !onlyIPv4:
            written = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                inet_ntop(family, &$0.pointee.sin6_addr, &text, socklen_t(text.count))
            }
        default: return nil
        }
        guard written != nil else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    // MARK: - Files

    /// The files of a certificate in a directory.
    public struct Files: Sendable, Equatable {
        /// The server's certificate, mode 0644.
        public let certificate: String
        /// Its key, mode 0600.
        public let key: String
        /// The CA's certificate, mode 0644: what clients have to trust.
        public let authority: String

        /// `NAME.crt`, `NAME.key` and `NAME-ca.crt` in a directory.
        public init(directory: String, name: String) {
            let base = directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
            certificate = base + ".crt"
            key = base + ".key"
            authority = base + "-ca.crt"
        }

        /// All of them.
        public var all: [String] { [certificate, key, authority] }

        /// Removes those that are there; for certificates that end with their process.
        public func remove() {
            for file in all { unlink(file) }
        }
    }

    /// Writes the files.
    ///
    /// - Parameter replace: Whether files that are there are replaced; otherwise nothing is written when one is there.
    ///
    /// Errors: `unwritable_file`.
    public func write(_ files: Files, replace: Bool = false) throws(CertificateError) {
        if !replace, let there = files.all.first(where: { access($0, F_OK) == 0 }) {
            throw CertificateError(
                .unwritableFile, "there is a file of this name, which is not replaced",
                hint: "remove it, or choose another name or directory", file: there)
        }
        try credentials.write(certificateFile: files.certificate, keyFile: files.key, replace: replace)
        try SafeFile.write(Array(authority.pem.utf8), to: files.authority, mode: 0o644, replace: replace)
    }
}
