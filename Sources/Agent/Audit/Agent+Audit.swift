import Audit
import EventLoop
import JSON

extension Agent {
    /// Takes on nothing new: the audit log cannot be written, and the configuration wants it to be.
    var isAuditClosed: Bool {
        audit?.isClosed ?? false
    }

    /// The audit log stopped taking records, or takes them again.
    func auditChanged() {
        guard let audit else { return }
        let status = audit.trail.status
        if let failure = status.failure {
            log.error(
                "audit_not_written",
                audit.isClosed
                    ? "the audit log cannot be written; nothing new is taken on until it can"
                    : "the audit log cannot be written; events wait, and are lost when too many do",
                [("directory", .string(audit.facts.directory)), ("detail", .string(failure))])
        } else {
            log.info("audit_written_again", "the audit log is written again")
        }
        publish()
    }

    /// Hears of it when the audit log cannot be written, or can again.
    func watchAudit() {
        audit?.trail.whenChanged { [weak self] in
            ControlPlane.post { self?.auditChanged() }
        }
    }

    /// Ends the audit log of a process that has failed to take over; the other one writes it.
    func closeAudit() {
        log.observe(nil)
        audit?.stop()
        audit = nil
    }

    /// What this process still sees goes into the log of the one that has taken over.
    func forwardAudit(to channel: TakeoverChannel) {
        audit?.forward { entries, lost in
            ControlPlane.post {
                for entry in entries { channel.send("audit", entry.json) }
                if lost.total > 0 {
                    channel.send(
                        "audit_lost", ["count": .init(lost.total), "strangers": .init(lost.strangers)])
                }
            }
        }
    }

    /// Takes what the process that this one has taken over from has seen.
    func takeAudit(_ message: TakeoverChannel.Message, of process: Int32) {
        guard let trail = audit?.trail else { return }
        if message.type == "audit_lost" {
            let count = Int(clamping: message.json["count"]?.integer ?? 0)
            let strangers = min(max(0, Int(clamping: message.json["strangers"]?.integer ?? 0)), count)
            return trail.adoptLoss(AuditBacklog.Count(known: count - strangers, strangers: strangers))
        }
        do throws(JSONAccessError) {
            trail.adopt(try AuditTrail.Entry(json: message.json), of: process)
        } catch {
            log.warning(
                "takeover_audit", "a security event of the old process cannot be read; its log has it",
                [("detail", .string("\(error)"))])
        }
    }

    /// `GET /v1/audit`.
    var auditJSON: JSONValue {
        guard let audit else { return ["enabled": false] }
        let status = audit.trail.status
        return [
            "enabled": true, "directory": .string(audit.facts.directory),
            "publicKey": .string(audit.facts.publicKeyFile), "key": .string(audit.facts.keyDigest),
            "sequence": JSONValue(status.sequence), "seal": status.seal?.json ?? .null,
            "lost": JSONValue(status.lost), "filesChanged": JSONValue(status.filesChanged),
            "failure": status.failure.map { .string($0) } ?? .null,
            "failsClosed": .bool(audit.facts.failsClosed), "sealsLeft": sealCourier.json,
        ]
    }
}
