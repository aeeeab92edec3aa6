import EventLoop
import JSON
import PKI
import TLS

/// A certificate that this agent uses or has seen at a peer.
struct KnownCertificate: Sendable {
    /// What it is for.
    enum Use: String, Sendable {
        /// The node's own chain.
        case identity
        /// A CA that nodes' certificates lead to.
        case trust
        /// Of an edge listener.
        case edge
        /// Of a node that is linked.
        case peer
    }

    let use: Use
    /// The node, listener or CA.
    let name: String
    let subject: String
    let serial: String
    let fingerprint: String
    let expiry: CertificateExpiry
    /// What is stapled to it, where responses are fetched for it.
    var staple: StapleKeeper.Status?
    /// Begin of validity, unix seconds.
    let notBefore: Int64

    init(_ use: Use, _ name: String, _ certificate: Certificate) {
        self.use = use
        self.name = name
        subject = certificate.subject
        serial = certificate.serialHex
        fingerprint = certificate.fingerprintSHA256
        expiry = CertificateExpiry(certificate)
        notBefore = certificate.notBefore
    }

    /// As the control API has it.
    func json(now: Int64) -> JSONValue {
        var object: JSONObject = [
            "use": .string(use.rawValue), "name": .string(name), "subject": .string(subject), "serial": .string(serial),
            "fingerprint": .string(fingerprint), "begins": .integer(notBefore),
            "expires": .string(Timestamp.rfc3339(milliseconds: expiry.notAfter * 1000)),
            "secondsRemaining": .integer(expiry.notAfter - now), "valid": .bool(now < expiry.notAfter),
            "expiringSoon": .bool(expiry.isSoon(at: now)),
        ]
        if let staple { object["staple"] = staple.json }
        return .object(object)
    }
}

extension Agent {
    /// Every certificate that is in use here or was seen at a linked peer, those that end first in front.
    func certificates() async -> [KnownCertificate] {
        var found = identity.credentials.chain.map { KnownCertificate(.identity, shared.node, $0) }
        let bundles = [identity.contexts.client, identity.contexts.server].compactMap(\.configuration.trust)
        var seen: Set<String> = []
        for root in bundles.flatMap(\.roots) where seen.insert(root.fingerprintSHA256).inserted {
            found.append(KnownCertificate(.trust, root.commonName ?? root.subject, root))
        }
        for (listener, runtime) in edge.runtime.listeners.sorted(by: { $0.key < $1.key }) {
            let leaves = runtime.tls?.contexts.compactMap { $0.configuration.credentials?.leaf } ?? []
            found += leaves.map { KnownCertificate(.edge, listener, $0) }
        }
        for report in await reports() {
            found += report.links.compactMap { link in
                guard let certificate = link.peerCertificate,
                    seen.insert("\(link.node) \(certificate.fingerprintSHA256)").inserted
                else { return nil }
                return KnownCertificate(.peer, link.node, certificate)
            }
        }
        let stapled = Dictionary(staples.statuses.map { ($0.fingerprint, $0) }) { first, _ in first }
        for index in found.indices where found[index].use == .identity || found[index].use == .edge {
            found[index].staple = stapled[found[index].fingerprint]
        }
        return found.sorted { ($0.expiry.notAfter, $0.name) < ($1.expiry.notAfter, $1.name) }
    }
}

/// Says in the log, once for each threshold, that a certificate in use comes to its end.
@ControlPlane
final class CertificateWatch: TimerHandler {
    /// Between two looks, in nanoseconds: a minute is little beside the shortest threshold of a useful lifetime.
    private static let interval: UInt64 = 60_000_000_000

    private weak var agent: Agent?
    private let log: Log
    private var timer: TimerID?
    /// The threshold that was said last, by fingerprint.
    private var said: [String: Int64] = [:]

    init(_ agent: Agent, log: Log) {
        self.agent = agent
        self.log = log
        look()
    }

    func stop() {
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
        agent = nil
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = nil
            look()
        }
    }

    private func look() {
        guard let agent else { return }
        timer = ControlPlane.loop.schedule(after: Self.interval, self)
        Task { @ControlPlane in self.report(await agent.certificates(), now: Clock.unixSeconds()) }
    }

    /// Says what is due; a certificate that was renewed has another fingerprint and begins anew.
    func report(_ certificates: [KnownCertificate], now: Int64) {
        var next: [String: Int64] = [:]
        for certificate in certificates {
            guard let threshold = certificate.expiry.passedThreshold(at: now) else { continue }
            next[certificate.fingerprint] = threshold
            guard said[certificate.fingerprint] != threshold else { continue }
            let left = certificate.expiry.notAfter - now
            let fields: [Log.Field] = [
                ("use", .string(certificate.use.rawValue)), ("name", .string(certificate.name)),
                ("subject", .string(certificate.subject)), ("serial", .string(certificate.serial)),
                ("expires", .string(Timestamp.rfc3339(milliseconds: certificate.expiry.notAfter * 1000))),
                ("hint", "see whether its renewal works; mesh certs lists all"),
            ]
            if left <= 0 {
                log.error("certificate_expired", "a certificate in use has expired", fields)
            } else {
                log.warning(
                    "certificate_expiring", "a certificate in use expires in \(UTCTime.duration(left))", fields)
            }
        }
        said = next
    }
}
