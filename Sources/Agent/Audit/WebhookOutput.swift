import Audit
import EventLoop
import JSON
import PKI

/// Sends security events to an HTTPS server, some at a time (CloudEvents 1.0, batched content mode), signed with a shared
/// secret. Nobody waits for it: events wait in a bounded queue, one request is under way at a time, and what fails is tried again
/// with growing pauses. What the queue cannot hold is dropped and counted; the audit log has it all the same.
final class WebhookOutput: SecurityEventOutput {
    /// Where events go, and with what.
    struct Settings: Sendable {
        let source: HTTPFetch.Source
        let signature: WebhookSignature
        /// The node's name, for the events' source.
        let node: String
        /// Events that may wait.
        var capacity = 4096
        /// Events in one request.
        var batch = 100
        /// For a whole request, in nanoseconds.
        var timeout: UInt64 = 10 * Clock.second
        /// Pauses after failures, in nanoseconds: the first, doubled up to the longest.
        var firstPause = Clock.second
        var longestPause: UInt64 = 60 * Clock.second
    }

    /// What is shown of it.
    struct Status: Sendable {
        /// Events that were taken by the server.
        var delivered: UInt64 = 0
        /// Events for which there was no room.
        var dropped: UInt64 = 0
        /// Events that the server refused for good (4xx).
        var refused: UInt64 = 0
        /// Requests that came to nothing, whatever is done about it.
        var failures: UInt64 = 0
        /// Events that wait.
        var waiting = 0
        /// Why the last request failed; nil where it did not.
        var failure: String?
    }

    private struct State {
        /// Events as JSON, oldest first.
        var queue: [JSONValue] = []
        var number: UInt64 = 0
        var isAnnounced = false
        var status = Status()
    }

    private let state = Locked(State())
    private let settings: Settings
    /// Tells this run's events from others'.
    private let run: String

    /// Events for `settings`; `run` is in their ids.
    init(_ settings: Settings, run: String) {
        self.settings = settings
        self.run = run
    }

    /// What it shows.
    var status: Status {
        state.withLock { state in
            var status = state.status
            status.waiting = state.queue.count
            return status
        }
    }

    func send(_ entry: AuditTrail.Entry) {
        let wakes = state.withLock { state -> Bool in
            guard state.queue.count < settings.capacity else {
                state.status.dropped += 1
                return false
            }
            state.number += 1
            state.queue.append(event(entry, number: state.number))
            defer { state.isAnnounced = true }
            return !state.isAnnounced
        }
        if wakes { ControlPlane.post { [weak self] in self?.sender?.wake() } }
    }

    /// CloudEvents 1.0, section "Context Attributes".
    private func event(_ entry: AuditTrail.Entry, number: UInt64) -> JSONValue {
        [
            "specversion": "1.0", "id": .string("\(run)-\(number)"),
            "source": .string("/conduit-mesh/node/\(settings.node)"),
            "type": .string("conduit-mesh.security.\(entry.event)"), "time": .string(entry.time),
            "datacontenttype": "application/json",
            "data": [
                "event": .string(entry.event), "category": .string(entry.category.rawValue),
                "severity": .string(entry.severity), "fields": .object(entry.fields),
            ],
        ]
    }

    // MARK: - Sending

    @ControlPlane private var sender: WebhookSender?

    /// Begins to send.
    @ControlPlane
    func start(log: Log) {
        let sender = WebhookSender(self, settings, log: log)
        self.sender = sender
        sender.wake()
    }

    /// The same server, by what a reload has read: another profile, other roots.
    @ControlPlane
    func use(_ source: HTTPFetch.Source) { sender?.use(source) }

    /// Sends nothing more; what waits is in the audit log.
    @ControlPlane
    func stop() {
        sender?.stop()
        sender = nil
    }

    /// The oldest events that wait, so many at most; they stay until `settle`. Without any, the next event wakes the sender.
    func batch(_ limit: Int) -> [JSONValue] {
        state.withLock { state in
            let batch = Array(state.queue.prefix(limit))
            state.isAnnounced = !batch.isEmpty
            return batch
        }
    }

    /// So many of the oldest events are dealt with: taken, or refused for good.
    func settle(_ count: Int, isDelivered: Bool) {
        state.withLock { state in
            state.queue.removeFirst(count)
            if isDelivered {
                state.status.delivered += UInt64(count)
                state.status.failure = nil
            } else {
                state.status.refused += UInt64(count)
            }
        }
    }

    /// A request came to nothing.
    func failed(_ why: String) {
        state.withLock { state in
            state.status.failures += 1
            state.status.failure = why
        }
    }
}

extension WebhookOutput.Settings {
    /// The server that a configuration names, nil for none. Throws where its roots cannot be read.
    static func source(_ audit: Configuration.Audit) throws -> HTTPFetch.Source? {
        try audit.webhook.map { try HTTPFetch.Source(url: $0, ca: audit.webhookCA, under: audit.fetchProfile) }
    }

    /// What a configuration says; nil where it names no server. Throws where secret or roots cannot be read.
    init?(_ audit: Configuration.Audit, node: String) throws {
        guard audit.webhook != nil else { return nil }
        guard let secret = audit.webhookSecretFile else {
            throw StartFailure(
                exitCode: 78, lines: ["audit.webhook.url needs audit.webhook.secretFile"],
                hint: "write a secret: openssl rand -hex 32 > webhook.secret; chmod 600 webhook.secret")
        }
        do {
            guard let source = try Self.source(audit) else { return nil }
            self.init(source: source, signature: try WebhookSignature(file: secret), node: node)
        } catch let error as CertificateError {
            throw StartFailure(
                exitCode: 78, lines: ["audit.webhook: \(error.description)"],
                hint: "see that this user may read the file, and nobody else a secret", of: error)
        }
    }
}
