import Bytes
import Documents
import EventLoop
import HTTP
import JSON
import Link
import PKI
import Policy
import TLS
import WebSocket

/// From the verified peer to the decision about its HELLO: WebSocket upgrade, HELLO, the right to link.
extension LinkSetup {
    func takePlaintext() {
        while registration != nil {
            switch phase {
            case .clientUpgrade(var parser, let key):
                guard takeResponse(&parser, key) else { return }
            case .serverUpgrade(var parser):
                guard takeRequest(&parser) else { return }
            case .hello(var handshake):
                guard takeHello(&handshake) else { return }
            case .resuming(var resumption, let hello):
                guard takeResumption(&resumption, hello) else { return }
            case .connecting, .tls, .greeting, .deciding, .switching, .over: return
            }
        }
    }

    func takeResponse(_ parser: inout ResponseParser, _ key: String) -> Bool {
        do throws(HTTPError) {
            while let event = try parser.next(&plain) {
                switch event {
                case .head(let head):
                    let answer = Handshake.checkResponse(
                        status: head.status, headers: { head.headers.values($0) }, key: key,
                        protocols: [Self.subprotocol], protocolRequired: true)
                    if case .failure(let error) = answer {
                        fail("upgrade_refused", "\(error)", hint: "check that the address is a node's mesh listener")
                        return false
                    }
                case .switched:
                    phase = .greeting
                    askStatus()
                    return false
                case .interim, .body, .trailers, .end: break
                }
            }
        } catch {
            fail("upgrade_refused", error.text, hint: "check that the address is a node's mesh listener")
            return false
        }
        phase = .clientUpgrade(parser, key: key)
        return false
    }

    func takeRequest(_ parser: inout RequestParser) -> Bool {
        do throws(HTTPError) {
            while let event = try parser.next(&plain) {
                switch event {
                case .head(let head): return upgrade(head, &parser)
                case .body, .trailers, .end: break
                }
            }
        } catch {
            answer(Problem(error))
            return false
        }
        phase = .serverUpgrade(parser)
        return false
    }

    func upgrade(_ head: HTTPRequestHead, _ parser: inout RequestParser) -> Bool {
        guard head.path == Self.path else {
            answer(
                Problem(
                    "not_found", status: 404, detail: "this listener serves links only",
                    hint: "connect a WebSocket to \(Self.path)"))
            return false
        }
        let checked = Handshake.checkRequest(
            method: head.method.rawValue, isHTTP11: head.version == .http11, headers: { head.headers.values($0) },
            protocols: [Self.subprotocol], protocolRequired: true)
        switch checked {
        case .failure(let refusal):
            answer(
                Problem(refusal.reason.rawValue, status: refusal.status, detail: refusal.description), refusal.headers)
            return false
        case .success(let request):
            // The request has no body: its end follows at once, and then frames.
            do throws(HTTPError) {
                guard case .end? = try parser.next(&plain) else { return false }
            } catch {
                answer(Problem(error))
                return false
            }
            do throws(Handshake.InvalidHeader) {
                send(try Handshake.response(to: request))
            } catch {
                fail("internal_error", "\(error)", hint: nil)
                return false
            }
            phase = .hello(.accept())
            return true
        }
    }

    func answer(_ problem: Problem, _ headers: [(name: String, value: String)] = []) {
        var fields = HTTPHeaders()
        for header in headers { fields.append(header.name, header.value) }
        fields.set("Connection", "close")
        var output = ByteQueue()
        do throws(HTTPError) {
            try problem.response(headers: fields).encode(into: &output)
        } catch {
            return fail("internal_error", error.text, hint: nil)
        }
        var bytes: [UInt8] = []
        output.withReadable { bytes.append(contentsOf: $0) }
        send(bytes)
        fail("not_a_link", problem.detail ?? problem.reason, hint: nil)
    }

