internal import JSON
public import PKI

/// Everything that a mesh has revoked, ready for look-ups: the content of a document of the kind `revocations`.
///
/// A document holds all of it, so that the newest is complete by itself. Immutable; workers compare it by identity.
public final class RevocationSet: Sendable {
    /// The entries in the order of the document.
    public let entries: [RevocationEntry]
    private let certificates: [String: RevocationEntry]
    private let keys: [String: RevocationEntry]
    private let nodes: [String: (validBefore: Int64, entry: RevocationEntry)]

    /// Nothing is revoked.
    public static let empty = RevocationSet([])

    /// A set of entries; of several about one target the one that takes away most counts.
    public init(_ entries: [RevocationEntry]) {
        self.entries = entries
        var certificates: [String: RevocationEntry] = [:]
        var keys: [String: RevocationEntry] = [:]
        var nodes: [String: (validBefore: Int64, entry: RevocationEntry)] = [:]
        for entry in entries {
            switch entry.target {
            case .certificate(let issuer, let serial):
                certificates["\(RevocationEntry.canonicalSerial(serial)) \(issuer)"] = entry
            case .key(let digest): keys[digest] = entry
            case .node(let name, let time):
                if let known = nodes[name], known.validBefore >= time { continue }
                nodes[name] = (time, entry)
            }
        }
        self.certificates = certificates
        self.keys = keys
        self.nodes = nodes
    }

    /// Reads the content of a document.
    ///
    /// Errors: `bad_document_content`.
    public convenience init(payload: [UInt8]) throws(DocumentError) {
        do {
            let object = try JSONReader.parse(payload).requireObject()
            try object.requireOnly(["revoked"])
            self.init(
                try object.read("revoked") { (list) throws(JSONAccessError) in
                    try list.requireEach { (entry) throws(JSONAccessError) in try RevocationEntry(json: entry) }
                })
        } catch {
            throw DocumentError(
                .badContent, "the list of revocations cannot be used: \(error)", hint: "make it with mesh revoke")
        }
    }

    /// The content of the document.
    public var payload: [UInt8] { Self.payload(entries) }

    /// The content of a document with these entries.
    public static func payload(_ entries: [RevocationEntry]) -> [UInt8] {
        JSONValue.object(["revoked": .array(entries.map(\.json))]).serialized()
    }

    /// The entry that revokes what was issued to `node` so far; nil where none does.
    public func entry(ofNode node: String) -> RevocationEntry? { nodes[node]?.entry }

    /// The entry by which a verified chain, leaf first, is revoked; nil where none does.
    ///
    /// - Parameter node: the name that policy gives the node. An entry about a node counts for that name and for the one
    ///   that the certificate has.
    public func entry(for chain: [Certificate], node: String? = nil) -> RevocationEntry? {
        guard !entries.isEmpty, let leaf = chain.first else { return nil }
        for certificate in chain {
            if let entry = keys[certificate.spkiSHA256] { return entry }
            let serial = RevocationEntry.canonicalSerial(certificate.serialHex)
            if let entry = certificates["\(serial) \(certificate.issuer)"] { return entry }
        }
        for name in [leaf.certifiedNode, node].compactMap({ $0 }) {
            if let node = nodes[name], leaf.notBefore < node.validBefore { return node.entry }
        }
        return nil
    }
}
