import Documents
import EventLoop
import JSON
import PKI
import TLS

/// What the mesh's list of roots changes in a running agent.
extension Agent {
    /// A list of roots came into force: listeners, dialling and the edge go by it, and what rests on a retired root ends.
    func rootsChanged() {
        guard let list = documents.ledger.rootList else { return }
        mergeRevocations()
        log.info(
            "roots_changed", "the mesh has other roots",
            [
                ("version", documents.ledger.versions.stamps[.trust].map { JSONValue($0.version) } ?? .null),
                ("active", .string(list.active.subject)),
                ("roots", .init(list.entries.map { "\($0.certificate.subject): \($0.state.rawValue)" })),
            ])
        rootsTrouble = nil
        applyRoots(list)
        warnOfPins(list)
        reviewOwnRoot()
        renewal.rootsChanged()
    }

    /// Goes by a list, the node first: what is wrong with the edge does not keep it from that.
    private func applyRoots(_ list: RootList) {
        do {
            let next = try identity.using(list)
            updateOCSP(next, edge.runtime)
            _ = use(next)
        } catch {
            // What the list takes away is taken away all the same: retired roots count as revoked keys.
            return rootsNotApplied(
                "roots_not_applied", "new links go by the roots before, since this node cannot go by the new ones",
                error)
        }
        do {
            try applyRootsToEdge()
            if rootsTrouble != nil { log.info("roots_applied", "the mesh's roots are in force here by now") }
            rootsTrouble = nil
        } catch {
            rootsNotApplied(
                "edge_roots_not_applied", "the edge goes by the mesh's roots of before; it is tried again", error)
        }
    }

    private func applyRootsToEdge() throws {
        let mesh = identity.meshTrust
        guard mesh != edge.runtime.mesh else { return }
        let next = try edge.runtime.trusting(mesh)
        updateOCSP(identity, next)
        edge.apply(next)
    }

    /// Says it once for each cause, however often it is tried.
    private func rootsNotApplied(_ event: String, _ text: String, _ error: any Error) {
        let detail = Self.lines(of: error).joined(separator: "; ")
        guard rootsTrouble != detail else { return }
        rootsTrouble = detail
        log.error(event, text, [("detail", .string(detail))])
    }

    /// Whether the node, and its edge, go by the list of roots in force.
    var rootsApplied: (identity: Bool, edge: Bool) {
        let list = documents.ledger.rootList
        return (identity.rootList == list, edge.runtime.mesh?.rootList == list)
    }

    /// The longest sleep between two looks at the ends of cross-signed certificates, in seconds: clocks are set, and hosts sleep.
    private static let longestSleep: Int64 = 30

    /// Takes cross-signed certificates that have ended out of what is sent, and the roots whose nodes cannot come back any more out
    /// of what is trusted in handshakes, as long as the agent runs. What could not be applied is tried again.
    func watchRoots() {
        Task { @ControlPlane [weak self] in
            var last = Clock.unixSeconds()
            while let end = self.map({ $0.documents.ledger.rootList?.nextEnd(after: last) ?? .max }) {
                let wait = min(Self.longestSleep, max(1, end - Clock.unixSeconds()))
                await ControlPlane.sleep(nanoseconds: UInt64(wait) * 1_000_000_000)
                guard let self else { return }
                let now = Clock.unixSeconds()
                if let list = self.documents.ledger.rootList {
                    let isBehind = self.rootsApplied != (true, true)
                    if isBehind || list.nextEnd(after: last).map({ $0 <= now }) ?? false {
                        self.applyRoots(list)
                        self.publish()
                    }
                }
                last = now
            }
        }
    }

