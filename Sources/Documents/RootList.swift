internal import Bytes
internal import JSON
public import PKI

/// The roots of a mesh, and where each stands in a rotation: the content of a document of the kind `trust`, which a root signs.
///
/// The document extends what nodes trust by their files: its roots are trusted on every node, but for those that are retired,
/// which nobody trusts any more whatever stands in his files. Roots that it does not name stay as the files have them.
///
/// Roots vouch for each other by cross-signed certificates. They let a node that knows only one of two roots verify a peer of
/// the other, and they are the way by which a node that was away learns to trust a root that it has never heard of.
public struct RootList: Sendable, Equatable {
    /// Where a root stands.
    public enum State: String, Sendable, Hashable, CaseIterable {
        /// Trusted by everybody; nothing is issued under it yet.
        case prepared
        /// Trusted, and the one under which the CA issues.
        case active
        /// Still trusted; certificates under it are renewed under the active one.
        case retiring
        /// Not trusted any more. It stays in the list so that files that still hold it are overruled.
        case retired

        /// Nodes trust the root.
        public var isTrusted: Bool { self != .retired }
    }

    /// A root and its state.
    public struct Entry: Sendable, Equatable {
        /// The root's own certificate.
        public let certificate: Certificate
        /// Where it stands.
        public let state: State

        /// An entry from its parts.
        public init(_ certificate: Certificate, _ state: State) {
            self.certificate = certificate
            self.state = state
        }
    }

    /// The roots, in the order of the list.
    public let entries: [Entry]
    /// Certificates of these roots that others of these roots have signed.
    public let crossSigned: [Certificate]
    /// Keys (`Certificate.spkiSHA256`) of roots that were retired so long ago that their certificates stand in the list no more:
    /// files that still hold them are overruled all the same.
    public let gone: [String]

    /// More roots than any mesh has at a time: one in use, one to come, and those that files may still name.
    public static let maximumRoots = 8
    /// Two for each pair of roots that follow each other.
    public static let maximumCrossSigned = 16
    /// A rotation a month for twenty years; some 12 KiB of the document.
    public static let maximumGone = 256

    // MARK: - Questions

    /// The root under which the CA issues.
    public var active: Certificate { entries.first { $0.state == .active }?.certificate ?? entries[0].certificate }

    /// The roots that are trusted.
    public var trusted: [Certificate] { entries.filter(\.state.isTrusted).map(\.certificate) }

    /// The roots that are not trusted any more.
    public var retired: [Certificate] { entries.filter { $0.state == .retired }.map(\.certificate) }

    /// The keys of all roots that are not trusted any more, those included whose certificates are not in the list.
    public var retiredKeys: Set<String> { Set(retired.map(\.spkiSHA256) + gone) }

    /// Where the root with this key stands; nil for one that the list does not name.
    public func state(of root: Certificate) -> State? {
        if let entry = entries.first(where: { $0.certificate.spkiSHA256 == root.spkiSHA256 }) { return entry.state }
        return gone.contains(root.spkiSHA256) ? .retired : nil
    }

    /// The root of the list that a verified chain, leaf first, is below: the first that stands in it, since other roots may vouch
    /// for that one. Nil where there is none.
    public func root(of chain: [Certificate]) -> Certificate? {
        for certificate in chain {
            if let entry = entries.first(where: { $0.certificate.spkiSHA256 == certificate.spkiSHA256 }) {
                return entry.certificate
            }
        }
        return nil
    }

    /// What a node trusts that has `files` in its files: what the list retires is not, what it names besides is.
    public func applied(to files: [Certificate]) -> [Certificate] {
        let retired = retiredKeys
        let kept = files.filter { !retired.contains($0.spkiSHA256) }
        return kept + trusted.filter { !kept.contains($0) }
    }

    /// The certificates by which other roots vouch for this one, valid at `now` (unix seconds): what is sent behind a chain
    /// that ends below it, for peers that do not know it.
    public func crossSigned(for root: Certificate, at now: Int64) -> [Certificate] {
        crossSigned.filter { $0.spkiSHA256 == root.spkiSHA256 && $0.isValid(at: now) }
    }

