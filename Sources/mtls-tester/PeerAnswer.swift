import TLS

/// How the node took a connection.
///
/// With TLS 1.3 a server judges the client's certificate after the client's handshake is complete. So "let in" is said only
/// when the node has answered something that it answers to accepted clients.
enum PeerAnswer {
    /// It ended the handshake with this alert.
    case alert(TLSAlert)
    /// It ended the connection without an alert and without an answer.
    case closed(how: String)
    /// It answered: an HTTP status, or session tickets.
    case letIn(String)
    /// Neither a refusal nor an answer came in time.
    case silent
    /// No connection.
    case unreachable(Dialler.Unreachable)
    /// TLS broke for a cause of its own.
    case broken(TLSError)

    /// In words, for the report's `answer`.
    var text: String {
        switch self {
        case .alert(let alert): "alert \(alert.name)"
        case .closed(let how): how
        case .letIn(let what): what
        case .silent: "nothing"
        case .unreachable(let error): error.text
        case .broken(let error): error.description
        }
    }

    /// What a handshake that failed says.
    init(_ error: TLSError, _ wire: Wire) {
        if let alert = wire.session.alertReceived {
            self = .alert(alert)
        } else if error.code == .closedDuringHandshake || error.code == .truncated {
            self = .closed(
                how: wire.isReset ? "connection reset, without an alert" : "connection closed, without an alert")
        } else {
            self = .broken(error)
        }
    }

    /// The verdict where the node must refuse; `shown` tells whether a certificate was shown.
    func refusal(of what: String, shown: Bool) -> Outcome {
        switch self {
        case .alert(.certificateRequired) where shown:
            return .skipped(
                "the certificate could not be shown: the node takes no certificates with such a key or signature")
        case .alert(let alert) where alert.concernsCertificate || alert == .handshakeFailure:
            return .ok("refused with alert \(alert.name)", answer: text)
        case .alert(let alert):
            return .failed(
                "refused, but for another cause: alert \(alert.name)", answer: text,
                hint: "the node did not get as far as looking at the certificate; its log has the reason")
        case .closed(let how): return .ok("refused: \(how)", answer: text)
        case .letIn(let answer):
            return .failed(
                "the node lets in \(what): it answered \(answer)", answer: text,
                hint: "whoever reaches this port can talk to the node; see that it verifies client certificates")
        case .silent:
            return .failed(
                "the node neither refused \(what) nor answered", answer: text,
                hint: "a node answers at once; give it longer with --timeout, or see that it is a node at all")
        case .unreachable(let error): return .failed(error.text, answer: text, hint: error.hint)
        case .broken(let error): return .failed(error.message, answer: text, hint: error.hint)
        }
    }
}
