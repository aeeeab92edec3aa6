import Directory
import Documents
import EventLoop
import JSON
import Link
import PKI
import Policy

/// What others see of a running agent.
extension Agent {
    /// Whether the agent does its work, and if not, why.
    var readiness: (isReady: Bool, reasons: [String]) {
        var reasons: [String] = []
        if isDraining || isOutOfService || isHandedOver { reasons.append("draining") }
        if identity.credentials.leaf.notAfter <= Clock.unixSeconds() { reasons.append("identity_expired") }
        if revokedIdentity.word != nil { reasons.append("identity_revoked") }
        if ownRootState == .retired { reasons.append("identity_root_retired") }
        if isAuditClosed { reasons.append("audit_not_written") }
        if let directoryClient, !directoryClient.hasSnapshot { reasons.append("directory_not_reached") }
        return (reasons.isEmpty, reasons)
    }

    /// `GET /v1/agent`.
    var statusJSON: JSONValue {
        let (isReady, reasons) = readiness
        return [
            "node": .string(shared.node), "version": .string(Self.version), "boot": .string(shared.bootID.description),
            "uptimeSeconds": .init((Clock.monotonicNanoseconds() - startedAt) / 1_000_000_000),
            "ready": .bool(isReady), "reasons": .init(reasons),
            "identity": identityJSON,
            "principal": [
                "id": .string(own.id.description), "services": .init(own.services.sorted()),
                "groups": .init(own.groups.sorted()),
            ],
            "policy": policyJSON, "documents": documents.ledger.versions.json,
            "directory": [
                "node": directoryClient.map { .string($0.node) } ?? .null, "serves": .bool(directoryHost != nil),
                "revision": .init(routing.directory.revision), "reached": .bool(directoryClient?.isConnected ?? false),
                "unreachedSince": directoryClient?.reachJSON["unreachedSince"] ?? .null,
                "nodes": .init(routing.directory.nodeCount), "services": .init(routing.directory.serviceCount),
            ],
            "failedReload": failedReload.map { failure -> JSONValue in
                [
                    "at": .string(Timestamp.rfc3339(milliseconds: failure.at)),
                    "detail": .string(FailureText(failure.lines).line),
                ]
            } ?? .null,
            "refusedFiles": .array(
                [identityWatcher, edge.certificateWatcher, targetWatcher].compactMap { $0?.refusal?.json }),
            "configuration": effective.file.map { .string($0) } ?? .null,
            "predecessor": predecessor?.json ?? .null,
        ]
    }
}
