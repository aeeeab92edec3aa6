/// What a node's certificate shall say.
public struct IssueRequest: Sendable, Hashable {
    /// The node's name, which becomes the CN and the last part of the SPIFFE ID.
    public var node: String
    /// DNS names; a wildcard is a whole left-most label.
    public var dnsNames: [String]
    /// IP addresses as text.
    public var ipAddresses: [String]
    /// How long it is valid from now, in seconds.
    public var validity: Int64
    /// What it may be used for.
    public var usages: [ExtendedKeyUsage]

    /// 90 days, until certificates are renewed by the agents themselves.
    public static let defaultValidity: Int64 = 90 * 86_400

    /// Makes a request; `CertificateAuthority.issue` checks it.
    public init(
        node: String, dnsNames: [String] = [], ipAddresses: [String] = [],
        validity: Int64 = defaultValidity, usages: [ExtendedKeyUsage] = [.serverAuth, .clientAuth]
    ) {
        self.node = node
        self.dnsNames = dnsNames
        self.ipAddresses = ipAddresses
        self.validity = validity
        self.usages = usages
    }

    /// Refuses names that cannot stand in a certificate, before anybody issues one.
    ///
    /// Errors: `bad_name`.
    public func checkNames() throws(CertificateError) {
        _ = try alternativeNames(in: "checked.invalid")
    }

    /// The alternative names, checked.
    func alternativeNames(in trustDomain: String) throws(CertificateError) -> [AlternativeName] {
        var names = [AlternativeName.uri(try SPIFFEID.node(node, in: trustDomain).description)]
        for name in dnsNames {
            guard IssueRequest.isHostName(name) else {
                throw CertificateError(
                    .badName, "\"\(name.prefix(80))\" cannot be a DNS name in a certificate",
                    hint: "write it like db-1.internal; addresses go into the IP addresses")
            }
            names.append(.dns(name))
        }
        for address in ipAddresses { names.append(try .ip(address)) }
        return names
    }

    /// RFC 1123 host name of at most 253 characters, with at most a wildcard as its whole first label.
    static func isHostName(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count), PeerVerification.addressBytes(text) == nil else { return false }
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        for (index, label) in labels.enumerated() {
            if index == 0, label.elementsEqual("*".utf8), labels.count >= 3 { continue }
            guard (1...63).contains(label.count), label.first != UInt8(ascii: "-"), label.last != UInt8(ascii: "-"),
                label.allSatisfy({ NodeName.isNameByte($0) && $0 != UInt8(ascii: ".") })
            else { return false }
        }
        return true
    }
}