    /// Until when a node that knows only `root` can verify nodes under the roots that are trusted now, unix seconds: the end
    /// of the last cross-signed certificate that leads from it to one of them. Nil where there is none.
    public func lateUntil(_ root: Certificate) -> Int64? {
        let goals = Set(trusted.map(\.spkiSHA256))
        return crossSigned.filter { cross in
            cross.names(asIssuer: root) && cross.isSigned(by: root)
                && (goals.contains(cross.spkiSHA256) || reaches(goals, from: cross))
        }.map(\.notAfter).max()
    }

    private func reaches(_ goals: Set<String>, from cross: Certificate) -> Bool {
        guard let root = entries.first(where: { $0.certificate.spkiSHA256 == cross.spkiSHA256 })?.certificate else {
            return false
        }
        return !vouched(by: [root], at: nil).isDisjoint(with: goals)
    }

    /// When the next cross-signed certificate ends, unix seconds: until then the same is sent and the same nodes may come back. Nil
    /// where none is left.
    public func nextEnd(after now: Int64) -> Int64? { crossSigned.map(\.notAfter).filter { now < $0 }.min() }

    /// Retired roots whose nodes may still come back, to fetch documents and another certificate.
    public func admittedLate(at now: Int64) -> [Certificate] {
        retired.filter { root in lateUntil(root).map { now < $0 } ?? false }
    }

    /// The keys of the list's roots for which `roots` vouch: their own, and those to which cross-signed certificates lead.
    ///
    /// - Parameters:
    ///   - now: when these, and `roots`, have to be valid, unix seconds; nil at any time, for a document that was taken before.
    ///   - gone: keys of roots that are retired: nobody's word brings them back, and theirs counts for nothing.
    func vouched(by roots: [Certificate], at now: Int64?, besides gone: Set<String> = []) -> Set<String> {
        var known = Set(roots.filter { root in now.map { root.isValid(at: $0) } ?? true }.map(\.spkiSHA256))
        var isGrowing = true
        while isGrowing {
            isGrowing = false
            for cross in crossSigned where !known.contains(cross.spkiSHA256) && !gone.contains(cross.spkiSHA256) {
                if let now, !cross.isValid(at: now) { continue }
                // Who signed it was looked at when the list was read.
                guard let issuer = issuer(of: cross), known.contains(issuer.spkiSHA256) else { continue }
                known.insert(cross.spkiSHA256)
                isGrowing = true
            }
        }
        return known.intersection(entries.map(\.certificate.spkiSHA256))
    }

    private func issuer(of cross: Certificate) -> Certificate? {
        entries.map(\.certificate).first { cross.names(asIssuer: $0) && cross.isSigned(by: $0) }
    }

    // MARK: - Content

    /// A list from its parts, checked.
    ///
    /// - Parameters:
    ///   - gone: keys of roots that were retired before and stand in it no more.
    ///   - trustDomain: the mesh's; every root has to be its.
    ///
    /// Errors: `bad_document_content`.
    public init(
        _ entries: [Entry], crossSigned: [Certificate], gone: [String] = [], trustDomain: String
    ) throws(DocumentError) {
        self.entries = entries
        self.crossSigned = crossSigned
        self.gone = gone
        try check(trustDomain)
    }

    /// Reads the content of a document.
    ///
    /// Errors: `bad_document_content`.
    public init(payload: [UInt8], trustDomain: String) throws(DocumentError) {
        do {
            let object = try JSONReader.parse(payload).requireObject()
            try object.requireOnly(["roots", "crossSigned", "gone"])
            entries = try object.array("roots").map { value in
                let entry = try value.requireObject()
                try entry.requireOnly(["certificate", "state"])
                guard let state = State(rawValue: try entry.string("state")) else {
                    throw JSONAccessError(code: .badValue, path: "state", message: "is none that this version knows")
                }
                return Entry(try Self.certificate(try entry.string("certificate")), state)
            }
            crossSigned = try object.array("crossSigned").map { value in
                guard let text = value.string else {
                    throw JSONAccessError(code: .badValue, path: "crossSigned", message: "is no text")
                }
                return try Self.certificate(text)
            }
            gone = object["gone"] == nil ? [] : try object.strings("gone")
        } catch {
            throw Self.bad("\(error)")
        }
        try check(trustDomain)
    }

    private static func certificate(_ text: String) throws -> Certificate {
        guard let der = Base64.decode(text) else {
            throw JSONAccessError(code: .badValue, path: "certificate", message: "is no base64")
        }
        return try Certificate(der: der)
    }