    /// Takes the next message, if all of it has arrived. What is no binary message ends the setup one way or the other.
    func nextMessage<Step>(
        _ take: (UnsafeRawBufferPointer) -> Step, closed: (Notice) -> Step, violated: (String) -> Step
    ) -> Step? {
        let step: (Step, Int)? = plain.withMutableReadable { bytes in
            switch frames.next(bytes) {
            case .needMore: return nil
            case .message(.binary, let payload, let consumed):
                return (take(UnsafeRawBufferPointer(rebasing: bytes[payload])), consumed)
            case .control(.close, let payload, let consumed):
                let close = try? ClosePayload.parse(UnsafeRawBufferPointer(rebasing: bytes[payload])).get()
                let reason = close?.code.flatMap { LinkReason(closeCode: $0.rawValue) } ?? .normal
                return (closed(Notice(reason, detail: close?.reason ?? "")), consumed)
            case .control(_, _, let consumed): return (violated("a WebSocket control frame before HELLO"), consumed)
            case .message, .fragment: return (violated("HELLO must be one binary message"), 0)
            case .failed(let violation): return (violated(violation.description), 0)
            }
        }
        guard let (result, consumed) = step else { return nil }
        plain.consume(consumed)
        return result
    }

    func takeHello(_ handshake: inout LinkHandshake) -> Bool {
        let step: LinkHandshake.Step? = nextMessage(
            { handshake.received($0) }, closed: { .refused($0) }, violated: { .failed(.protocolError, $0) })
        guard let result = step else { return false }
        switch result {
        case .decide(let hello): arrived(hello, handshake)
        case .complete(let hello):
            phase = .deciding(handshake, hello)
            guard authorize() else { return false }
            guard let identity = tls?.peerIdentity else { return false }
            let (lane, id, bootID, peer) = (self.lane, self.id, hello.bootID, PeerNames(identity))
            ControlPlane.post { [shared = core.shared] in
                shared.supervisor?.answered(lane, link: id, bootID: bootID, peer: peer)
            }
        case .refused(let notice):
            if isDialler, notice.reason == .identityRevoked { saidRevoked(notice.detail) }
            failRefused(notice)
        case .failed(let reason, let text):
            refuse(reason, text)
            fail(reason.name, text, hint: nil)
        }
        return false
    }

    /// A dialler said HELLO: who is it, may it link, is it wanted?
    func arrived(_ hello: Hello, _ handshake: LinkHandshake) {
        phase = .deciding(handshake, hello)
        intent = hello.intent
        number = hello.lane
        guard authorize() else { return }
        askStatus()
    }

