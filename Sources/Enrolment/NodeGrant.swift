public import PKI

/// The names that the CA grants a node: of its certificate at first issue and at every renewal.
public struct NodeGrant: Sendable, Hashable {
    /// The node's name.
    public let node: String
    /// DNS names.
    public let dnsNames: [String]
    /// IP addresses as text.
    public let ipAddresses: [String]

    /// A grant from names that ``IssueRequest`` accepts.
    ///
    /// Errors: `bad_name`.
    public init(node: String, dnsNames: [String] = [], ipAddresses: [String] = []) throws(CertificateError) {
        try IssueRequest(node: node, dnsNames: dnsNames, ipAddresses: ipAddresses).checkNames()
        self.node = node
        self.dnsNames = dnsNames
        self.ipAddresses = ipAddresses
    }

    /// Refuses a request that names another node or asks for a name that is not granted. Asking for less is asking for
    /// what is granted: the certificate has the granted names in any case.
    public func check(_ request: CertificateSigningRequest, trustDomain: String) throws(EnrolmentError) {
        let names = request.names
        if let other = names.commonNames.first(where: { $0 != node }) {
            throw EnrolmentError(
                .wrongNode, "the request is for \"\(other.prefix(80))\", and \(node) is what was granted",
                hint: "make a token for that node: mesh ca token create --node NAME")
        }
        let identity = "spiffe://\(trustDomain)/node/\(node)"
        if let uri = names.uris.first(where: { $0 != identity }) {
            let isNode = uri.hasPrefix("spiffe://")
            throw Self.notGranted(isNode ? .wrongNode : .namesNotGranted, "the URI \(uri.prefix(200))")
        }
        let dns = Set(dnsNames.map { $0.lowercased() })
        if let name = names.dnsNames.first(where: { !dns.contains($0.lowercased()) }) {
            throw Self.notGranted(.namesNotGranted, "the DNS name \(name.prefix(200))")
        }
        let granted = Set(ipAddresses.compactMap { try? AlternativeName.ip($0) })
        if let address = names.ipAddresses.first(where: { (try? AlternativeName.ip($0)).map(granted.contains) != true })
        {
            throw Self.notGranted(.namesNotGranted, "the address \(address)")
        }
        if names.otherNames > 0 || !names.emails.isEmpty {
            throw Self.notGranted(.namesNotGranted, "names of a kind that no node has")
        }
    }

    /// What is issued: exactly the granted names.
    public func issueRequest(validity: Int64) -> IssueRequest {
        IssueRequest(node: node, dnsNames: dnsNames, ipAddresses: ipAddresses, validity: validity)
    }

    /// Whether a certificate has exactly these names, in a trust domain.
    public func isExactly(_ certificate: Certificate, trustDomain: String) -> Bool {
        certificate.commonName == node && certificate.uris == ["spiffe://\(trustDomain)/node/\(node)"]
            && Set(certificate.dnsNames) == Set(dnsNames) && certificate.emails.isEmpty
            && Set(certificate.ipAddresses.compactMap { try? AlternativeName.ip($0) })
                == Set(ipAddresses.compactMap { try? AlternativeName.ip($0) })
    }

    private static func notGranted(_ reason: EnrolmentError.Reason, _ what: String) -> EnrolmentError {
        EnrolmentError(
            reason, "the request asks for \(what), which was not granted",
            hint: "name it when the token is made: mesh ca token create --node NAME --dns NAME --ip ADDRESS")
    }
}
