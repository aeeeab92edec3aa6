import EventLoop
import JSON
import Link

/// Streams that change their lane (`docs/link-protocol.md`): what is done on the link of one of the two lanes. What concerns the
/// other is a job for its worker, see `WorkerCore+Transfers`.
extension LinkConnection {
    // MARK: - The lane that the opener leaves

    /// Asks the peer to go on with the stream of `local` on `route`. False where it has to stay.
    func transfer(_ local: LocalConnection, to route: LaneRoute, _ reason: TransferReason) -> Bool {
        guard let stream = local.stream, session.mayLeave(stream) else { return false }
        // Once the peer has been asked there is no way back.
        guard local.becomeSocket() else {
            core.counters.streamStayed("no_descriptor")
            local.mayMoveAt = core.loop.now &+ WorkerCore.refusalTime
            return false
        }
        guard let request = session.leave(stream, lane: lane.number) else { return false }
        let transfer = StreamTransfer(
            id: core.shared.newLinkID(), reason: reason, from: lane, fromWorker: core.index, stream: stream,
            to: Lane(node, route.number), toWorker: route.worker, request: request)
        transfers.leaving[stream.slot] = transfer
        core.shared.workers[route.worker].submit { $0.beginTransfer(transfer) }
        return true
    }

    /// The stream is over on this lane before the other one has it.
    func cancelTransfer(of stream: StreamHandle) {
        guard let transfer = transfers.leaving[stream.slot], transfer.stream == stream else { return }
        transfers.leaving[stream.slot] = nil
        core.shared.workers[transfer.toWorker].submit { $0.cancelTransfer(transfer) }
    }

    /// The other lane did not take the stream.
    func stay(_ transfer: StreamTransfer, until time: UInt64) {
        transfers.leaving[transfer.stream.slot] = nil
        session.stay(transfer.stream)
        if let local = local(transfer.stream) {
            local.mayMoveAt = time
            releaseIfDone(local, transfer.stream)
        }
        scheduleFlush()
    }

    /// The peer has the stream on the other lane: it goes there. Nil, and the stream is over, where that is not possible.
    func depart(_ transfer: StreamTransfer, _ answer: TransferAnswer) -> TransferCargo? {
        transfers.leaving[transfer.stream.slot] = nil
        let local = removeFromTable(transfer.stream)
        do throws(TransferError) {
            let detached = try session.depart(transfer.stream, answer)
            return cargo(detached, local)
        } catch {
            session.reset(transfer.stream, .protocolError)
            if let local { broken(local, LinkReason.protocolError) }
            scheduleFlush()
            return nil
        }
    }

    /// The other lane ended, or the peer ended the stream there, before it came.
    func transferLost(_ transfer: StreamTransfer, _ reason: LinkReason) {
        transfers.leaving[transfer.stream.slot] = nil
        session.reset(transfer.stream, .cancelled)
        if let local = removeFromTable(transfer.stream) { broken(local, reason) }
        scheduleFlush()
    }

    private func removeFromTable(_ stream: StreamHandle) -> LocalConnection? {
        guard let local = local(stream) else { return nil }
        locals[Int(stream.slot)] = nil
        return local
    }

    /// Nil where the connection cannot go to another worker any more; it is reset then.
    private func cargo(_ detached: DetachedStream, _ local: LocalConnection?) -> TransferCargo? {
        guard let local else { return TransferCargo(detached: detached, local: nil) }
        guard !local.isClosed else { return TransferCargo(detached: detached, local: nil) }
        guard let handover = local.handOver() else {
            broken(local, .internalError)
            return nil
        }
        core.handedOver(handover)
        return TransferCargo(detached: detached, local: handover)
    }

    /// The application of a stream that came to harm on its way is told.
    private func broken(_ local: LocalConnection, _ reason: LinkReason) {
        if let attempt = local.attempt {
            core.opening.ended(attempt)
            attempt.observer?(.broken(reason: reason.name))
        }
        local.detach()
        local.reset()
    }

    // MARK: - The lane to which the opener goes

    /// Asks the peer. False where this lane cannot take the stream now.
    func begin(_ transfer: StreamTransfer) -> Bool {
        guard gate.isOpen, !isRetiring,
            let stream = try? session.transfer(transfer.request, now: core.loop.now)
        else { return false }
        transfers.arriving[stream.slot] = StreamArrival(transfer, stream)
        scheduleFlush()
        return true
    }

    private func arrival(_ stream: StreamHandle) -> StreamArrival? {
        guard let arrival = transfers.arriving[stream.slot], arrival.stream == stream else { return nil }
        return arrival
    }

    /// The peer said no; the stream goes on where it is.
    func transferRefused(_ stream: StreamHandle, _ reason: LinkReason) {
        guard let transfer = arrival(stream)?.transfer else { return }
        transfers.arriving[stream.slot] = nil
        core.counters.streamStayed("refused")
        core.shared.log.debug(
            "stream_stays", "the peer does not go on with a stream on another lane",
            [("node", .string(node)), ("lane", .init(Int(transfer.from.number))), ("reason", .string(reason.name))])
        core.shared.workers[transfer.fromWorker].submit { $0.transferStays(transfer) }
    }

