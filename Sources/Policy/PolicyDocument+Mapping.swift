extension PolicyDocument {
    /// Maps verified facts to a principal.
    ///
    /// There is always an answer: for facts that the policy does not know it is a principal with a
    /// ``Principal/problem``, to whom every door is closed with that reason. A node is known by its SPIFFE URI, or by
    /// its common name where a mapping names it; a user, token or key when a mapping, a group or a rule names it.
    /// Whatever a token's or key's attributes say counts only as far as a mapping asks for it.
    ///
    /// - Parameter trustDomain: The only trust domain whose nodes are known by their URIs alone where the policy names
    ///   none; nil where every domain that got as far as this counts. For doors that let in certificates of other domains.
    public func principal(for subject: Subject, within trustDomain: String? = nil) -> Principal {
        switch subject {
        case .node(let commonName, let spiffe):
            return node(subject, commonName, spiffe, within: trustDomain)
        case .user(let uid, let name, let gids):
            let matched = mappings.filter { $0.matches(uid: uid, name: name, gids: gids) }
            return known(subject, .uid(uid), matched)
        case .service(let name):
            guard let id = PrincipalID.service(name) else { return unknown(subject, .invalidName) }
            return made(subject, id, [], derivation: [Derivation("\(id) by its name alone"), mappedElsewhere(name)])
        case .token(let issuer, let name, let attributes):
            guard let id = PrincipalID.token(issuer: issuer, subject: name) else {
                return unknown(subject, .invalidName)
            }
            let matched = mappings.filter { $0.matches(issuer: issuer, subject: name, attributes: attributes) }
            return known(subject, id, matched)
        case .key(let name, let attributes):
            guard let id = PrincipalID(namespace: .key, name: name) else { return unknown(subject, .invalidName) }
            return known(subject, id, mappings.filter { $0.matches(key: name, attributes: attributes) })
        case .anonymous:
            let principal = known(subject, .anonymous, [])
            return principal.isIdentified ? principal : unknown(subject, .notAuthenticated)
        }
    }

    /// The principal that a node's or user's mapping lets it be: one of its service identities; nil when it has no
    /// such one.
    public func identity(_ service: String, of holder: Principal) -> Principal? {
        current(holder).storage.identities[service]
    }

    /// The same facts under this document.
    func current(_ principal: Principal) -> Principal {
        if principal.storage.document === self { return principal }
        guard let holder = principal.storage.holder else { return self.principal(for: principal.subject) }
        return self.principal(for: holder).storage.identities[principal.id.name]
            ?? unknown(principal.subject, .actAsMissing)
    }

    // MARK: - Nodes

    private func node(_ subject: Subject, _ commonName: String?, _ spiffe: String?, within trustDomain: String?)
        -> Principal
    {
        let ownName = spiffe.flatMap { nodeName(ofSPIFFE: $0, within: trustDomain) }
        if let ownName, let commonName, commonName != ownName {
            return unknown(
                subject, .contradictoryIdentity,
                Derivation("the CN \"\(Printable.text(commonName))\" contradicts the URI, which names node \(ownName)"))
        }
        // Where a URI identifies, the common name counts only as far as it says the same.
        let countingName = spiffe == nil || ownName == commonName ? commonName : nil
        let matched = mappings.filter { $0.matches(commonName: countingName, spiffe: spiffe, ownNodeName: ownName) }
        let given = Set(matched.compactMap(\.node))
        if given.count > 1 {
            let names = given.sorted().joined(separator: " and ")
            return unknown(subject, .ambiguousIdentity, Derivation("its mappings name it \(names)"))
        }
        if let name = given.first ?? ownName ?? (matched.isEmpty ? nil : countingName) {
            guard let id = PrincipalID.node(name) else {
                return unknown(
                    subject, .unmappedIdentity,
                    Derivation(
                        "\"\(Printable.text(name))\" is no node name (\(Name.rule)); give it one with `node` in its mapping"
                    ))
            }
            return made(subject, id, matched, derivation: [Derivation("\(subject) is \(id)")])
        }
        if !matched.isEmpty {
            let places = matched.map { $0.reference(file: file).place }.joined(separator: ", ")
            return unknown(
                subject, .unmappedIdentity,
                Derivation("its mapping (\(places)) gives no node name; add `node` to it"))
        }
        return unknown(subject, .unmappedIdentity, Derivation(whyUnmapped(spiffe)))
    }

    private func whyUnmapped(_ spiffe: String?) -> String {
        guard let spiffe else {
            return "without a SPIFFE URI a CN identifies only where a mapping names it, and none does"
        }
        if !trustDomains.isEmpty, let domain = trustDomain(ofSPIFFE: spiffe), !trustDomains.contains(domain) {
            return
                "\(Printable.text(domain)) is not one of the policy's trust domains, and no mapping matches \(Printable.text(spiffe))"
        }
        return "the URI is not of the form spiffe://DOMAIN/node/NAME, and no mapping matches it"
    }

    /// `NAME` of `spiffe://DOMAIN/node/NAME` where the domain is ours.
    private func nodeName(ofSPIFFE uri: String, within own: String?) -> String? {
        guard let domain = trustDomain(ofSPIFFE: uri) else { return nil }
        guard trustDomains.isEmpty ? own == nil || own == domain : trustDomains.contains(domain) else { return nil }
        let path = uri.dropFirst("spiffe://\(domain)".count)
        guard path.hasPrefix("/node/") else { return nil }
        let name = String(path.dropFirst("/node/".count))
        return Name.isLegal(name) ? name : nil
    }

    /// The trust domain of a SPIFFE URI.
    func trustDomain(ofSPIFFE uri: String) -> String? {
        guard uri.hasPrefix("spiffe://") else { return nil }
        let domain = uri.dropFirst("spiffe://".count).prefix { $0 != "/" }
        return domain.isEmpty ? nil : String(domain)
    }

    // MARK: - Making principals

    /// A principal of a kind that is known only where the policy names it.
    private func known(_ subject: Subject, _ id: PrincipalID, _ matched: [IdentityMapping]) -> Principal {
        let principal = made(subject, id, matched, derivation: [Derivation("\(subject) is \(id)")])
        if !matched.isEmpty || !principal.groups.isEmpty || !principal.storage.roles.isEmpty { return principal }
        return unknown(subject, .unmappedIdentity, Derivation("no mapping, group or rule names \(id)"))
    }

    private func unknown(_ subject: Subject, _ problem: PolicyReason, _ why: Derivation? = nil) -> Principal {
        let steps = [Derivation("\(subject)"), why].compactMap { $0 }
        return Principal(
            storage: Principal.Storage(
                document: self, subject: subject, id: .anonymous, problem: problem, derivation: steps))
    }

    private func made(
        _ subject: Subject, _ id: PrincipalID, _ matched: [IdentityMapping], derivation: [Derivation?]
    ) -> Principal {
        var identities: [String: Principal] = [:]
        for service in Set(matched.flatMap(\.services)) {
            guard let own = PrincipalID.service(service) else { continue }
            let giving = matched.filter { $0.services.contains(service) }
            let first = Derivation("\(id) holds \(own)")
            identities[service] = assembled(
                .service(service), own, giving, derivation + [first], holder: subject, identities: [:])
        }
        return assembled(subject, id, matched, derivation, holder: nil, identities: identities)
    }

    private func assembled(
        _ subject: Subject, _ id: PrincipalID, _ matched: [IdentityMapping], _ derivation: [Derivation?],
        holder: Subject?, identities: [String: Principal]
    ) -> Principal {
        var steps = derivation.compactMap { $0 }
        var groups: [String: Bool] = [:]
        var permissions: [String: Bool] = [:]
        let attributes = (holder ?? subject).attributes
        for mapping in matched {
            steps.append(Derivation(mapping.text, mapping.reference(file: file)))
            for (group, byName) in mapping.groups(attributes) {
                groups[group] = groups[group] ?? false || byName
            }
            for (permission, byName) in mapping.permissions(attributes) {
                permissions[permission] = permissions[permission] ?? false || byName
            }
        }
        for member in groupMembers where member.selector.names(id) {
            let text = "group \(member.group) lists \(member.selector)"
            let reference = RuleReference(index: 0, file: file, line: member.line, text: text)
            steps.append(Derivation(text, reference))
            groups[member.group] = groups[member.group] ?? false || member.selector.isExact
        }
        return Principal(
            storage: Principal.Storage(
                document: self, subject: subject, id: id, services: Set(identities.keys), groups: Set(groups.keys),
                permissions: Set(permissions.keys), derivation: steps, roles: roles(id, groups, permissions),
                holder: holder, identities: identities))
    }

    /// The roles of a principal with these groups and permissions; the values say whether they are held by name.
    private func roles(_ id: PrincipalID, _ groups: [String: Bool], _ permissions: [String: Bool]) -> [RoleHolding] {
        var holdings: [RoleHolding] = []
        if let role = index.roles[.principal(id)] { holdings.append(RoleHolding(role: role, byName: true)) }
        for (pattern, role) in index.patternRoles[id.namespace] ?? [] where pattern.matches(id.name) {
            holdings.append(RoleHolding(role: role, byName: false))
        }
        for (group, byName) in groups {
            if let role = index.roles[.group(group)] { holdings.append(RoleHolding(role: role, byName: byName)) }
        }
        for (permission, byName) in permissions {
            guard let role = index.roles[.permission(permission)] else { continue }
            holdings.append(RoleHolding(role: role, byName: byName))
        }
        return holdings.sorted { $0.role < $1.role }
    }

    /// A hint for who asks about a service identity without its node.
    private func mappedElsewhere(_ service: String) -> Derivation? {
        let giving = mappings.first {
            $0.services.contains(service) && !($0.groups.isEmpty && $0.permissions.isEmpty)
        }
        guard let giving else { return nil }
        return Derivation(
            "groups and permissions of its mappings count only together with the node or user",
            giving.reference(file: file))
    }
}
