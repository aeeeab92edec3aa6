extension PolicyDocument {
    /// Asks what the verb's door asks: the one function behind `mesh why` and `POST /v1/authorize`.
    ///
    /// - Parameters:
    ///   - actingAs: In whose name a stream is to be opened; only for `connect`.
    ///   - attributes: What the token or key of `actingAs` tells.
    public func authorize(
        _ principal: Principal, actingAs: PrincipalID? = nil, attributes: Subject.Attributes = [:], _ verb: Verb,
        _ target: String
    ) -> Decision {
        switch verb {
        case .link: authorizeLink(peer: principal, with: target)
        case .register: authorizeRegister(node: principal, service: target)
        case .provide: authorizeProvide(node: principal, service: target)
        case .discover: authorizeDiscover(principal, service: target)
        case .connect: authorizeOpen(peer: principal, actingAs: actingAs, attributes: attributes, service: target)
        case .actAs: decide(principal, .actAs, target)
        case .administer: authorizeAdminister(principal, node: target)
        }
    }

    /// The facts behind an identity as people write it; nil when it is none.
    ///
    /// - `ACL` or `node:ACL`: a node with its usual certificate, `spiffe://<trust domain>/node/ACL` and the same CN.
    ///   The trust domain is the one given, else the document's, else that of its first SPIFFE mapping.
    /// - `spiffe://mesh.example/node/ACL`: a certificate with that URI.
    /// - `cn:ACL`: a certificate with that common name and no URI.
    /// - `service:web`, `uid:1000`, `jwt:ISSUER/SUBJECT`, `key:ID`, `anonymous`.
    ///
    /// - Parameter attributes: For tokens and keys: what they tell.
    public func subject(
        _ text: String, trustDomain: String? = nil, attributes: Subject.Attributes = [:]
    ) -> Subject? {
        if text.hasPrefix("spiffe://") { return .node(commonName: nil, spiffe: text) }
        if text.hasPrefix("cn:") {
            let name = text.dropFirst("cn:".count)
            return name.isEmpty ? nil : .node(commonName: String(name), spiffe: nil)
        }
        let id = PrincipalID(text) ?? PrincipalID.node(text)
        return id.map {
            Subject($0, trustDomain: trustDomain ?? trustDomains.min() ?? mappedTrustDomain, attributes: attributes)
        }
    }

    private var mappedTrustDomain: String? {
        let uri = mappings.lazy.compactMap(\.match.spiffe).first?.text
        return uri.map { String($0.dropFirst("spiffe://".count).prefix { $0 != "/" }) }
    }
}
