import EventLoop
import JSON
import Link
import PKI

/// The link: HELLO, round trip, identity, directory.
struct LinkStage {
    let socket: WebSocketClient
    let report: Report
    let identity: OwnIdentity
    let server: PeerIdentity?
    let expectation: TesterOptions.Expectation
    /// Nanoseconds for each answer.
    let timeout: UInt64

    private static let afterHello: [CheckID] = [.roundTrip, .whoami, .directory]

    func run() {
        let client = LinkClient(
            socket, local: identity.nodeName ?? "", peer: server?.nodeName ?? "", timeout: timeout)
        var why: String?
        report.run(.hello) {
            let answer = client.hello()
            switch answer {
            case .linked(let hello):
                guard expectation != .denied else {
                    return .failed("the node takes the link, which the policy should deny", answer: "HELLO")
                }
                return .ok("\(hello.agent), boot id \(hello.bootID)", answer: "HELLO")
            case .refused(let notice):
                let outcome = refusal(notice)
                why =
                    outcome.verdict == .failed ? "the link was refused" : "the link was refused (\(notice.reason.name))"
                return outcome
            case .failed(let text):
                return .failed(text, answer: text)
            }
        }
        guard client.isLinked else {
            return report.skip(Self.afterHello, why ?? "there is no link")
        }
        report.run(.roundTrip) {
            let times = client.ping(count: 5).sorted()
            guard let first = times.first, let last = times.last else {
                return .failed("no answer to PING", answer: client.ending ?? "nothing")
            }
            let median = times[times.count / 2]
            return .ok(
                "\(Times.milliseconds(median)) (median of \(times.count); \(Times.milliseconds(first)) to "
                    + "\(Times.milliseconds(last)))")
        }
        report.run(.whoami) {
            // Every node may open the directory; the agent itself only those whom a rule allows it.
            let answer = client.get("/v1/whoami", from: "mesh.agent")
            if case .response(200, _) = answer { return whoami(answer) }
            let second = client.get("/v1/whoami", from: "mesh.directory")
            if case .response(200, _) = second { return whoami(second) }
            var outcome = whoami(answer)
            outcome.hint =
                "let the policy allow it: { allow: [\"connect\"], from: [\"node:\(identity.nodeName ?? "NAME")\"], to: [\"mesh.agent\"] }"
            return outcome
        }
        report.run(.directory) { services(client.get("/v1/directory/services", from: "mesh.directory")) }
        client.close()
    }

    private func refusal(_ notice: Notice) -> Outcome {
        let said = notice.detail.isEmpty ? notice.reason.name : "\(notice.reason.name): \(notice.detail)"
        switch notice.reason {
        case .duplicateIdentity:
            return .ok(
                "refused as duplicate_identity, as it must be: an agent that uses our certificate is linked",
                answer: said,
                hint: "to test link and directory, give the tester a certificate of its own: "
                    + NewCertificate.commands("Tester"))
        case .linkDenied:
            let hint =
                "mesh why --from node:\(identity.nodeName ?? "NAME") --to \(server?.nodeName ?? "NODE") --verb link"
            switch expectation {
            case .either: return .info("denied by the node's policy: \(said)", answer: said, hint: hint)
            case .denied: return .ok("denied by the node's policy: \(said)", answer: said)
            case .allowed: return .failed("denied by the node's policy: \(said)", answer: said, hint: hint)
            }
        case .wrongNode:
            return .failed(
                "refused: \(said)", answer: said,
                hint: "that is the tested node's own certificate; give the tester one of its own: "
                    + NewCertificate.commands("Tester"))
        default: return .failed("refused: \(said)", answer: said)
        }
    }

    private func whoami(_ answer: LinkClient.StreamAnswer) -> Outcome {
        guard case .response(200, let body) = answer, let value = try? JSONReader.parse(body) else {
            return denied(answer, as: "not told")
        }
        func list(_ key: String) -> String {
            let words = value[key]?.array?.compactMap(\.string) ?? []
            return words.isEmpty ? "none" : words.joined(separator: ", ")
        }
        let derivation = value["derivation"]?.array?.compactMap(\.string) ?? []
        return .info(
            "\(value["principal"]?.string ?? "?"); services: \(list("services")); groups: \(list("groups")); "
                + "permissions: \(list("permissions"))",
            answer: derivation.isEmpty ? nil : derivation.joined(separator: "; "))
    }

    private func services(_ answer: LinkClient.StreamAnswer) -> Outcome {
        if case .refused(.noSuchService, _) = answer {
            return .info("this node serves no directory", answer: "no_such_service")
        }
        guard case .response(200, let body) = answer, let value = try? JSONReader.parse(body),
            let services = value["services"]?.array
        else { return denied(answer, as: "not allowed") }
        let names = services.compactMap { $0["name"]?.string }
        let list = names.isEmpty ? "none that we may discover" : names.joined(separator: ", ")
        return .ok("revision \(value["revision"]?.integer ?? 0), services: \(list)", answer: "HTTP status 200")
    }

    /// A stream or request that the policy does not allow: information, unless it was to be allowed.
    private func denied(_ answer: LinkClient.StreamAnswer, as what: String) -> Outcome {
        switch answer {
        case .refused(let reason, let detail) where reason == .denied || reason == .actAsDenied:
            let said = "\(reason.name)\(detail.isEmpty ? "" : ": \(detail)")"
            return expectation == .allowed
                ? .failed("\(what): \(said)", answer: said) : .info("\(what): \(said)", answer: said)
        case .response(403, let body):
            let said = ProblemText.reason(body) ?? "HTTP status 403"
            return expectation == .allowed
                ? .failed("\(what): \(said)", answer: said) : .info("\(what): \(said)", answer: said)
        case .refused(let reason, let detail):
            return .failed("the stream was refused: \(reason.name) \(detail)", answer: reason.name)
        case .response(let status, let body):
            let said = "HTTP status \(status)" + (ProblemText.reason(body).map { ", \($0)" } ?? "")
            return .failed("the answer is not what it must be: \(said)", answer: said)
        case .failed(let text): return .failed(text, answer: text)
        }
    }
}
