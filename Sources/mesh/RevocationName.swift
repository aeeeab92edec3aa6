import Arguments
import Documents
import HTTP
import JSON
import PKI
import Policy

/// What the command line of `mesh revoke` names: a node, a certificate or a key.
struct RevocationName {
    private let invocation: Invocation
    private let what: String?
    private let margin: Int64

    /// Digits of a serial number that name a certificate; fewer may be a slip.
    private static let minimumDigits = 8

    init(_ context: CommandContext) {
        invocation = context.invocation
        what = context.invocation.positional("WHAT")
        margin = context.seconds("margin") ?? 0
    }

    /// The node, where one is named.
    var node: String? {
        guard let what, !what.hasPrefix("spki-sha256:"), !what.hasPrefix("serial:") else { return nil }
        return what.hasPrefix("node:") ? String(what.dropFirst(5)) : what
    }

    // MARK: - To be revoked

    /// What is to be revoked.
    func target(
        _ client: ControlClient, _ known: KnownNodes, _ now: Int64
    ) throws(CommandFailure) -> RevocationEntry.Target {
        if let certificate = try certificate() { return certificate }
        if let node {
            guard Name.isLegal(node) else {
                throw .usage("\"\(node)\" cannot be the name of a node", hint: "a name has \(Name.rule)")
            }
            return .node(node, validBefore: max(now + margin, try newest(of: node, client, known, now) + 1))
        }
        guard let digits = serial else { return try key() }
        if let issuer = invocation.string("issuer") {
            return try checked(.certificate(issuer: issuer, serial: RevocationEntry.canonicalSerial(digits)))
        }
        let seen = try Self.seen(client) + known.certificates
        let found = Set(
            seen.compactMap { certificate -> RevocationEntry.Target? in
                guard let serial = certificate["serial"]?.string, let issuer = certificate["issuer"]?.string,
                    Self.begins(serial, with: digits)
                else { return nil }
                return .certificate(issuer: issuer, serial: serial)
            })
        if let only = found.first, found.count == 1 { return only }
        throw .usage(
            found.isEmpty
                ? "this agent sees no certificate whose serial number begins with \(digits.prefix(64))"
                : "\(found.count) certificates have serial numbers that begin with \(digits)",
            hint:
                "mesh certs shows what it sees, \(Self.minimumDigits) digits are the least; of another certificate give all digits and "
                + "--issuer NAME as mesh ca inspect prints them, or --certificate FILE")
    }

    /// When the newest certificate begins that the agent knows of a node, unix seconds; 0 where it knows none.
    private func newest(
        of node: String, _ client: ControlClient, _ known: KnownNodes, _ now: Int64
    ) throws(CommandFailure) -> Int64 {
        let seen = try Self.seen(client).filter { $0["use"]?.string == "peer" && $0["name"]?.string == node }
        let proven = known.nodes.filter { $0.name == node || $0.certificateName == node }
        // What others say of a node may be wrong; no clock is a day ahead.
        return (seen + proven.compactMap(\.certificates.first)).compactMap { $0["begins"]?.integer }
            .filter { $0 < now + 86_400 }.max() ?? 0
    }

    /// The certificates that the agent sees. A caller who may revoke and not look is no reason not to revoke.
    private static func seen(_ client: ControlClient) throws(CommandFailure) -> [JSONValue] {
        do throws(CommandFailure) {
            return try client.call(.get, "/v1/certificates").elements(of: "certificates")
        } catch {
            guard error.exit == .denied else { throw error }
            return []
        }
    }

    // MARK: - Revoked already

    /// The one entry of the list that is named: by a name, by a serial number or its beginning, by a key, or by the certificate of
    /// a file.
    func entry(among entries: [RevocationEntry]) throws(CommandFailure) -> RevocationEntry {
        var target = try certificate()
        if target == nil, node == nil, serial == nil { target = try key() }
        let issuer = invocation.string("issuer")
        let found = entries.filter { entry in
            switch entry.target {
            case .node(let name, _): name == node
            case .key: entry.target == target
            case .certificate(let by, let number):
                if let target {
                    target == .certificate(issuer: by, serial: RevocationEntry.canonicalSerial(number))
                } else {
                    (issuer ?? by) == by && serial.map { Self.begins(number, with: $0) } == true
                }
            }
        }
        if let only = found.first, found.count == 1 { return only }
        let named = what ?? invocation.string("certificate") ?? ""
        guard found.isEmpty else {
            throw .usage(
                "\(named) names \(found.count) entries of the list",
                hint: "mesh revoke --list shows them: give more digits, or --issuer NAME")
        }
        let names = entries.map { $0.name.hasPrefix("node:") ? String($0.name.dropFirst(5)) : $0.name }
        let similar = Suggestion.closest(to: named, among: names.sorted()).map { "did you mean \($0)? " } ?? ""
        throw CommandFailure(
            .notFound, "not_revoked", "\(named) is not revoked", hint: "\(similar)mesh revoke --list shows what is")
    }

    // MARK: - Parts

    /// The digits of a serial number, where one is named.
    private var serial: String? {
        guard let what, what.hasPrefix("serial:") else { return nil }
        return what.dropFirst(7).lowercased().filter { $0 != ":" && $0 != " " }
    }

    /// Whether digits are a serial number, or enough of its beginning.
    private static func begins(_ serial: String, with digits: String) -> Bool {
        digits.count >= minimumDigits && serial.hasPrefix(digits)
            || RevocationEntry.canonicalSerial(serial) == RevocationEntry.canonicalSerial(digits)
    }

    /// The first certificate of the file that is named; nil where none is.
    private func certificate() throws(CommandFailure) -> RevocationEntry.Target? {
        guard let file = invocation.string("certificate") else { return nil }
        guard what == nil else { throw .usage("--certificate names it already", hint: "leave \(what ?? "") away") }
        do throws(CertificateError) {
            guard let certificate = try Certificate.load(file: file).first else { throw .missingCertificate() }
            return .certificate(issuer: certificate.issuer, serial: certificate.serialHex)
        } catch {
            throw CommandFailure(error)
        }
    }

    /// A key by its hash, in hex or base64 as pins are written.
    private func key() throws(CommandFailure) -> RevocationEntry.Target {
        let text = what ?? ""
        do throws(CertificateError) {
            return .key(try CertificatePin(parsing: text).digest)
        } catch {
            throw .usage(
                "\(text) is no hash of a key: 64 hex digits or 44 characters of base64",
                hint: "mesh cert pin FILE prints it")
        }
    }

    private func checked(_ target: RevocationEntry.Target) throws(CommandFailure) -> RevocationEntry.Target {
        do throws(JSONAccessError) {
            return try RevocationEntry(json: RevocationEntry(target, revoked: 0, reason: "").json).target
        } catch {
            throw .usage("that cannot be revoked: \(error)", hint: "mesh ca inspect FILE prints serial number and key")
        }
    }
}
