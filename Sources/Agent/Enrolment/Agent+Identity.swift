import Documents
import Enrolment
import JSON
import PKI

extension Agent {
    /// Reads certificate, key and CA certificates again and takes them over when they are good together; everything else
    /// stays as it is. Links go on, or move, as with every reload.
    func reloadIdentity(by caller: String) -> ReloadOutcome {
        guard !isDraining else { return .failed(["the agent drains"]) }
        let next: NodeIdentity
        let edge: EdgeRuntime?
        do {
            try EnrolmentFiles(configuration)?.pair.finishReplacing()
            next = try NodeIdentity.load(
                configuration, roots: .inForce(documents.ledger.rootList), lists: .inForce(identity))
            guard next.node == shared.node else {
                throw CertificateError(
                    .wrongName, "the certificate is of node \(next.node), and this agent is \(shared.node)",
                    hint: "put the certificate of \(shared.node) there")
            }
            edge = next.meshTrust == self.edge.runtime.mesh ? nil : try self.edge.runtime.trusting(next.meshTrust)
        } catch {
            return .failed(Self.lines(of: error))
        }
        let isSame =
            next.credentials.chain == identity.credentials.chain && next.servers == identity.servers && edge == nil
        guard !isSame else { return .applied([], needRestart: []) }
        updateOCSP(next, edge ?? self.edge.runtime)
        let isRenewed = use(next)
        // Other CAs may vouch for other chains.
        recheckPeers(next)
        documents.use(next)
        if let edge { self.edge.apply(edge) }
        if isRenewed { supervisor.identityChanged() }
        publish()
        // Its certificate may be shown at the edge and to targets, too.
        self.edge.certificateWatcher.look()
        targetWatcher.look()
        let leaf = next.credentials.leaf
        log.info(
            "identity_changed", "certificate and key were replaced",
            [
                ("by", .string(caller)), ("serial", .string(leaf.serialHex)),
                ("ends", .string(UTCTime.text(leaf.notAfter))), ("fingerprint", .string(leaf.fingerprintSHA256)),
            ])
        return .applied(["identity: \(leaf.fingerprintSHA256)"], needRestart: [])
    }

    /// What `GET /v1/agent` tells of the identity.
    var identityJSON: JSONValue {
        let leaf = identity.credentials.leaf
        var object: JSONObject = [
            "commonName": leaf.commonName.map { .string($0) } ?? .null,
            "spiffe": leaf.spiffeURIs.first.map { .string($0) } ?? .null,
            "expires": .string(Timestamp.rfc3339(milliseconds: leaf.notAfter * 1000)),
            "fingerprint": .string(leaf.fingerprintSHA256),
            "renewal": renewal.due.map { .string(Timestamp.rfc3339(milliseconds: $0)) } ?? .null,
        ]
        if let error = renewal.lastError {
            object["renewalError"] = ["reason": .string(error.code), "detail": .string(error.message)]
        }
        if let word = revokedIdentity.word {
            object["revoked"] = ["by": .string(word.by), "reason": .string(word.reason)]
        }
        return .object(object)
    }
}
