import Link
import PKI
import TLS

/// A link that ends without its session, and one that goes on with the session of another.
extension LinkConnection {
    /// The session is over: every stream is told, or tried elsewhere where that is allowed.
    func endStreams(_ reason: LinkReason, _ text: String) {
        endTransfers(reason, text)
        let streams = session.linkLost()
        let fates = Dictionary(uniqueKeysWithValues: streams.map { ($0.stream, $0) })
        let connections = locals.compactMap { $0 }
        locals = []
        for local in connections {
            let fate = local.stream.flatMap { fates[$0] }
            local.detach()
            if fate?.isComplete == true {
                // The socket takes the rest in its own time, and is closed then.
                if let attempt = local.attempt { core.opening.ended(attempt) }
                core.linger(local)
                continue
            }
            if let attempt = local.attempt, !attempt.isAccepted, let fate, fate.neverProcessed || fate.bytesSent == 0 {
                if hasSuccessor {
                    core.opening.again(local, attempt)
                    continue
                }
                if !lane.isFirst {
                    core.opening.laneFailed(local, attempt, lane, text)
                    continue
                }
                core.opening.failed(local, .unreachable, "the link to \(node) was lost: \(text)", reason: "link_lost")
            } else {
                if let attempt = local.attempt {
                    core.opening.ended(attempt)
                    attempt.observer?(.broken(reason: "link_lost"))
                }
                local.reset()
            }
        }
    }

    /// Takes over the streams of the link that its session lost.
    func continueStreams(of old: LinkConnection) {
        load = old.load
        transfers = old.transfers
        old.transfers = LinkTransfers()
        locals = old.locals
        old.locals = []
        for case let local? in locals { local.carried(by: self) }
    }
}
