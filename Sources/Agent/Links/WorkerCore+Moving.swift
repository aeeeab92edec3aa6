import EventLoop
import Link

/// Sessions on their way to another link.
extension WorkerCore {
    /// The session of a node moves to `link`, which is the one in use from now on.
    func moved(_ link: LinkConnection) {
        links[link.lane] = link
        counters.linksEstablished &+= 1
        do throws(SystemError) {
            try link.startMoved()
        } catch {
            link.close(.internalError, "\(error)")
        }
    }

    /// The peer's SWITCH came on `link`: the setup that waits for it takes the session over.
    func peerSwitched(_ link: LinkConnection) {
        let setup = setups.values.first { $0.move?.link == link.id && $0.isSwitching }
        guard let setup else { return link.lost(.linkLost, "the peer moved to a link that was lost") }
        setup.peerSwitched(link)
    }

    /// The session of `lane` cannot move any more; links that were on their way for that are given up.
    func endMoves(of lane: Lane, _ text: String) {
        for setup in setups.values.filter({ $0.lane == lane && $0.intent == .move }) {
            setup.decided(.refuse(.superseded, detail: text, retryAfter: 0))
        }
    }

    /// Asks the peer of a link to dial one to which the session moves.
    func askForMove(_ lane: Lane) {
        guard let link = links[lane] else { return }
        link.session.askForMove()
        link.scheduleFlush()
    }

    /// The peer asks this end to dial a link to which the session moves.
    func moveWanted(_ lane: Lane) {
        ControlPlane.post { [shared] in shared.supervisor?.moveWanted(lane) }
    }
}