    /// The keys of retired roots: nothing below them counts any more, on whatever way it was verified.
    var retiredRoots: [RevocationEntry] {
        guard let list = documents.ledger.rootList else { return [] }
        let issued = documents.ledger.documents[.trust]?.issued ?? 0
        return list.retired.map { root in
            RevocationEntry(
                .key(root.spkiSHA256), revoked: issued,
                reason: "the root \(root.subject) is retired; renew it, or join again")
        }
            + list.gone.map { key in
                RevocationEntry(.key(key), revoked: issued, reason: "its root was retired; join again")
            }
    }

    /// The mesh's root below which this node's own certificate is; nil for a certificate from elsewhere.
    var ownRoot: Certificate? { identity.ownRoot(under: documents.ledger.rootList) }

    /// Where that root stands in the list in force, whether this node could apply the list or not; nil where it does not name it.
    var ownRootState: RootList.State? { ownRoot.flatMap { documents.ledger.rootList?.state(of: $0) } }

    /// Retired roots whose nodes may still come back, and until when.
    var lateRoots: [String: Int64] {
        guard let list = documents.ledger.rootList else { return [:] }
        var roots: [String: Int64] = [:]
        for root in list.retired { roots[root.spkiSHA256] = list.lateUntil(root) }
        return roots
    }

    /// Says it loudly when this node's own certificate is below a retired root.
    func reviewOwnRoot() {
        guard ownRootState == .retired, let root = ownRoot else { return }
        log.error(
            "own_root_retired",
            "the root of this node's own certificate was retired; it links for documents only until it is renewed",
            [("root", .string(root.subject)), ("renewal", .string(renewal.due == nil ? "none" : "now"))])
    }

    /// Pins that only certificates below other roots than the active one meet.
    private func warnOfPins(_ list: RootList) {
        let others = list.entries.filter { $0.state != .active && $0.state != .prepared }.map(\.certificate)
        let news = list.entries.filter { $0.state == .active || $0.state == .prepared }.map(\.certificate)
        for rule in identity.contexts.client.configuration.pins.rules {
            guard rule.pins.contains(where: { pin in others.contains { pin.matches($0) } }),
                !rule.pins.contains(where: { pin in news.contains { pin.matches($0) } })
            else { continue }
            log.warning(
                "pin_of_old_root", "pins name a root that the mesh leaves, and not the one that it goes to",
                [
                    ("node", rule.node.map { .string($0) } ?? .null),
                    (
                        "hint",
                        .string("add spki-sha256:\(list.active.spkiSHA256) to tls.pins before certificates are renewed")
                    ),
                ])
        }
    }

    /// Refuses a list of roots under which this node could not prove itself, its CA would issue for nobody, or nobody could sign
    /// documents any more. What would not be taken anyway is refused by who takes it.
    func refuseLockout(by envelope: [UInt8]) throws(DocumentError) {
        guard let document = try? SignedDocument(envelope: envelope), document.kind == .trust,
            let list = try? RootList(payload: document.payload, trustDomain: document.trustDomain)
        else { return }
        var next = documents.ledger
        guard (try? next.take(document, now: Clock.unixSeconds())) == .taken else { return }
        let retired = list.retiredKeys
        if let own = ownRoot, retired.contains(own.spkiSHA256) {
            throw Self.lockout(
                "this node's own certificate is below \(own.subject), which would be retired",
                hint:
                    "wait until it is renewed below the active root: mesh ca rotate status; --force retires it all the same"
            )
        }
        if let ca, retired.contains(ca.facts.rootKey) {
            throw Self.lockout(
                "the CA of this node issues below \(ca.facts.subjects.root), which would be retired",
                hint: "let it change over first: mesh ca rotate activate")
        }
        if let operators = documents.ledger.documents[.operators], retired.contains(operators.signer) {
            throw Self.lockout(
                "the list of operators in force is signed by a root that would be retired",
                hint: "sign it with the active root first: mesh ca rotate activate does it")
        }
    }

    private static func lockout(_ what: String, hint: String) -> DocumentError {
        DocumentError(.lockout, "\(what): the mesh would lock itself out", hint: hint)
    }
}
