import EventLoop
import PKI
import TLS

/// How the state of certificates is found out by OCSP.
struct OCSPSettings: Sendable, Equatable {
    /// Whether responses for our own certificates are fetched and stapled.
    var staples = true
    /// Whether responders are asked about nodes' certificates, and what happens where they say nothing.
    var peers = Configuration.OCSPMode.soft
    /// Who is asked about certificates of the mesh's CA; nil leaves it to what the certificates name.
    var responder: FetchURL?
    /// Hosts of which certificates may name responders.
    var allowedHosts: [String] = []
    /// The same for the CAs between a peer's certificate and its root, where the peer is asked about.
    var intermediates = Configuration.OCSPMode.soft
    /// Who is asked about those; nil leaves it to what they name.
    var intermediatesResponder: FetchURL?
    /// How long an answer may take, in nanoseconds.
    var timeout: UInt64 = 2 * Clock.second
    /// What may be negotiated with responders that speak TLS.
    var profile = TLSProfile.intermediate

    /// Those of a configuration.
    init(_ configuration: Configuration.OCSP) {
        staples = configuration.staple
        peers = configuration.peers
        responder = configuration.responder.flatMap { FetchURL($0) }
        allowedHosts = configuration.allowedHosts
        intermediates = configuration.intermediates
        intermediatesResponder = configuration.intermediatesResponder.flatMap { FetchURL($0) }
        timeout = configuration.timeout.nanoseconds
        profile = configuration.fetchProfile
    }

    /// What is to be found out about a verified chain: about its leaf, and where that is asked about, about the CAs up to the root.
    func questions(
        _ chain: [Certificate], staple: OCSPAnswer?, _ mode: Configuration.OCSPMode, _ configured: FetchURL?
    ) -> [OCSPQuestion] {
        guard mode != .off else { return [] }
        return OCSPSubject.chain(chain).enumerated().compactMap { index, subject in
            index == 0
                ? question(subject, staple: staple, mode, configured)
                : question(subject, staple: nil, intermediates, intermediatesResponder)
        }
    }

    private func question(
        _ subject: OCSPSubject, staple: OCSPAnswer?, _ mode: Configuration.OCSPMode, _ configured: FetchURL?
    ) -> OCSPQuestion? {
        guard mode != .off else { return nil }
        let responder = responder(of: subject.certificate, configured: configured)
        guard responder != nil || (mode == .hard && staple == nil) else { return nil }
        return OCSPQuestion(subject: subject, responder: responder, staple: staple, isHard: mode == .hard)
    }

    /// Who is asked about a certificate: who is configured, else whom it names itself where its host is allowed.
    func responder(of certificate: Certificate, configured: FetchURL?) -> FetchURL? {
        configured ?? FetchURL.permitted(certificate.responders, hosts: allowedHosts)
    }
}

/// A question about a peer's certificate.
struct OCSPQuestion: Sendable {
    /// The certificate.
    let subject: OCSPSubject
    /// Who is to be asked; nil where nobody may be.
    let responder: FetchURL?
    /// What the peer has stapled, where that is good: then nobody is asked.
    let staple: OCSPAnswer?
    /// Whether the certificate is refused where nobody says anything of it.
    let isHard: Bool
}

/// What came of it.
enum OCSPVerdict: Sendable {
    /// The peer may go on.
    case passes
    /// Its certificate is revoked; the snapshot that workers have by now says so too.
    case revoked
    /// Nothing is known, and something must be: why.
    case unknown(String)
}

/// What workers ask when a peer has shown its certificate. Questions go to the control plane, which waits for responders.
final class OCSPGate: Sendable {
    private let settings: Locked<OCSPSettings>
    /// Answers, later, on the control plane.
    typealias Ask = @ControlPlane @Sendable (OCSPQuestion, @escaping @Sendable (OCSPVerdict) -> Void) -> Void
    private let asking = Locked<Ask?>(nil)

    init(_ settings: OCSPSettings) { self.settings = Locked(settings) }

    /// Takes over other settings, for handshakes from now on.
    func use(_ next: OCSPSettings) { settings.withLock { $0 = next } }

    /// Who answers.
    func answer(by ask: @escaping Ask) { asking.withLock { $0 = ask } }

    /// The questions about a node's verified chain; empty where there are none.
    func questions(_ chain: [Certificate], staple: OCSPAnswer?) -> [OCSPQuestion] {
        let settings = settings.withLock { $0 }
        return settings.questions(chain, staple: staple, settings.peers, settings.responder)
    }

    /// The same for a client of the edge, whose listener has a mode and perhaps a responder of its own.
    func questions(
        _ chain: [Certificate], _ mode: Configuration.OCSPMode, _ configured: FetchURL?
    ) -> [OCSPQuestion] {
        settings.withLock { $0 }.questions(chain, staple: nil, mode, configured)
    }

    /// Asks all of them at once; `done` is called once, on the control plane.
    func ask(_ questions: [OCSPQuestion], done: @escaping @Sendable (OCSPVerdict) -> Void) {
        guard let ask = asking.withLock({ $0 }) else { return done(.passes) }
        ControlPlane.post {
            let verdicts = OCSPVerdicts(of: questions.count, done: done)
            for question in questions {
                ask(question) { verdict in ControlPlane.assumeIsolated { verdicts.take(verdict) } }
            }
        }
    }
}