    /// The content of the document.
    public var payload: [UInt8] {
        var object: JSONObject = [
            "roots": .array(
                entries.map { entry in
                    [
                        "certificate": .string(Base64.encode(entry.certificate.der)),
                        "state": .string(entry.state.rawValue),
                    ]
                }), "crossSigned": .array(crossSigned.map { .string(Base64.encode($0.der)) }),
        ]
        // Versions that do not know the member can read every list that does not need it.
        if !gone.isEmpty { object["gone"] = .array(gone.map { .string($0) }) }
        return JSONValue.object(object).serialized()
    }

    // MARK: - Checks

    private func check(_ trustDomain: String) throws(DocumentError) {
        guard !entries.isEmpty, entries.count <= Self.maximumRoots, crossSigned.count <= Self.maximumCrossSigned else {
            throw Self.bad(
                "it has \(entries.count) roots and \(crossSigned.count) cross-signed certificates; 1 to "
                    + "\(Self.maximumRoots) and up to \(Self.maximumCrossSigned) are possible")
        }
        for entry in entries { try check(entry.certificate, trustDomain) }
        // Two roots of one name could not be told apart by what they issue.
        guard Set(entries.map(\.certificate.spkiSHA256)).count == entries.count,
            Set(entries.map(\.certificate.subject)).count == entries.count
        else { throw Self.bad("a root's name or key stands in it twice") }
        guard entries.count(where: { $0.state == .active }) == 1 else {
            throw Self.bad("exactly one root has to be active: without it the mesh has no root that issues")
        }
        for cross in crossSigned { try check(cross: cross, trustDomain) }
        try checkGone()
        try checkVouching()
    }

    private func checkGone() throws(DocumentError) {
        guard gone.count <= Self.maximumGone else {
            throw Self.bad("it has the keys of \(gone.count) former roots; up to \(Self.maximumGone) are possible")
        }
        guard gone.allSatisfy({ Base64.decode($0)?.count == 32 }) else {
            throw Self.bad("what shall be the key of a former root is no SHA-256 in base64")
        }
        guard Set(gone).count == gone.count,
            Set(gone).isDisjoint(with: entries.map(\.certificate.spkiSHA256))
        else { throw Self.bad("the key of a former root stands in it twice") }
    }

    private func check(_ root: Certificate, _ trustDomain: String) throws(DocumentError) {
        guard root.isCA, root.constraints.canBeRoot, root.keyUsage?.contains(.keyCertSign) ?? true, root.isSelfSigned
        else { throw Self.bad("\(root.subject) is not the self-signed certificate of a CA") }
        guard root.spiffeURIs == ["spiffe://\(trustDomain)"] else {
            throw Self.bad("\(root.subject) is not a root of the trust domain \(trustDomain)")
        }
    }

    private func check(cross: Certificate, _ trustDomain: String) throws(DocumentError) {
        let root = entries.first { $0.certificate.spkiSHA256 == cross.spkiSHA256 }?.certificate
        guard let root, root.subject == cross.subject, cross.isCA, cross.spiffeURIs == ["spiffe://\(trustDomain)"],
            cross.pathLength != 0
        else { throw Self.bad("a cross-signed certificate of \(cross.subject) is of none of its roots") }
        guard let issuer = issuer(of: cross), issuer.spkiSHA256 != root.spkiSHA256 else {
            throw Self.bad("the certificate of \(cross.subject) is signed by none of its other roots")
        }
    }

    /// Roots that are in use together have to vouch for each other, both ways: else a node that knows only one of them and one
    /// of the other refuse each other.
    private func checkVouching() throws(DocumentError) {
        let active = active
        for entry in entries where entry.state == .prepared || entry.state == .retiring {
            for (below, above) in [(entry.certificate, active), (active, entry.certificate)] {
                let isSigned = crossSigned.contains {
                    $0.spkiSHA256 == below.spkiSHA256 && $0.names(asIssuer: above) && $0.isSigned(by: above)
                }
                guard !isSigned else { continue }
                throw Self.bad(
                    "\(above.subject) has not cross-signed \(below.subject): nodes that know only one would refuse the other's"
                )
            }
        }
    }

    private static func bad(_ detail: String) -> DocumentError {
        DocumentError(
            .badContent, "the list of roots cannot be used: \(detail)", hint: "make it with mesh ca rotate prepare")
    }
}
