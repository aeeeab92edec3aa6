import Arguments
import Documents
import HTTP
import JSON

/// What is asked before something is revoked: whether it exists, and whether the mesh can do without it.
struct RevocationGuard {
    let context: CommandContext
    let client: ControlClient
    let known: KnownNodes

    private var isForced: Bool { context.invocation.isOn("force") }

    /// Refuses what cuts the mesh off from itself, and names that nobody knows; with `--force` it is said only.
    func check(_ target: RevocationEntry.Target) throws(CommandFailure) {
        switch target {
        case .node(let node, _):
            try refuseOwn(node)
            try refuseUnknown(node)
        case .certificate, .key: try refuseChain(target)
        }
        for node in known.nodes where node.isHit(by: target) { try refuseNeeded(node) }
    }

    /// The node of this agent has to tell the others.
    private func refuseOwn(_ node: String) throws(CommandFailure) {
        let isOwn = node == known.own || known.nodes.contains { $0.name == known.own && $0.certificateName == node }
        guard !isForced, isOwn else { return }
        throw CommandFailure(
            .failure, "own_node",
            "\(node) is the node of this agent: once revoked it is cut off, and can take nothing back",
            hint: "run this on another node; or, if it is meant, add --force")
    }

    private func refuseUnknown(_ node: String) throws(CommandFailure) {
        let names = known.names
        // Who may not look is no reason not to revoke.
        guard !known.nodes.isEmpty, !names.contains(node) else { return }
        let similar = Suggestion.closest(to: node, among: names.sorted()).map { "did you mean \($0)? " } ?? ""
        let what = "no node \(node) is known here: it is not linked, and in no directory and no CA's list"
        guard !isForced else { return Output.note("warning: \(what)") }
        throw CommandFailure(
            .notFound, "unknown_node", what,
            hint: "\(similar)mesh nodes lists them; to revoke it all the same, add --force", showsReason: true)
    }

    /// What is in this agent's own chain, or a CA. Who may not look is no reason not to revoke.
    private func refuseChain(_ target: RevocationEntry.Target) throws(CommandFailure) {
        guard !isForced, let subject = try ownSubject(target) ?? subjectAbove(target) else { return }
        throw CommandFailure(
            .failure, "own_chain",
            "\(subject) is in this agent's own chain of certificates, or is a CA: once it is revoked, this node, "
                + "and every other one below it, is cut off",
            hint: "run this on another node where it is a node's certificate; or, if it is meant, add --force")
    }

    private func ownSubject(_ target: RevocationEntry.Target) throws(CommandFailure) -> String? {
        let answer: JSONValue
        do throws(CommandFailure) {
            answer = try client.call(.get, "/v1/certificates")
        } catch {
            guard error.exit == .denied else { throw error }
            return nil
        }
        return answer.elements(of: "certificates").first { certificate in
            guard ["identity", "trust", "ca"].contains(certificate["use"]?.string) else { return false }
            return switch target {
            case .certificate(let issuer, let serial):
                certificate["serial"]?.string == serial && certificate["issuer"]?.string == issuer
            case .key(let digest): certificate["spkiSHA256"]?.string == digest
            case .node: false
            }
        }?.text(of: "subject")
    }

    /// The CA that issued a node's certificate, where that is revoked.
    private func subjectAbove(_ target: RevocationEntry.Target) -> String? {
        for node in known.nodes {
            guard let place = node.place(of: target), place > 0 else { continue }
            return node.certificates[place - 1].text(of: "issuer")
        }
        return nil
    }

    /// Who serves the mesh's CA or directory, and is the only one that is known to.
    private func refuseNeeded(_ node: KnownNodes.Node) throws(CommandFailure) {
        let elsewhere = known.nodes.filter { $0.name != node.name }.reduce(into: Set<String>()) {
            $0.formUnion($1.serves)
        }
        let lost = node.serves.subtracting(elsewhere)
        guard !lost.isEmpty else { return }
        let parts = [
            lost.contains("directory") ? "its directory: no service is found or registered any more" : nil,
            lost.contains("ca") ? "its CA: no certificate is renewed and no node joins any more" : nil,
        ].compactMap { $0 }
        let what = "\(node.name) serves the mesh \(parts.joined(separator: ", and "))"
        guard !isForced else { return Output.note("warning: \(what)") }
        throw CommandFailure(
            .failure, "needed_node", "\(what) once it is revoked",
            hint: "let another node serve that first; or, if it is meant, add --force", showsReason: true)
    }
}
