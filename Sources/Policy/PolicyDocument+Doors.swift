/// One question for each door. Every one takes principals of any document and answers under this one.
extension PolicyDocument {
    /// Whether a peer may hold a link with a node. Each end asks it of the other, whoever dialled.
    public func authorizeLink(peer: Principal, with node: String) -> Decision {
        decide(peer, .link, node)
    }

    /// Whether a peer may open a stream to a service in its own name or in somebody's.
    ///
    /// - One's own name: the peer needs `connect`.
    /// - One of its service identities, which its mapping gives: that identity needs `connect`, and no rule may deny
    ///   it to the peer itself.
    /// - Anybody else: the peer needs `act-as` for that principal, and both need `connect` (the peer for itself or for
    ///   one of its service identities), so that a peer never reaches more in other names than it could in its own. An
    ///   external client (`jwt:`, `key:`) has the right for itself or by one of its service identities, too.
    ///
    /// A built-in service decides by whom it is asked, and a node's own right to connect says nothing about what it may do
    /// there. So there the peer needs an `act-as` that names it and the principal without a wildcard, and a user counts
    /// only at his own host: `uid:0` of another node is not `uid:0` here.
    ///
    /// - Parameters:
    ///   - acting: In whose name; nil for the peer's own.
    ///   - attributes: What the peer says that the token or key of `acting` tells; mapped under this document. Of no
    ///     meaning for other principals.
    ///   - isOwnHost: The peer is this node itself, which knows its users from the kernel.
    ///
    /// The same function serves the dialler's early check and the control socket's callers, with the node itself as
    /// `peer`, and the serving agent, which decides.
    public func authorizeOpen(
        peer: Principal, actingAs acting: PrincipalID? = nil, attributes: Subject.Attributes = [:], service: String,
        onOwnHost isOwnHost: Bool = false
    ) -> Decision {
        let peer = current(peer)
        if service == Name.documentsService, peer.id.namespace == .node, peer.isIdentified {
            // What travels there is signed; and a policy that forbade it could never be replaced.
            guard let acting, acting != peer.id else { return decision(.allowed, peer, .connect, service) }
        }
        guard let acting, acting != peer.id, peer.isIdentified else {
            return decideForClient(peer, service, peer: nil)
        }
        if acting.namespace == .service, let own = peer.storage.identities[acting.name] {
            let match = index.match(peer.storage.roles, .connect, service)
            if match.deny >= 0 {
                return decision(.deniedByRule, own, .connect, service, peer: peer, rule: match.deny, step: .peer)
            }
            return decide(own, .connect, service, peer: peer)
        }
        let principal = principal(for: Subject(acting, trustDomain: domain(of: peer), attributes: attributes))
        let permit = index.match(peer.storage.roles, .actAs, acting.description)
        if permit.deny >= 0 {
            return decision(
                .deniedByRule, principal, .connect, service, peer: peer, rule: permit.deny, step: .actAs)
        }
        guard permit.allow >= 0 else {
            return decision(.actAsMissing, principal, .connect, service, peer: peer, step: .actAs)
        }
        let asked = decideForClient(principal, service, peer: peer)
        guard asked.allowed else { return asked }
        let own = decideAsAnybody(peer, .connect, service)
        if own.reason == .deniedByRule {
            return decision(
                .deniedByRule, principal, .connect, service, peer: peer, rule: own.ruleNumber, step: .peer)
        }
        guard own.allowed else {
            return decision(.nodeNotAllowed, principal, .connect, service, peer: peer, step: .peer)
        }
        let isVouchedFor =
            acting.namespace == .uid
            ? isOwnHost : index.isSpelledOut(peer.storage.roles, .actAs, acting.description)
        guard isVouchedFor || !Name.isReserved(service) else {
            return decision(.notVouchedFor, principal, .connect, service, peer: peer, step: .actAs)
        }
        return asked
    }

    /// The trust domain in which a node's name is read that a peer names: the peer's own, which is all that it can speak
    /// for; without one, the policy's.
    private func domain(of peer: Principal) -> String? {
        guard case .node(_, let spiffe?) = peer.subject else { return trustDomains.min() }
        return trustDomain(ofSPIFFE: spiffe) ?? trustDomains.min()
    }

    /// Whether a node may put an instance of a service into the directory; and, where a local caller asked for it,
    /// whether that one may too. Names of built-in services can't be registered.
    public func authorizeRegister(node: Principal, caller: Principal? = nil, service: String) -> Decision {
        let node = current(node)
        if Name.isReserved(service), node.isIdentified {
            return decision(.reservedName, node, .register, service)
        }
        let decision = decide(node, .register, service, peer: nil)
        guard decision.allowed, let caller else { return decision }
        return decide(current(caller), .register, service, peer: nil)
    }

    /// Whether a node may serve a service: whoever dials asks it of the node that it reached. Every node is its own
    /// `mesh.agent` and `mesh.documents`.
    public func authorizeProvide(node: Principal, service: String) -> Decision {
        let node = current(node)
        if service == Name.agentService || service == Name.documentsService, node.id.namespace == .node {
            return decision(.allowed, node, .provide, service)
        }
        let decision = decide(node, .provide, service, peer: nil)
        guard decision.reason == .noRule else { return decision }
        return self.decision(.notProvider, node, .provide, service)
    }

    /// Whether a principal may see a service in the directory.
    public func authorizeDiscover(_ principal: Principal, service: String) -> Decision {
        decide(principal, .discover, service)
    }

    /// Whether a principal may change an agent's state.
    public func authorizeAdminister(_ principal: Principal, node: String) -> Decision {
        decide(principal, .administer, node)
    }

    /// The right of an external client to connect, for itself or by one of its service identities; a deny for the client
    /// itself wins. The client stays the decision's principal, whichever of its names has the right.
    private func decideForClient(_ client: Principal, _ service: String, peer: Principal?) -> Decision {
        let own = decide(client, .connect, service, peer: peer)
        guard own.reason == .noRule, client.id.isExternal else { return own }
        for (_, identity) in client.storage.identities.sorted(by: { $0.key < $1.key }) {
            let decision = decide(identity, .connect, service, peer: peer)
            guard decision.allowed else { continue }
            return self.decision(.allowed, client, .connect, service, peer: peer, rule: decision.ruleNumber)
        }
        return own
    }

    /// The right of a peer for itself or, where it has none, for one of its service identities; a deny for the peer
    /// itself wins.
    private func decideAsAnybody(_ peer: Principal, _ verb: Verb, _ target: String) -> Decision {
        let own = decide(peer, verb, target, peer: nil)
        guard own.reason == .noRule else { return own }
        for identity in peer.storage.identities.values {
            let decision = decide(identity, verb, target, peer: peer)
            if decision.allowed { return decision }
        }
        return own
    }
}