    /// Maps the peer's identity and asks the policy; a refusal ends the setup.
    ///
    /// - Parameter whileDraining: Also on a node that takes no new links.
    func authorize(whileDraining: Bool = false) -> Bool {
        guard let identity = tls?.peerIdentity else {
            refuse(.linkDenied, "no identity")
            fail("no_identity", "the peer proved no identity", hint: nil)
            return false
        }
        let routing = core.routing
        (isCatchingUp, isLate, isRevoked) = (false, false, false)
        if let tls, let error = core.objection(to: tls, isDialler: isDialler) {
            let reason: LinkReason = error.reason == .revoked ? .identityRevoked : .linkDenied
            refuse(reason, error.code)
            fail(
                error.code, error.message, hint: error.hint, reason: reason,
                revoked: error.reason == .revoked ? RevokedPeer(identity) : nil)
            return false
        }
        if let tls, let (entry, chain) = core.revocation(of: tls, isDialler: isDialler) {
            isLate = routing.isLate(chain, now: Clock.unixSeconds()) && mayGetDocuments(identity)
            isRevoked = !isLate
            if isRevoked { return mayCatchUp(identity) || refuseRevoked(identity, entry) }
        }
        let principal = routing.policy.principal(
            for: .node(commonName: identity.commonName, spiffe: identity.spiffe?.description))
        let decision = routing.policy.authorizeLink(peer: principal, with: routing.node)
        core.decisions.note(
            DecisionMemory.Question(
                .link, commonName: identity.commonName, spiffe: identity.spiffe?.description, target: routing.node),
            decision, at: Clock.unixSeconds())
        self.principal = principal
        if !isDialler { node = principal.nodeName ?? identity.nodeName ?? identity.commonName ?? "" }
        guard decision.allowed, let name = principal.nodeName else {
            if !isLate, mayCatchUp(identity) { return true }
            let reason = decision.allowed ? PolicyReason.unmappedIdentity : decision.reason
            core.counters.denied(reason.rawValue)
            core.shared.log.warning(
                "link_refused", isDialler ? "the node dialled has no right to link" : "a node was refused",
                [
                    ("node", .string(node)), ("remote", .string(remote)), ("reason", .string(reason.rawValue)),
                    ("detail", .string(decision.explanation.summary)),
                    ("rule", decision.rule.map { .string($0.description) } ?? .null),
                    ("fingerprint", .string(identity.fingerprint)),
                ])
            refuse(.linkDenied, reason.rawValue)
            fail(
                "link_denied", decision.explanation.summary,
                hint: LinkRefusal.question(reason, from: principal.id.description, to: routing.node),
                reason: .linkDenied)
            return false
        }
        guard name != routing.node else {
            refuse(.wrongNode, "that is this node's own name")
            fail(
                "wrong_node", "the peer has this node's own name \(name)",
                hint: "give each node a certificate of its own")
            return false
        }
        guard whileDraining || !routing.isDraining else {
            refuse(.goingAway, "the node drains")
            fail("going_away", "this node drains", hint: nil)
            return false
        }
        isCatchingUp = isLate
        return true
    }

    private func refuseRevoked(_ identity: PeerIdentity, _ entry: RevocationEntry) -> Bool {
        let text = "the certificate of node \(identity.nodeName ?? "?") is revoked: \(entry.reason)"
        refuse(.identityRevoked, "revoked: \(entry.reason)")
        fail(
            LinkReason.identityRevoked.name, text,
            hint:
                "mesh revoke --list shows the entry \(entry.name), unless it comes from an OCSP responder; issue the node a "
                + "new certificate with a new key",
            reason: .identityRevoked, revoked: RevokedPeer(identity))
        return false
    }

    /// A node whose root was retired while it was away gets documents, and nothing else.
    private func mayGetDocuments(_ identity: PeerIdentity) -> Bool {
        guard let hello = peerHello, documents(hello) != nil, let name = identity.nodeName else { return false }
        return isFirst(to: name) && core.parked[Lane(name)] == nil
    }

    /// There is no link to the node that would be given away, and no session that this one would carry.
    private func isFirst(to name: String) -> Bool {
        held == nil && intent != .move && number == 0 && !core.routing.isDraining && core.routing.links[name] == nil
            && core.links[Lane(name)] == nil && name != core.routing.node
    }

    /// A node that has no right here may still bring the newer document that gives it one, or else a mesh that a document
    /// has split could never come together again. The link carries `mesh.documents` and nothing else until then.
    ///
    /// Only for a link of its own, where there is none to that node: neither a session nor a living link is given to it. A
    /// session that waits here for its next link goes on waiting (`WorkerCore.visit`).
    private func mayCatchUp(_ identity: PeerIdentity) -> Bool {
        guard let hello = peerHello, let name = identity.nodeName, isFirst(to: name),
            let theirs = documents(hello), !core.routing.documents.covers(theirs)
        else { return false }
        principal = core.routing.policy.principal(
            for: .node(commonName: identity.commonName, spiffe: identity.spiffe?.description))
        if !isDialler { node = name }
        guard node == name else { return false }
        isCatchingUp = true
        return true
    }

    /// What the peer has said of itself, while that is being decided about.
    private var peerHello: Hello? {
        switch phase {
        case .deciding(_, let hello), .resuming(_, let hello): hello
        default: nil
        }
    }
}
