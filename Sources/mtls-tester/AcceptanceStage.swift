import EventLoop
import PKI
import TLS

/// The good certificate, and the upgrade to WebSocket with it.
struct AcceptanceStage {
    let dialler: Dialler
    let report: Report
    let identity: OwnIdentity

    private static let all: [CheckID] = [.goodCertificate, .noTickets, .wrongPath, .noSubprotocol, .upgrade]

    /// Gives the open WebSocket, if it came to that.
    func run() -> WebSocketClient? {
        guard let credentials = identity.credentials else {
            report.skip(
                Self.all, "no certificate of our own was given", hint: "give --cert and --key, or --pfx")
            return nil
        }
        let context: TLSContext
        do throws(TLSError) {
            context = try Dialler.context(credentials: credentials)
        } catch {
            report.run(.goodCertificate) { .failed(error.message, hint: error.hint) }
            report.skip(Array(Self.all.dropFirst()), "our certificate cannot be used")
            return nil
        }
        var upgrade = Opened(end: .ended(.silent))
        let isAccepted =
            report.run(.goodCertificate) {
                upgrade = open(context, isProbe: true)
                return accepted(upgrade)
            } == .ok
        guard isAccepted else {
            report.skip(Array(Self.all.dropFirst()), "the good certificate was not accepted")
            return nil
        }
        report.run(.noTickets) { tickets(upgrade.socket) }
        upgrade.socket?.wire.close()
        report.run(.wrongPath) { refused(open(context, path: "\(dialler.target.path)-not-here")) }
        report.run(.noSubprotocol) { refused(open(context, protocols: [])) }
        var socket: WebSocketClient?
        report.run(.upgrade) {
            upgrade = open(context)
            guard case .accepted(let name) = upgrade.end else {
                return .failed(
                    "not opened: \(upgrade.end.text)", answer: upgrade.end.text,
                    hint: "check the path; links live at \(Target.linkPath)")
            }
            guard name == WebSocketClient.linkProtocol else {
                return .failed("without the subprotocol \(WebSocketClient.linkProtocol)", answer: upgrade.end.text)
            }
            socket = upgrade.socket
            return .ok(WebSocketClient.linkProtocol, answer: upgrade.end.text)
        }
        return socket
    }

    private struct Opened {
        var socket: WebSocketClient?
        var end: WebSocketClient.Upgrade
    }

    private func open(
        _ context: TLSContext, path: String? = nil, protocols: [String] = [WebSocketClient.linkProtocol],
        isProbe: Bool = false
    ) -> Opened {
        do throws(Dialler.Unreachable) {
            let wire = try dialler.dial(context)
            switch wire.handshake() {
            case .failed(let error): return Opened(end: .ended(PeerAnswer(error, wire)))
            case .timedOut: return Opened(end: .ended(.silent))
            case .complete: break
            }
            let socket = WebSocketClient(wire)
            let end = socket.upgrade(
                host: dialler.target.endpoint.description, path: path ?? dialler.target.path, protocols: protocols,
                isProbe: isProbe)
            return Opened(socket: socket, end: end)
        } catch {
            return Opened(end: .ended(.unreachable(error)))
        }
    }

    /// TLS lets us in: the node answers.
    private func accepted(_ opened: Opened) -> Outcome {
        switch opened.end.answer {
        case .letIn(let answer):
            let session = opened.socket?.wire.session
            let parts = [session?.protocolVersion?.rawValue, session?.cipherName, session?.groupName].compactMap { $0 }
            return .ok(parts.joined(separator: ", "), answer: answer)
        case .silent:
            return .failed("the node neither refused it nor answered", answer: "nothing", hint: doubt)
        case .unreachable(let error): return .failed(error.text, hint: error.hint)
        case let answer:
            return .failed("refused: \(answer.text)", answer: answer.text, hint: doubt ?? hint(answer))
        }
    }

    private func hint(_ answer: PeerAnswer) -> String {
        if case .alert(.unknownCA) = answer { return "the node trusts another CA for its clients (trust.clients)" }
        return "the node's log has the reason (handshake_failed)"
    }

    private var doubt: String? {
        identity.doubt.map { "our certificate is not from the CA given with --ca: \($0.message)" }
    }

    private func tickets(_ socket: WebSocketClient?) -> Outcome {
        guard let socket else { return .skipped("no session") }
        let count = socket.wire.quietRecords
        guard count == 0 else {
            return .failed(
                "\(count) came before the first answer", answer: "NewSessionTicket",
                hint:
                    "whoever resumes a session is not verified again, an expired certificate included; switch them off")
        }
        return .ok("")
    }

    /// The upgrade must be refused, by an answer.
    private func refused(_ opened: Opened) -> Outcome {
        opened.socket?.wire.close()
        switch opened.end {
        case .refused(let status, _) where (400..<500).contains(status):
            return .ok(opened.end.text, answer: opened.end.text)
        case .accepted:
            return .failed(
                "the node opened it", answer: opened.end.text, hint: "links must live at one path, under their name")
        default: return .failed("no proper refusal: \(opened.end.text)", answer: opened.end.text)
        }
    }
}