    /// The peer goes on here.
    func transferTaken(_ stream: StreamHandle) {
        guard let arrival = arrival(stream), let answer = session.lastAnswer else { return }
        arrival.answer = answer
        let transfer = arrival.transfer
        core.shared.workers[transfer.fromWorker].submit { $0.depart(transfer, answer) }
    }

    /// Bytes of a stream that has no socket here: it has not come yet, or its application is gone.
    func arrivedEarly(_ stream: StreamHandle, _ bytes: UnsafeRawBufferPointer, finished: Bool) {
        if let arrival = arrival(stream) {
            arrival.hold(bytes, finished: finished)
        } else {
            session.consumed(stream, bytes.count)
        }
    }

    /// The stream comes, with its socket.
    func arrive(_ arrival: StreamArrival, _ cargo: TransferCargo) {
        transfers.arriving[arrival.stream.slot] = nil
        let news: Int
        do throws(TransferError) {
            news = try session.adopt(arrival.stream, cargo.detached, arrival.answer)
        } catch {
            if let handover = cargo.local { core.discard(handover) }
            guard error == .impossible else { return }
            return close(.protocolError, "what the peer says of a stream of another lane cannot be")
        }
        arrived(arrival.stream, cargo, arrival.transfer.reason)
        guard let local = local(arrival.stream) else { return session.consumed(arrival.stream, news) }
        let taken = arrival.held.suffix(news).withUnsafeBytes { local.deliver($0) }
        guard let taken else { return localFailed(local) }
        session.consumed(arrival.stream, taken)
        if arrival.hasEnd, !local.peerFinished { local.finishWriting() }
        releaseIfDone(local, arrival.stream)
    }

    /// The stream of `cargo` is on this lane now.
    private func arrived(_ stream: StreamHandle, _ cargo: TransferCargo, _ reason: TransferReason) {
        transfers.taken += 1
        core.counters.streamMoved(reason)
        scheduleFlush()
        guard let handover = cargo.local else { return }
        let local = core.takeOver(handover)
        do throws(SystemError) {
            adopt(local, stream)
            try local.register()
        } catch {
            return localFailed(local)
        }
        local.mayBalanceAt = core.loop.now &+ Self.restTime
        // A change of policy, or a revocation, may have reached neither lane with it.
        if let parting { return withdraw(local, parting.reason.name) }
        reevaluate(local)
    }

    /// So long a stream stays on a lane, in nanoseconds, before it may leave for the sake of others.
    static let restTime: UInt64 = 10_000_000_000

    /// The peer ended a stream that is on its way to this lane, or one that leaves it.
    func transferReset(_ stream: StreamHandle, _ reason: LinkReason) {
        guard !transfers.isEmpty else { return }
        cancelTransfer(of: stream)
        if transfers.offered[stream.slot]?.stream == stream { transfers.offered[stream.slot] = nil }
        guard let transfer = arrival(stream)?.transfer else { return }
        transfers.arriving[stream.slot] = nil
        tellLost(transfer, reason)
    }

    private func tellLost(_ transfer: StreamTransfer, _ reason: LinkReason) {
        core.counters.streamStayed("lost")
        core.shared.workers[transfer.fromWorker].submit { $0.transferLost(transfer, reason) }
    }

    /// The session of this lane is over.
    func endTransfers(_ reason: LinkReason, _ text: String) {
        for transfer in transfers.leaving.values {
            core.shared.workers[transfer.toWorker].submit { $0.cancelTransfer(transfer) }
        }
        for arrival in transfers.arriving.values { tellLost(arrival.transfer, reason) }
        transfers = LinkTransfers()
    }

    // MARK: - The acceptor

    /// The peer wants to go on here with a stream that is on another lane.
    func transferOffered(_ stream: StreamHandle) {
        guard let request = session.lastTransfer else { return }
        guard gate.admitsPeer else {
            return session.refuse(stream, .documentsBehind, detail: "a newer mesh document is awaited")
        }
        let offer = TransferOffer(
            id: core.shared.newLinkID(), to: lane, toWorker: core.index, stream: stream, request: request,
            peer: PeerNames(peer))
        transfers.offered[stream.slot] = offer
        ControlPlane.post { [shared = core.shared] in shared.supervisor?.giveStream(offer) }
    }

    /// Gives the stream of an offer away; nil where there is none that could go.
    func give(_ offer: TransferOffer) -> TransferCargo? {
        guard PeerNames(peer) == offer.peer, let stream = session.givable(offer.request),
            local(stream).map({ $0.isPortable && $0.becomeSocket() }) ?? true, let given = session.give(offer.request)
        else { return nil }
        return cargo(given.detached, removeFromTable(given.stream))
    }

    /// The stream of an offer comes, or stays where it is.
    func take(_ offer: TransferOffer, _ cargo: TransferCargo?) {
        transfers.offered[offer.stream.slot] = nil
        guard let cargo else {
            session.refuse(offer.stream, .noSuchInstance, detail: "the stream stays on lane \(offer.request.lane)")
            return scheduleFlush()
        }
        do throws(TransferError) {
            _ = try session.adopt(offer.stream, cargo.detached)
        } catch {
            if let handover = cargo.local { core.discard(handover) }
            return
        }
        arrived(offer.stream, cargo, .peer)
    }
}
